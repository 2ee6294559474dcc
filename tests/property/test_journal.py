"""Arbitrary flash content never crashes the store, never breaks a flash rule, and never blocks the next upload."""

import os
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path

from hostile_store import hostile_console, hostile_journal
from store_library import CONFIRMED, RECEIVING, Board

from host.boards import ROOT

TESTS = ROOT / "tests"


def fresh_seed() -> int:
    return int(os.environ.get("TACTUS_SEED", random.SystemRandom().randrange(2**32)))


def test_any_flash_content_opens_and_takes_the_next_upload() -> None:
    first = fresh_seed()
    for seed in range(first, first + 1500):
        try:
            hostile_journal(seed)
        except AssertionError as error:
            raise AssertionError(f"replay with TACTUS_SEED={seed}: {error}") from error


def test_any_bytes_on_the_console_give_messages_within_the_buffer() -> None:
    first = fresh_seed()
    for seed in range(first, first + 300):
        try:
            hostile_console(seed)
        except AssertionError as error:
            raise AssertionError(f"replay with TACTUS_SEED={seed}: {error}") from error


def run_sanitized(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Python with the address sanitizer loaded first, as a library built with it needs."""
    asan = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], check=True, capture_output=True, text=True
    ).stdout.strip()
    environment = {
        **os.environ,
        "PYTHONPATH": f"{TESTS}{os.pathsep}{ROOT}",
        "LD_PRELOAD": str(Path(asan).resolve()),
        "ASAN_OPTIONS": "detect_leaks=0",
    }
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_hostile_content_makes_no_invalid_access_under_the_sanitizers() -> None:
    seed = fresh_seed()
    run = run_sanitized([str(TESTS / "hostile_store.py"), str(seed), "400"])
    assert run.returncode == 0, f"TACTUS_SEED={seed}:\n{run.stdout}{run.stderr}"
    assert "400 rounds" in run.stdout


def test_the_sanitizer_build_does_notice_a_read_past_the_end() -> None:
    """The test above can fail: one byte behind the message buffer is reported."""
    script = (
        "from store_library import *\n"
        "decoder = ConsoleDecoder(8, True)\n"
        "store_library(True).tac_crc16(0, ctypes.c_char_p(decoder.buffer), 9)\n"
    )
    assert "heap-buffer-overflow" in run_sanitized(["-c", script]).stderr


def test_a_record_written_by_hand_from_the_header_is_read_as_meant() -> None:
    """The record layout of store/journal.h, byte by byte, so that a firmware update keeps its slots."""
    board = Board(4096, 4, 16384)
    slot0 = struct.pack("<BBHIII", CONFIRMED, 0, 0, 9001, 9001, 6) + bytes(range(32))
    slot1 = struct.pack("<BBHIII", RECEIVING, 0, 0, 12000, 8192, 7) + bytes(range(32, 64))
    body = struct.pack("<4sIII", b"TSJ1", 8, 77, 0) + slot0 + slot1 + bytes(12)
    board.load(board.layout.journal_offset + 128, body + struct.pack("<I", zlib.crc32(body)))
    assert board.open() == 0
    assert (board.counter, board.store.sequence, board.select()) == (77, 8, 0)
    assert (board.state(0), board.slot(0).length, bytes(board.slot(0).sha256)) == (
        CONFIRMED,
        9001,
        bytes(range(32)),
    )
    assert (board.state(1), board.slot(1).received) == (RECEIVING, 8192)
    assert board.begin(1, 12000, bytes(range(32, 64))) == 8192
