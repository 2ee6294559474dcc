"""The real firmware in QEMU under the instruction-counting plugin: who spent how many instructions between two marks.

A mark is the first instruction of a C function of the firmware; what a test asks the board (here `info`, which calls
the function) begins a new section. Counts are exact.
"""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from host.bench.bare_metal import bench_folder, block_counter
from host.bench.profile import Program
from host.boards import Board
from host.flash import emulator
from host.flash.firmware import build_firmware
from host.flash.flasher import flash_board, stop_board
from host.package import keys

MARK = "tactus_reset_cause"  # called by group 64, info


class Profile:
    """A profiled board. `sections` is there once the board has stopped."""

    def __init__(self, port: str) -> None:
        self.port = port
        self.sections: list[Counter[str]] = []  # function -> instructions


@contextmanager
def profiled_board(board: Board, replay: bytes, folder: Path) -> Iterator[Profile]:
    """Flash and run `board`; its sections are read when the block ends."""
    firmware = build_firmware(board, *keys.trusted())
    plugin, blocks = block_counter(bench_folder(board)), folder / "blocks.txt"
    symbols = subprocess.run(
        ["arm-none-eabi-nm", str(firmware)], capture_output=True, text=True, check=True
    ).stdout.split()
    mark = int(symbols[symbols.index(MARK) - 2], 16) & ~1
    plain = emulator._command

    def command(*args: object) -> list[str]:
        return [*plain(*args), "-plugin", f"file={plugin},out={blocks},mark={mark:#x}"]  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(emulator, "_command", command)
        status = flash_board(board, replay, *keys.trusted(), folder=folder, with_parent=True)
    profile = Profile(str(status.port))
    try:
        yield profile
    finally:
        stop_board(board, folder)
    with blocks.open() as lines:
        program = Program.disassembled(firmware)
        for words in map(str.split, lines):
            if words[0] == "section":
                profile.sections.append(Counter())
            elif profile.sections:
                function = program.functions[program.index[int(words[0], 16)]]
                profile.sections[-1][function] += int(words[1]) * int(words[2])
