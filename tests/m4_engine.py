"""Runs plan images with the M4 build of the engine in QEMU: hashes of the arena, instructions per op."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine_library import FLAGS, SOURCES

TOOLS = ("arm-none-eabi-gcc", "qemu-system-arm")
HERE = Path(__file__).parent
_M4 = ["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16", "-O2"]
_MACHINE = ["-M", "mps2-an386", "-icount", "shift=6", "-nographic", "-monitor", "none"]
_NS_PER_TICK, _NS_PER_INSTRUCTION = 40, 64


@dataclass(frozen=True)
class Case:
    """A plan image and the whole arena before it runs."""

    image: bytes
    arena: bytes


@dataclass(frozen=True)
class Outcome:
    """Code of the plan check, FNV-1a of the arena afterwards, instructions of each op."""

    code: int
    hash: int
    instructions: tuple[int, ...]


def missing() -> bool:
    """Whether this machine lacks the compiler or the emulator."""
    return any(shutil.which(tool) is None for tool in TOOLS)


def build(folder: Path) -> Path:
    """Links the engine and m4_engine.c into folder/engine.elf."""
    elf = folder / "engine.elf"
    flags = [flag for flag in FLAGS if flag != "-std=c11"]
    link = ["-nostartfiles", "--specs=nano.specs", "-Wl,--gc-sections", "-T", HERE / "m4_engine.ld"]
    subprocess.run(
        ["arm-none-eabi-gcc", "-std=gnu11", *flags, *_M4, "-ffunction-sections", *map(str, link),
         "-o", str(elf), str(HERE / "m4_engine.c"), *map(str, SOURCES)], check=True,
    )  # fmt: skip
    return elf


def run(elf: Path, cases: Sequence[Case], timeout: float = 300) -> list[Outcome]:
    """Runs all cases in one emulator."""
    blob = len(cases).to_bytes(16, "little")
    for case in cases:
        arena = case.arena.ljust(-(-len(case.arena) // 16) * 16, b"\xa5")
        head = len(case.image).to_bytes(4, "little") + len(arena).to_bytes(12, "little")
        blob += head + case.image + arena
    data = elf.with_suffix(".bin")
    data.write_bytes(blob)
    done = subprocess.run(
        ["qemu-system-arm", *_MACHINE, "-serial", "none", "-semihosting-config",
         "enable=on,target=native", "-kernel", str(elf),
         "-device", f"loader,file={data},addr=0x21000000,force-raw=on"],
        capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip
    lines = (done.stdout + done.stderr).splitlines()
    assert done.returncode == 0 and len(lines) == len(cases), lines[-3:]
    rows = [[int(number) for number in line.split()] for line in lines]
    return [
        Outcome(
            -row[0],
            row[1],
            tuple(ticks * _NS_PER_TICK // _NS_PER_INSTRUCTION for ticks in row[2:]),
        )
        for row in rows
    ]


def fnv1a(data: bytes) -> int:
    """The hash that m4_engine.c prints."""
    value = 2166136261
    for byte in data:
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return value
