"""A process of this computer as a board: a supervisor that gives it a PTY and starts it again after a reset.

Run as `python -m host.flash.process <board> <folder> -- <device command...>`; the command gets the flash file and the
number of the link's file descriptor as its last two arguments. What it prints goes to the log and, like the text of a
real board, to the port. Exit code 64 is a reset, 66 one by the watchdog; 65 and a signal of the processor (SIGSEGV
and its like) are faults, after which a real board would start again, too. Any other ends the board, and so do faults that
come again and again at once.
"""

import contextlib
import os
import pty
import selectors
import signal
import subprocess
import sys
import time
import tty
from pathlib import Path
from typing import IO

from host.boards import ROOT, Board
from host.errors import MissingError, UsageError
from host.flash.cpython_ext import extension_path
from host.flash.device_room import (
    DeviceError,
    DeviceRoom,
    DeviceStatus,
    device_room,
    dying_with_parent,
)
from host.flash.firmware import firmware_path
from host.flash.lock import locked
from host.progress import Progress, silent

EXIT_RESET, EXIT_FAULT, EXIT_WATCHDOG = 64, 65, 66
FAULTS_MAX = 15  # in a row, each within FAULT_SECONDS of its start
FAULT_SECONDS = 10.0
LOG_BYTES_MAX = 1_000_000
_START_SECONDS = 10.0
_SETTLE_SECONDS = 0.2
_CAUSE_POWER_ON, _CAUSE_SOFTWARE, _CAUSE_WATCHDOG, _CAUSE_FAULT = "1", "2", "3", "4"
_CAUSES = {
    EXIT_RESET: _CAUSE_SOFTWARE,
    EXIT_WATCHDOG: _CAUSE_WATCHDOG,
    EXIT_FAULT: _CAUSE_FAULT,
    **{-code: _CAUSE_FAULT for code in (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL)},
    **{-code: _CAUSE_FAULT for code in (signal.SIGFPE, signal.SIGABRT)},
}


def start_process(
    board: Board,
    folder: Path | None = None,
    with_parent: bool = False,
    progress: Progress = silent,
    command: list[str] | None = None,
) -> DeviceStatus:
    """Start the board's process under a detached supervisor; one that runs already is left alone.

    `folder` overrides the device room, `with_parent` ends all with this process, `command` is run in place of the board's
    own program. Raises MissingError when the program is not built, DeviceError when it ends at once.
    """
    if board.emulator.get("kind") != "process":
        raise UsageError(
            f"board {board.name} is not a process",
            f"its emulator is {board.emulator.get('kind')!r}",
        )
    room = device_room(board, folder)
    with locked(room.folder):
        if room.pid() is not None:
            return room.status()
        command = command or device_command(board)
        room.stop()  # what a crash left behind
        room.prepare_flash(board.flash.bytes, board.flash.bytes)
        room.log.unlink(missing_ok=True)
        progress(f"starting {board.name}", None)
        supervisor = [
            sys.executable,
            "-m",
            "host.flash.process",
            board.name,
            str(room.folder),
            "--",
            *command,
        ]
        process = subprocess.Popen(
            dying_with_parent(supervisor) if with_parent else supervisor,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            start_new_session=True,
        )
        _wait_for_port(board, room, process)
    return room.status()


def stop_process(board: Board, folder: Path | None = None) -> bool:
    """Stop supervisor and process; the flash file stays. False when it did not run."""
    room = device_room(board, folder)
    with locked(room.folder):
        return room.stop()


def device_command(board: Board) -> list[str]:
    """The board's own program, without its last two arguments. Raises MissingError when it is not built."""
    if board.firmware["kind"] == "cpython":
        program, command = extension_path(board), [sys.executable, "-m", "tactus.main"]
    else:
        program = firmware_path(board)
        command = [str(program), "-m", "tactus.main"]
    if not program.is_file():
        raise MissingError(
            f"{program.name} of {board.name} is not built",
            f"build it: invoke flash --board {board.name}",
        )
    return command


def _wait_for_port(board: Board, room: DeviceRoom, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    settled = None  # when a process that has its port and still lives counts as started
    while process.poll() is None and time.monotonic() < deadline:
        if settled is not None and time.monotonic() > settled:
            return
        if settled is None and room.pid() == process.pid and room.port.is_symlink():
            settled = time.monotonic() + _SETTLE_SECONDS
        time.sleep(0.005)
    lines = (
        (room.log.read_text(errors="replace") if room.log.is_file() else "").strip().splitlines()
    )
    reason = (lines or ["no output"])[-1]
    room.stop()
    raise DeviceError(f"{board.name} did not start: {reason}", f"the whole log is {room.log}")


class _Supervisor:
    """Owns the PTY and the device process; `run()` returns when the device ended for good."""

    def __init__(self, room: DeviceRoom, command: list[str], python_path: list[str]) -> None:
        self._room = room
        self._command = command
        self._python_path = python_path
        # Both ends stay open here, so that neither side ever sees a hang-up.
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self._retained = os.memfd_create("retained")  # RAM that a reset keeps
        self._device: subprocess.Popen[bytes] | None = None
        self._log = room.log.open("wb", buffering=0)

    def run(self) -> None:
        signal.signal(signal.SIGTERM, self._on_terminate)
        cause: str | None = _CAUSE_POWER_ON
        code = faults = 0
        while cause is not None and faults < FAULTS_MAX:
            started = time.monotonic()
            self._device = self._spawn(cause)
            self._room.link_port(self._room.port, os.ttyname(self._slave))
            self._room.write_pid(os.getpid())
            assert self._device.stdout is not None
            self._relay(self._device.stdout)
            code = self._device.wait()
            cause = _CAUSES.get(code)
            is_fault = cause == _CAUSE_FAULT and time.monotonic() - started < FAULT_SECONDS
            faults = faults + 1 if is_fault else 0
        self._log.write(f"ended with exit code {code}\n".encode())

    def _spawn(self, cause: str) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(self._python_path),
            "PYTHONUNBUFFERED": "1",
            "TACTUS_RESET_CAUSE": cause,
            "TACTUS_RETAINED_FD": str(self._retained),
        }
        return subprocess.Popen(
            dying_with_parent([*self._command, str(self._room.flash_file), str(self._master)]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[self._master, self._retained],
            env=environment,
            cwd=self._room.folder,
        )

    def _relay(self, output: IO[bytes]) -> None:
        """Copy what the device prints to the log and the port until it closes its output."""
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while True:
                selector.select()
                text = os.read(output.fileno(), 4096)
                if not text:
                    return
                if self._log.tell() < LOG_BYTES_MAX:
                    self._log.write(text)
                with contextlib.suppress(
                    BlockingIOError
                ):  # nobody reads: the text is lost, as on a real port
                    os.set_blocking(self._master, False)
                    os.write(self._master, text.replace(b"\n", b"\r\n"))

    def _on_terminate(self, _signal: int, _frame: object) -> None:
        if self._device is not None:
            self._device.kill()
            self._device.wait()
        os._exit(0)


def main(arguments: list[str]) -> None:
    """Entry of the supervisor: <board> <folder> -- <device command...>."""
    board_name, folder, _, *command = arguments
    from host.boards import load_board

    python_path = [
        str(ROOT / "device"),
        str(ROOT),
        str(extension_path(load_board(board_name)).parent),
    ]
    _Supervisor(DeviceRoom(Path(folder)), command, python_path).run()


if __name__ == "__main__":
    main(sys.argv[1:])
