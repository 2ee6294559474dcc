"""tac_board.h holds the facts of board.toml and the root keys, always the same way."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from host.boards import board_names, load_board
from host.errors import UsageError
from host.flash.board_header import board_header, write_board_header
from host.package.keys_roots import RootKeys

KEY = RootKeys((bytes(range(32)),), 1)
OTHER = RootKeys((bytes(range(32)), bytes(32)), 2)
STRINGS = ("NAME", "CLASS", "FEATURES", "TRUST_NAME")
NUMBERS = (
    *(
        "ARENA_BYTES",
        "HEAP_BYTES",
        "STACK_BYTES",
        "RAM_BYTES",
        "LINK_BYTES",
        "LINK_BUFFERS",
        "LINKS",
        "FLASH_BYTES",
        "SECTOR_BYTES",
    ),
    *("WRITE_BYTES", "JOURNAL_OFFSET", "SLOT0_OFFSET", "SLOT1_OFFSET", "SLOT_BYTES"),
    *("REPLAY_OFFSET", "REPLAY_BYTES", "DISPATCH_US", "LOCKOUT_US", "BACKGROUND_US"),
    *(
        "BACKGROUND_PERIOD_US",
        "GC_US",
        "GC_PERIOD_US",
        "SCALES_WITH_SPEED",
        "ROOT_COUNT",
        "ROOT_THRESHOLD",
    ),
)
MACROS = sorted([*STRINGS, *NUMBERS, "ROOT_KEYS"])


def macros(text: str) -> dict[str, str]:
    lines = [
        line.split(" ", 2) for line in text.splitlines() if line.startswith("#define TAC_BOARD_")
    ]
    return {parts[1].removeprefix("TAC_BOARD_"): parts[2] for parts in lines if len(parts) == 3}


@pytest.mark.parametrize("name", board_names())
def test_the_header_defines_every_macro_of_the_contract(name: str) -> None:
    assert sorted(macros(board_header(load_board(name), KEY, "demo"))) == MACROS


def test_the_macros_are_the_facts_of_the_board() -> None:
    board = load_board("qemu-m4")
    found = macros(board_header(board, KEY, "demo"))
    assert found["NAME"] == '"qemu-m4"'
    assert found["FEATURES"] == '"dsp,fpu-sp"'
    assert int(found["ARENA_BYTES"]) == board.arena_bytes
    assert int(found["SLOT1_OFFSET"]) == board.flash.slot_offsets[1]
    assert int(found["SCALES_WITH_SPEED"]) == 0
    assert found["ROOT_KEYS"].startswith("{0x00, 0x01, ") and found["ROOT_KEYS"].endswith("0x1f}")
    two = macros(board_header(board, OTHER, "demo"))
    assert (two["ROOT_COUNT"], two["ROOT_THRESHOLD"]) == ("2", "2")
    assert two["ROOT_KEYS"].count("0x") == 64


@pytest.mark.parametrize(
    "keys, threshold",
    [
        ((), 1),
        ((bytes(31),), 1),
        ((bytes(32), bytes(32)), 1),
        ((bytes(32),), 0),
        ((bytes(32),), 2),
        (tuple(bytes([n] * 32) for n in range(5)), 1),
    ],
)
def test_root_keys_that_could_not_work_are_refused(keys: tuple[bytes, ...], threshold: int) -> None:
    with pytest.raises(UsageError):
        RootKeys(keys, threshold)


def test_the_same_facts_give_the_same_text_and_leave_the_file_alone(tmp_path: Path) -> None:
    board = load_board("host")
    path = write_board_header(board, KEY, "demo", tmp_path)
    written = path.stat().st_mtime_ns
    assert write_board_header(board, KEY, "demo", tmp_path).stat().st_mtime_ns == written
    other = write_board_header(board, OTHER, "demo", tmp_path)
    assert other.read_text() == board_header(board, OTHER, "demo")


@pytest.mark.parametrize(
    "name", ["plain", 'quo"te', "back\\slash", "trigraph??/", "Schlüssel 7", "\x01\n9"]
)
def test_any_trust_name_survives_the_c_compiler(name: str, tmp_path: Path) -> None:
    write_board_header(replace(load_board("host")), KEY, name, tmp_path)
    source = tmp_path / "show.c"
    source.write_text(
        '#include <stdio.h>\n#include "tac_board.h"\nstatic const unsigned char key[] = TAC_BOARD_ROOT_KEYS;\n'
        "int main(void) { return fputs(TAC_BOARD_TRUST_NAME, stdout) < 0 || sizeof key != 32; }\n"
    )
    program = tmp_path / "show"
    subprocess.run(
        ["gcc", "-Wall", "-Wextra", "-Werror", "-std=c11", str(source), "-o", str(program)],
        check=True,
    )
    assert subprocess.run([str(program)], capture_output=True, check=True).stdout.decode() == name
