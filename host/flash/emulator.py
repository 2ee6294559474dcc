"""QEMU as a board: flash in a file, serial ports on PTYs with stable names, alive until stopped.

QEMU gets the PTYs from here, both ends of each: with the far end held open it never sees a hang-up, so a program
may open and close the port at any time and bytes are taken at once (QEMU's own `-serial pty` looks for a
reader only every second, and throws away what is printed before).
"""

import contextlib
import os
import pty
import secrets
import subprocess
import time
import tty
from collections.abc import Iterator
from pathlib import Path

from host.boards import Board
from host.errors import MissingError, UsageError
from host.flash import system
from host.flash.device_room import (
    DeviceError,
    DeviceRoom,
    DeviceStatus,
    device_room,
    dying_with_parent,
)
from host.flash.lock import locked
from host.progress import Progress, silent

_START_SECONDS = 0.15  # QEMU says what it dislikes at once


def start_emulator(
    board: Board,
    firmware: Path,
    folder: Path | None = None,
    with_parent: bool = False,
    progress: Progress = silent,
) -> DeviceStatus:
    """Start QEMU with `firmware`, detached; one that runs already is left alone.

    `folder` overrides the device room, `with_parent` ends QEMU with this process. Raises MissingError without QEMU or
    firmware, DeviceError when QEMU refuses to start.
    """
    _require_kind(board)
    system.require(*system.EMULATOR, progress=progress)
    room = device_room(board, folder)
    with locked(room.folder):
        if room.pid() is not None:
            return room.status()
        if not firmware.is_file():
            raise MissingError(
                f"no firmware for {board.name} at {firmware}",
                f"build it: invoke flash --board {board.name}",
            )
        room.stop()  # what a crash left behind
        room.prepare_flash(board.flash.bytes, int(board.emulator["flash_file_bytes"]))
        progress(f"starting {board.name} in QEMU", None)
        with _terminals(room) as fds:
            _spawn(board, firmware, room, fds, with_parent)
    return room.status()


def stop_emulator(board: Board, folder: Path | None = None) -> bool:
    """Stop QEMU; the flash file stays. False when it did not run."""
    room = device_room(board, folder)
    with locked(room.folder):
        return room.stop()


def _require_kind(board: Board) -> None:
    if board.emulator.get("kind") != "qemu":
        raise UsageError(
            f"board {board.name} is not emulated by QEMU",
            'its board.toml says [emulator] kind = "process"',
        )


@contextlib.contextmanager
def _terminals(room: DeviceRoom) -> Iterator[list[tuple[int, int]]]:
    """Two raw PTYs as (master, slave); the stable names point at the slaves. Our copies close at the end."""
    pairs = [pty.openpty(), pty.openpty()]
    try:
        for (_, slave), port in zip(pairs, (room.port, room.second_port), strict=True):
            tty.setraw(slave)
            room.link_port(port, os.ttyname(slave))
        yield pairs
    finally:
        for pair in pairs:
            for fd in pair:
                os.close(fd)


def _command(board: Board, firmware: Path, room: DeviceRoom, masters: list[int]) -> list[str]:
    emulator = board.emulator
    command = ["qemu-system-arm", "-machine", f"{emulator['machine']},memory-backend=flash"]
    command += ["-object"]
    command += [
        f"memory-backend-file,id=flash,mem-path={_quoted(room.flash_file)},size={emulator['flash_file_bytes']},share=on"
    ]
    clock = f"shift={emulator['ns_per_instruction_shift']}"
    if emulator.get("skips_idle"):  # an idle core's time passes at once, not with the host's
        clock += ",sleep=off"
    command += ["-icount", clock, *emulator.get("arguments", ())]
    if "boot_seed_address" in emulator:
        seed = f"addr={emulator['boot_seed_address']},data={secrets.randbits(32)},data-len=4"
        command += ["-device", f"loader,{seed}"]
    command += [
        "-display",
        "none",
        "-monitor",
        "none",
        "-parallel",
        "none",
        "-kernel",
        str(firmware),
    ]
    for i, fd in enumerate(masters):
        command += [
            "-add-fd",
            f"fd={fd},set={i}",
            "-chardev",
            f"serial,id=uart{i},path=/dev/fdset/{i}",
        ]
        command += ["-serial", f"chardev:uart{i}"]
    return command


def _quoted(path: Path) -> str:
    return str(path).replace(",", ",,")  # QEMU's option syntax


def _spawn(
    board: Board, firmware: Path, room: DeviceRoom, fds: list[tuple[int, int]], with_parent: bool
) -> None:
    command = _command(board, firmware, room, [master for master, _ in fds])
    with room.log.open("w") as log:
        process = subprocess.Popen(
            dying_with_parent(command) if with_parent else command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=[fd for pair in fds for fd in pair],
            start_new_session=True,
        )
    room.write_pid(process.pid)
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            room.stop()
            lines = room.log.read_text(errors="replace").strip().splitlines() or ["no output"]
            raise DeviceError(
                f"QEMU did not start {board.name}: {lines[-1]}", f"the whole log is {room.log}"
            )
        time.sleep(0.01)
