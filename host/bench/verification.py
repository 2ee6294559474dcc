"""What it costs a board to verify a package, and what the code takes that does it: `bench update`.

Instructions are counted on the bare emulated core (boards/<name>/bench/verify.c); code is read from the linked firmware.

    python -m host.bench.verification
"""

import hashlib
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from host.bench.bare_metal import (
    BenchError,
    bench_folder,
    block_counter,
    build_program,
    emulate,
    marks,
)
from host.bench.profile import Program, Section, read_sections
from host.boards import ROOT, Board, load_board
from host.flash import system
from host.flash.firmware import firmware_path

MANIFEST_BYTES = 2_048  # of a package of two tasks
PACKAGE_BYTES = 102_400
_CODE_FOLDERS = ("store", "link")
_MESSAGE_AT = 0x21000000  # as in verify.c


@dataclass(frozen=True, slots=True)
class Case:
    """A signature over a message, and data to hash."""

    signature: bytes
    key: bytes
    message: bytes
    data: bytes = b""

    def packed(self) -> bytes:
        """As verify.c reads it."""
        body = self.message + self.data
        sizes = struct.pack("<II", len(self.message), len(self.data))
        return sizes + self.signature + self.key + body + bytes(-len(body) % 4)


@dataclass(frozen=True, slots=True)
class CheckCost:
    """One case on the bare core; instructions. `code`: 0 or the positive error code of the check."""

    code: int
    digest: bytes
    message: int  # hashing what was signed
    steps: tuple[int, ...]  # of the signature check
    data: int  # SHA-256

    @property
    def ed25519(self) -> int:
        """The whole signature check."""
        return self.message + sum(self.steps)


@dataclass(frozen=True, slots=True)
class Verification:
    """Figures of `bench update`."""

    ed25519_instructions: int  # one check over a manifest of MANIFEST_BYTES
    sha256_instructions: int  # the payloads of a package of PACKAGE_BYTES
    longest_step_instructions: int
    check_ram_bytes: int

    @property
    def verify_instructions(self) -> int:
        """Signature and digests of one package."""
        return self.ed25519_instructions + self.sha256_instructions


def measure_verification(board: Board) -> Verification:
    """Verify a made-up package on the bare core of `board`. Raises BenchError."""
    private = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"verification").digest())
    message = hashlib.shake_256(b"manifest").digest(MANIFEST_BYTES)
    data = hashlib.shake_256(b"payloads").digest(PACKAGE_BYTES - MANIFEST_BYTES)
    key = private.public_key().public_bytes_raw()
    (cost,), ram = measure_cases(board, [Case(private.sign(message), key, message, data)])
    if cost.code or cost.digest != hashlib.sha256(data).digest():
        raise BenchError("the core's verdict is wrong", "run tests/unit/test_ed25519.py")
    return Verification(cost.ed25519, cost.data, max(cost.steps), ram)


def measure_cases(board: Board, cases: Sequence[Case]) -> tuple[list[CheckCost], int]:
    """Each case on the bare core, and the bytes of the check's context. Raises BenchError."""
    folder = bench_folder(board)
    system.require(*system.ARM_FIRMWARE, *system.EMULATOR)
    store = ROOT / "device" / "store"
    names = ("ed25519.c", "field25519.c", "sha512.c", "sha256.c")
    elf = build_program(board, "verify", [store / name for name in names])
    plugin, places = block_counter(folder), marks(elf)
    job = struct.pack("<I", len(cases)) + b"".join(case.packed() for case in cases)
    with tempfile.TemporaryDirectory(prefix="tactus-bench-") as scratch:
        (Path(scratch) / "cases.bin").write_bytes(job)
        loaded = {"cases.bin": _MESSAGE_AT}
        said = emulate(board, elf, plugin, list(places), Path(scratch), loaded)
        with (Path(scratch) / "blocks.txt").open() as blocks:
            names_of = {at: name for at, name in places.items() if name != "end"}
            sections = read_sections(blocks, Program.disassembled(elf), names_of)
    verdicts = [int(text) for text in said["verdict"]]
    digests = [bytes.fromhex(text) for text in said["digest"]]
    costs = [
        CheckCost(code, digest, *counts)
        for code, digest, counts in zip(verdicts, digests, _counts(sections), strict=True)
    ]
    return costs, int(said["check_bytes"][0])


def _counts(sections: Sequence[tuple[str, Section]]) -> list[tuple[int, tuple[int, ...], int]]:
    empty = next(section for name, section in sections if name == "empty").instructions
    found: list[tuple[int, tuple[int, ...], int]] = []
    message = 0
    steps: list[int] = []
    for name, section in sections:
        count = section.instructions - empty
        if name == "message":
            message, steps = count, []
        elif name == "step":
            steps.append(count)
        elif name == "data":
            found.append((message, tuple(steps), count))
    return found


def code_bytes(board: Board) -> int:
    """.text and .rodata of store and link in the firmware of `board`, as built last. Raises BenchError.

    What the linker dropped does not count.
    """
    return sum(code_by_file(board).values())


def code_by_file(board: Board) -> dict[str, int]:
    """The same file by file, `store/slot.c` -> bytes."""
    elf = firmware_path(board)
    if not elf.is_file():
        raise BenchError(f"{board.name} has no firmware yet", f"flash --board {board.name}")
    kept = _symbols(elf)
    sizes: dict[str, int] = {}
    for folder in _CODE_FOLDERS:
        for source in sorted((ROOT / "device" / folder).glob("*.c")):
            found = list((board.firmware_dir / "make").glob(f"**/{folder}/{source.stem}.o"))
            if found:
                sizes[f"{folder}/{source.name}"] = _kept_bytes(found[0], kept)
    if not sizes:
        raise BenchError("the firmware's objects are gone", f"flash --board {board.name}")
    return sizes


def _symbols(path: Path) -> set[str]:
    return {words[-1] for words in _rows("arm-none-eabi-nm", str(path)) if len(words) >= 3}


def _kept_bytes(path: Path, kept: set[str]) -> int:
    # A section a function or table: the linker keeps or drops it whole.
    total = 0
    for words in _rows("arm-none-eabi-size", "-A", str(path)):
        if len(words) == 3 and words[0].startswith((".text", ".rodata")) and int(words[1]) > 0:
            name = words[0].removeprefix(".text.").removeprefix(".rodata.")
            if name in kept or words[0].startswith(".rodata"):
                total += int(words[1])
    return total


def _rows(*command: str) -> list[list[str]]:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.split() for line in done.stdout.splitlines()]


if __name__ == "__main__":
    chosen = load_board(sys.argv[1] if len(sys.argv) > 1 else "qemu-m4")
    result = measure_verification(chosen)
    print(
        f"Ed25519, manifest of {MANIFEST_BYTES} bytes: {result.ed25519_instructions:,} instructions"
    )
    print(
        f"SHA-256, {PACKAGE_BYTES - MANIFEST_BYTES} bytes: {result.sha256_instructions:,} instructions"
    )
    print(
        f"both: {result.verify_instructions:,}; longest step {result.longest_step_instructions:,}"
    )
    print(f"context of a check: {result.check_ram_bytes} bytes")
    for file, size in code_by_file(chosen).items():
        print(f"{size:7} {file}")
    print(f"{code_bytes(chosen):7} bytes of code, store and link")
