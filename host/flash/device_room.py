"""Where an emulated board lives: flash file, port, process id and log, in build/devices/<board>/.

TACTUS_DEVICES_DIR in the environment puts all of them elsewhere (tests that run at the same time).
"""

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from host.boards import BUILD, Board
from host.errors import TactusError

DEVICES_VARIABLE = "TACTUS_DEVICES_DIR"
ERASED = b"\xff"
_STOP_SECONDS = 3.0


class DeviceError(TactusError):
    """An emulated board does not start, or does not stop."""


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """State of an emulated board. `pid` is None when it does not run."""

    running: bool
    pid: int | None
    port: Path
    flash_file: Path
    log: Path


@dataclass(frozen=True, slots=True)
class DeviceRoom:
    """The files of one emulated board."""

    folder: Path

    @property
    def port(self) -> Path:
        """Stable name of the serial port."""
        return self.folder / "tty"

    @property
    def second_port(self) -> Path:
        """Stable name of the second serial port, of boards that have one."""
        return self.folder / "tty1"

    @property
    def flash_file(self) -> Path:
        """Content of the flash that packages live in."""
        return self.folder / "flash.bin"

    @property
    def log(self) -> Path:
        """What the emulator or the device process prints."""
        return self.folder / "log.txt"

    @property
    def pid_file(self) -> Path:
        """`<pid> <start time>` of the process, so that a reused pid is not mistaken for it."""
        return self.folder / "pid"

    def pid(self) -> int | None:
        """Process id while the board runs, else None. A stale file counts as not running."""
        try:
            pid, started = self.pid_file.read_text().split()
        except (OSError, ValueError):
            return None
        return int(pid) if pid.isdigit() and process_start_time(int(pid)) == started else None

    def status(self) -> DeviceStatus:
        """State of the board."""
        pid = self.pid()
        return DeviceStatus(pid is not None, pid, self.port, self.flash_file, self.log)

    def write_pid(self, pid: int) -> None:
        """Remember the process that is this board."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.pid_file.write_text(f"{pid} {process_start_time(pid)}\n")

    def link_port(self, port: Path, terminal: str) -> None:
        """Point the stable name `port` at `terminal`, in one step."""
        self.folder.mkdir(parents=True, exist_ok=True)
        fresh = port.with_name(port.name + ".new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(terminal)
        fresh.replace(port)

    def stop(self) -> bool:
        """End the board's process, politely first. False when it did not run."""
        pid = self.pid()
        if pid is not None:
            _end(pid)
        for path in (self.pid_file, self.port, self.second_port):
            path.unlink(missing_ok=True)
        return pid is not None

    def prepare_flash(self, region_bytes: int, file_bytes: int) -> None:
        """Make the flash file: `region_bytes` erased to 0xFF, the rest a hole. Content that is there stays."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.flash_file.touch()
        have = self.flash_file.stat().st_size
        with self.flash_file.open("r+b") as file:
            if have < region_bytes:
                file.seek(have)
                file.write(ERASED * (region_bytes - have))
            if have < file_bytes:
                file.truncate(file_bytes)

    def write_flash(self, offset: int, data: bytes) -> None:
        """Write into the flash file of a board that is stopped."""
        with self.flash_file.open("r+b") as file:
            file.seek(offset)
            file.write(data)


def device_room(board: Board, folder: Path | None = None) -> DeviceRoom:
    """The room of a board: `folder` if given, else below TACTUS_DEVICES_DIR or build/devices."""
    if folder is not None:
        return DeviceRoom(folder.resolve())
    devices = os.environ.get(DEVICES_VARIABLE)
    return DeviceRoom((Path(devices).resolve() if devices else BUILD / "devices") / board.name)


def dying_with_parent(command: list[str]) -> list[str]:
    """`command` such that the kernel kills it when the process that starts it dies."""
    return ["setpriv", "--pdeathsig", "KILL", *command]


def process_start_time(pid: int) -> str:
    """Start time of a living process in clock ticks since boot, "" when there is none (or only a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _end(pid: int) -> None:
    started = process_start_time(pid)
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sign)
        deadline = time.monotonic() + _STOP_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)  # when it is our own child
            if process_start_time(pid) != started:
                return
            time.sleep(0.01)
    raise DeviceError(f"process {pid} does not end", f"look at it with: ps {pid}")
