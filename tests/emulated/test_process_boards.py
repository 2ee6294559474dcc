"""Boards that are processes: the supervisor gives them a port, restarts them after a reset, and ends with them."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial

from host.boards import load_board
from host.errors import DoesNotFitError, UsageError
from host.flash.cpython_ext import build_extension
from host.flash.device_room import DEVICES_VARIABLE, DeviceError, device_room
from host.flash.emulator import start_emulator
from host.flash.firmware import build_firmware
from host.flash.flasher import board_status, flash_board, stop_board
from host.flash.process import start_process
from host.package.keys import trusted

pytestmark = pytest.mark.emulated
HOST = load_board("host")
ECHO = """
import os, select, sys
flash, fd = sys.argv[1], int(sys.argv[2])
print("cause", os.environ["TACTUS_RESET_CAUSE"], os.path.getsize(flash), flush=True)
while True:
    select.select([fd], [], [])
    data = os.read(fd, 100)
    if b"reset" in data: os._exit(64)
    if b"crash" in data: os._exit(7)
    if b"bite" in data: os._exit(66)
    if b"raise" in data: os._exit(65)
    if b"fault" in data: os.kill(os.getpid(), 11)
    os.write(fd, data[::-1])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    stop_board(HOST, tmp_path)


def read_until(port: serial.Serial, mark: bytes) -> bytes:
    text, deadline = b"", time.monotonic() + 20
    while mark not in text:
        assert time.monotonic() < deadline, text
        text += port.read(port.in_waiting or 1)
    return text


def start_echo(folder: Path) -> serial.Serial:
    status = start_process(HOST, folder, with_parent=True, command=[sys.executable, "-c", ECHO])
    assert status.running
    return serial.Serial(str(status.port), timeout=0.05)


def ended(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not Path(f"/proc/{pid}/cmdline").is_file():
            return True
        time.sleep(0.02)
    return False


def test_bytes_pass_both_ways_and_a_reset_starts_it_again_on_the_same_port(folder: Path) -> None:
    with start_echo(folder) as port:
        pid = board_status(HOST, folder).pid
        port.write(b"\x00\x03abc\r\xff")
        assert b"\xff\rcba\x03\x00" in read_until(port, b"\xff\rcba\x03\x00")
        port.write(b"reset")
        read_until(port, f"cause 2 {HOST.flash.bytes}\r\n".encode())
        port.write(b"again")
        read_until(port, b"niaga")
        assert board_status(HOST, folder).pid == pid
    assert "cause 1" in board_status(HOST, folder).log.read_text()


def test_starting_twice_is_one_board_and_stopping_twice_is_harmless(folder: Path) -> None:
    with start_echo(folder):
        first = board_status(HOST, folder)
        assert start_process(HOST, folder) == first
    assert stop_board(HOST, folder) is True
    assert stop_board(HOST, folder) is False
    assert not first.port.is_symlink() and not board_status(HOST, folder).running


def test_the_device_ends_with_its_supervisor(folder: Path) -> None:
    with start_echo(folder):
        status = board_status(HOST, folder)
        assert status.pid is not None
        children = Path(f"/proc/{status.pid}/task/{status.pid}/children").read_text().split()
        assert children
        os.kill(status.pid, signal.SIGKILL)
        assert ended(int(children[0]))
    assert not board_status(HOST, folder).running, "the pid file of a killed board is stale"
    with start_echo(folder) as port:  # and does not hinder the next start
        port.write(b"up")
        read_until(port, b"pu")


def test_a_crash_ends_the_board_and_is_in_the_log(folder: Path) -> None:
    with start_echo(folder) as port:
        pid = board_status(HOST, folder).pid
        port.write(b"crash")
        deadline = time.monotonic() + 10
        while board_status(HOST, folder).running and time.monotonic() < deadline:
            os.waitpid(pid or 0, os.WNOHANG)
            time.sleep(0.02)
    assert not board_status(HOST, folder).running
    assert "exit code 7" in board_status(HOST, folder).log.read_text()


@pytest.mark.parametrize(("what", "cause"), [(b"bite", 3), (b"raise", 4), (b"fault", 4)])
def test_a_watchdog_or_a_fault_starts_it_again_and_it_learns_the_cause(
    folder: Path, what: bytes, cause: int
) -> None:
    with start_echo(folder) as port:
        pid = board_status(HOST, folder).pid
        port.write(what)
        read_until(port, f"cause {cause} ".encode())
        assert board_status(HOST, folder).pid == pid


def test_faults_again_and_again_end_the_board(folder: Path) -> None:
    command = [sys.executable, "-c", "import time, os; time.sleep(0.5); os.abort()"]
    status = start_process(HOST, folder, with_parent=True, command=command)
    os.waitpid(status.pid or 0, 0)
    assert not board_status(HOST, folder).running
    assert "exit code -6" in status.log.read_text()


def test_a_program_that_cannot_start_is_told_with_its_last_line(folder: Path) -> None:
    with pytest.raises(DeviceError, match="did not start") as caught:
        start_process(HOST, folder, command=["/nonexistent/program"])
    assert "log" in caught.value.remedy


def test_devices_can_live_elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEVICES_VARIABLE, str(folder))
    assert device_room(HOST).port == folder / "host" / "tty"


