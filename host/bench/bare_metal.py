"""A model on an emulated core without an operating system: boards/<name>/bench linked with the engine, run in QEMU.

Instructions are exact: a plugin of the emulator counts every block of code that runs between two marks. The same
image gives the same count in every run.
"""

import contextlib
import hashlib
import struct
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from host.bench.profile import Program, Section, read_sections
from host.boards import BUILD, ROOT, Board
from host.errors import TactusError, UsageError
from host.flash import system
from host.flash.lock import locked

_ENGINE = ROOT / "device" / "engine"
_IMAGE_AT, _JOB_AT, _JOB_MAGIC = 0x21000000, 0x21800000, 0x4A434154  # as in main.c
_TICK = 40  # instructions: SysTick at 25 MHz, 1 ns an instruction
_TIMEOUT_S = 600
_FLAGS = (
    *("-std=c11", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-O2", "-ffp-contract=off"),
    *("-ffunction-sections", "-fdata-sections", "--specs=nano.specs", "-nostartfiles"),
    "-Wl,--gc-sections",
)
_ENTRIES = (
    *("tac_model_init", "tac_model_input", "tac_model_output"),
    *("tac_exec_reset", "tac_exec_step", "tac_exec_run"),
)
_DISPATCH = ("tac_exec_", "tac_segment_", "tac_rows_", "tac_move_down")

# Of the plan image, device/engine/plan.h.
_OPS_AT, _SEGMENTS_AT, _MANDATORY_AT, _RECORD_BYTES, _SEGMENT_BYTES = 12, 36, 44, 128, 16


@dataclass(frozen=True, slots=True)
class Kernels:
    """What an engine is linked for: bit sets of op kinds, plain (layout 0) and packed; segments; early exits."""

    plain: int = 0xFFFFFFFF
    packed: int = 0xFFFFFFFF
    segments: bool = True
    early_exits: bool = True

    @classmethod
    def of(cls, image: bytes) -> "Kernels":
        """Just those that a plan image needs."""
        (count,) = struct.unpack_from("<H", image, 6)
        (first,) = struct.unpack_from("<I", image, _OPS_AT)
        sets = [0, 0]
        for at in range(first, first + count * _RECORD_BYTES, _RECORD_BYTES):
            kind, layout = image[at], image[at + 1]
            sets[layout] |= 1 << kind
        early_exits = any(image[_MANDATORY_AT : _MANDATORY_AT + 4])
        return cls(sets[0], sets[1], any(image[_SEGMENTS_AT : _SEGMENTS_AT + 8]), early_exits)

    @property
    def flags(self) -> list[str]:
        """For the compiler."""
        sets = [f"-DTAC_KERNELS={self.plain:#x}u", f"-DTAC_PACKED_KERNELS={self.packed:#x}u"]
        parts = [f"-DTAC_SEGMENTS={self.segments:d}", f"-DTAC_EARLY_EXITS={self.early_exits:d}"]
        return [*sets, *parts]

    def __str__(self) -> str:
        return (
            f"{self.plain:x}-{self.packed:x}"
            + "-rows" * self.segments
            + "-early" * self.early_exits
        )


class BenchError(TactusError):
    """A benchmark did not build, did not run, or measured something that cannot be."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One model, measured.

    inference, ops: the whole model in one call, and each op record on its own, with all the steps
    that it takes in a segment.
    load_instructions: tac_model_init() and what the executor itself does in the first step.
    systick_instructions: the inference again by the core's timer, within 2 * 40 of the count.
    stack_bytes: deepest use by init and run, the caller's frame not counted.
    state_bytes: RAM of the engine besides arena and stack. outputs: one for each input.
    """

    inference: Section
    ops: tuple[Section, ...]
    load_instructions: int
    systick_instructions: int
    stack_bytes: int
    state_bytes: int
    arena_touched_bytes: int
    outputs: tuple[bytes, ...]


def bench_folder(board: Board) -> Path:
    """Where a board's bare-metal program lies. Raises UsageError for a board that has none."""
    folder = board.folder / "bench"
    if not (folder / "main.c").is_file():
        raise UsageError(
            f"board {board.name} has no bare-metal benchmark",
            "choose --board qemu-m4, or host",
        )
    return folder


def program(board: Board, name: str, kernels: Kernels) -> Path:
    """The ELF of a board's bench/<name>.c with an engine linked for `kernels`."""
    folder = bench_folder(board)
    sources = [folder / f"{part}.c" for part in (name, "semihosting", "startup")]
    flags = [f"-I{folder}", "-T", str(folder / "bench.ld")]
    return _linked(board, f"{name}-{kernels}", kernels, sources, flags)


def engine_flash_bytes(board: Board, kernels: Kernels) -> int:
    """.text + .rodata of the engine alone, linked for `kernels`."""
    flags = [*(f"-Wl,-u,{name}" for name in _ENTRIES), f"-Wl,-e,{_ENTRIES[0]}"]
    elf = _linked(board, f"engine-{kernels}", kernels, (), flags)
    rows = map(str.split, _output(["arm-none-eabi-size", "-A", str(elf)]))
    return sum(int(row[1]) for row in rows if row and row[0] in (".text", ".rodata"))


def measure(
    board: Board, image: bytes, kernels: Kernels, inputs: npt.NDArray[np.int8]
) -> Measurement:
    """Run a plan image on each input, [n, bytes], with an engine linked for `kernels`.

    Raises BenchError: refused image, broken guard around the arena, fault, or a count that the
    core's timer contradicts.
    """
    folder = bench_folder(board)
    system.require(*system.ARM_FIRMWARE, *system.EMULATOR)
    elf = program(board, "main", kernels)
    plugin = block_counter(folder)
    places = marks(elf)
    job = np.array([_JOB_MAGIC, len(image), *inputs.shape], "<u4").tobytes() + inputs.tobytes()
    with tempfile.TemporaryDirectory(prefix="tactus-bench-") as scratch:
        files = {"image.bin": image, "job.bin": job}
        for name, content in files.items():
            (Path(scratch) / name).write_bytes(content)
        loaded = {"image.bin": _IMAGE_AT, "job.bin": _JOB_AT}
        said = emulate(board, elf, plugin, list(places), Path(scratch), loaded)
        with (Path(scratch) / "blocks.txt").open() as blocks:
            names = {at: name for at, name in places.items() if name != "end"}
            sections = read_sections(blocks, Program.disassembled(elf), names)
    return _measurement(sections, said, dispatch_order(image))


def dispatch_order(image: bytes) -> list[int]:
    """The op record that each unit of the executor runs: device/engine/plan.h, "Segments"."""
    order: list[int] = []
    (op_count,) = struct.unpack_from("<H", image, 6)
    table, count = struct.unpack_from("<II", image, _SEGMENTS_AT)
    done = 0
    for at in range(table, table + _SEGMENT_BYTES * count, _SEGMENT_BYTES):
        first, ops, steps, step_count = struct.unpack_from("<HHIH", image, at)
        order += range(done, first)
        order += [first + what for what in image[steps : steps + 2 * step_count : 2] if what < 0x80]
        done = first + ops
    return [*order, *range(done, op_count)]


def _measurement(
    sections: Sequence[tuple[str, Section]], said: dict[str, list[str]], order: Sequence[int]
) -> Measurement:
    def one(name: str) -> Section:
        return next(section for found, section in sections if found == name)

    overhead = one("empty")
    inference = one("inference").without(overhead)
    units = [section.without(overhead) for name, section in sections if name == "op"]
    ops = [Section() for _ in range(max(order) + 1)]
    for index, unit in zip(order, units, strict=True):
        ops[index].add(unit)
    systick = int(said["systick"][0]) * _TICK
    if not int(said["systick_wrapped"][0]) and abs(systick - inference.instructions) > 2 * _TICK:
        raise BenchError(
            f"the emulator counted {inference.instructions} instructions, its timer {systick}",
            "the two must agree: compare with QEMU 7.2, which this was made with",
        )
    first = units[0].by_function
    dispatch = sum(count for name, count in first.items() if name.startswith(_DISPATCH))
    return Measurement(
        inference=inference,
        ops=tuple(ops),
        load_instructions=one("load").without(overhead).instructions + dispatch,
        systick_instructions=systick,
        stack_bytes=int(said["stack_bytes"][0]),
        state_bytes=int(said["model_state_bytes"][0]),
        arena_touched_bytes=int(said["arena_touched_bytes"][0]),
        outputs=tuple(bytes.fromhex(text) for text in said["output"]),
    )


def build_program(board: Board, name: str, sources: Sequence[Path]) -> Path:
    """The ELF of a board's bench/<name>.c with other C sources of the device, without the engine."""
    folder = bench_folder(board)
    files = [*sources, *(folder / f"{part}.c" for part in (name, "semihosting", "startup"))]
    command = [
        "arm-none-eabi-gcc",
        *board.gcc_flags,
        *_FLAGS,
        f"-I{ROOT / 'device'}",
        f"-I{folder}",
    ]
    command += [*map(str, files), "-T", str(folder / "bench.ld")]
    headers = [*sorted((ROOT / "device").rglob("*.h")), *sorted(folder.glob("*.[hl]*"))]
    return _built(f"{name}.elf", command, [*files, *headers])


def _linked(
    board: Board, name: str, kernels: Kernels, sources: Sequence[Path], flags: Iterable[str]
) -> Path:
    """An ELF of the engine and `sources`, built once per content."""
    engine = sorted(_ENGINE.glob("*.c"))
    command = ["arm-none-eabi-gcc", *board.gcc_flags, *_FLAGS, *kernels.flags]
    command += [f"-I{ROOT / 'device'}", *map(str, engine), *map(str, sources), *flags]
    headers = sorted((ROOT / "device").rglob("*.h"))
    if sources:
        headers += sorted(sources[0].parent.glob("*.[hl]*"))
    return _built(f"{name}.elf", command, [*engine, *sources, *headers])


def block_counter(folder: Path) -> Path:
    """The emulator's plugin of a board's bench folder, built."""
    source = folder / "count_blocks.c"
    command = ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", str(source)]
    return _built("count_blocks.so", command, [source])


def _built(name: str, command: list[str], inputs: Iterable[Path]) -> Path:
    digest = hashlib.sha256(repr(command).encode())
    for path in inputs:
        digest.update(path.read_bytes())
    folder = BUILD / "bench" / "programs"
    target = folder / f"{digest.hexdigest()[:16]}-{name}"
    with locked(folder / name):
        if not target.is_file():
            for old in folder.glob(f"*-{name}"):
                old.unlink()
            partial = folder / f"{name}.new"
            _output([*command, "-o", str(partial)])
            partial.replace(target)
    return target


def marks(elf: Path) -> dict[int, str]:
    """Addresses of bench_mark_*() -> what follows that prefix."""
    rows = [line.split() for line in _output(["arm-none-eabi-nm", str(elf)])]
    prefix = "bench_mark_"
    return {int(at, 16): name.removeprefix(prefix) for at, _, name in rows if prefix in name}


def emulation(board: Board, elf: Path, loaded: Mapping[str, int]) -> list[str]:
    """The command that runs a program; `loaded`: files of the working folder -> their address."""
    command = ["qemu-system-arm", "-machine", str(board.emulator["machine"])]
    command += ["-display", "none", "-monitor", "none", "-serial", "none"]
    command += ["-semihosting-config", "enable=on,target=native", "-kernel", str(elf)]
    for name, at in loaded.items():
        command += ["-device", f"loader,file={name},addr={at:#x},force-raw=on"]
    return command


def emulate(
    board: Board,
    elf: Path,
    plugin: Path,
    places: Sequence[int],
    scratch: Path,
    loaded: Mapping[str, int],
) -> dict[str, list[str]]:
    """Run a program to its end; what it said, as name -> values. blocks.txt in `scratch` has the counts."""
    plugin_link = scratch / "plugin.so"  # QEMU's options cannot quote a comma in a path
    plugin_link.symlink_to(plugin)
    command = emulation(board, elf, loaded)
    command += ["-icount", "shift=0"]
    listed = "".join(f",mark={at:#x}" for at in places)
    command += ["-plugin", f"file=./{plugin_link.name},out=blocks.txt{listed}"]
    try:
        done = subprocess.run(
            command, cwd=scratch, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BenchError(
            f"the program did not end within {_TIMEOUT_S} s of emulation", "run it again, alone"
        ) from error
    said: dict[str, list[str]] = {}
    for line in done.stderr.splitlines():
        with contextlib.suppress(ValueError):
            name, value = line.split()
            said.setdefault(name, []).append(value)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["QEMU said nothing"]
        raise BenchError(
            f"the run ended early: {lines[-1]}", _REMEDIES.get(lines[-1].split()[0], _REMEDY)
        )
    return said


_REMEDY = "it needs a QEMU with TCG plugins (Debian's qemu-system-arm has them)"
_REMEDIES = {
    "refused": "tac_plan_check() refused the image: protocol/errors.py has the number",
    "guard_broken": "a kernel wrote outside the arena: run tests/parity",
    "fault_pc": "the engine faulted there: arm-none-eabi-addr2line names the line",
}


def _output(command: list[str]) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
        errors = [line for line in lines if "error" in line or "undefined" in line]
        raise BenchError(
            f"{Path(command[0]).name} refused: {(errors or lines)[-1]}",
            "correct it there; the same sources build with the firmware",
        )
    return done.stdout.splitlines()