@pytest.mark.parametrize("name", ["host", "unix"])
def test_flashing_builds_starts_and_keeps_packages(name: str, tmp_path: Path) -> None:
    board = load_board(name)
    try:
        status = flash_board(
            board, b"TRP1" + bytes(28), *trusted(), folder=tmp_path, with_parent=True
        )
        assert status.running
        with serial.Serial(str(status.port), timeout=0.05):
            deadline = time.monotonic() + 20
            while f"on {name}" not in status.log.read_text() and time.monotonic() < deadline:
                time.sleep(0.02)
        assert f"on {name}" in status.log.read_text()
        content = status.flash_file.read_bytes()
        replay = board.flash.replay_offset
        assert content[replay : replay + 33] == b"TRP1" + bytes(28) + b"\xff"
        stop_board(board, tmp_path)
        with status.flash_file.open("r+b") as file:
            file.seek(board.flash.slot_offsets[1])
            file.write(b"mark")
        again = flash_board(board, None, *trusted(), folder=tmp_path, with_parent=True)
        assert again.running and again.pid != status.pid
        content = status.flash_file.read_bytes()
        assert content[replay : replay + 4] == b"TRP1"
        assert content[board.flash.slot_offsets[1] :][:4] == b"mark"
        flash_board(board, None, *trusted(), erase=True, folder=tmp_path, with_parent=True)
        assert set(status.flash_file.read_bytes()[board.flash.slot_offsets[1] :]) == {0xFF}
    finally:
        stop_board(board, tmp_path)


def test_replay_data_that_is_too_long_is_refused_before_anything_happens(tmp_path: Path) -> None:
    with pytest.raises(DoesNotFitError, match="exceeds"):
        flash_board(HOST, bytes(HOST.flash.replay_bytes + 1), *trusted(), folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_unchanged_build_is_not_repeated() -> None:
    path = build_extension(HOST, *trusted())
    written = path.stat().st_mtime_ns
    assert build_extension(HOST, *trusted()).stat().st_mtime_ns == written
    unix = load_board("unix")
    firmware = build_firmware(unix, *trusted())
    written, started = firmware.stat().st_mtime_ns, time.monotonic()
    assert build_firmware(unix, *trusted()).stat().st_mtime_ns == written
    assert time.monotonic() - started < 2


def test_the_wrong_kind_of_board_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        start_emulator(HOST, tmp_path / "firmware.elf", tmp_path)
    with pytest.raises(UsageError):
        start_process(load_board("qemu-m4"), tmp_path)
    with pytest.raises(UsageError):
        build_firmware(HOST, *trusted())
