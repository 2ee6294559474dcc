"""Which port a board is on.

Order: the port named by the user, the environment variable TACTUS_PORT, the emulated board named
by the user, and when nothing was named, the only board there is.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from host.boards import Board, board_names, load_board
from host.errors import MissingError, UsageError
from host.flash.device_room import device_room

ENVIRONMENT = "TACTUS_PORT"


@dataclass(frozen=True, slots=True)
class PortInfo:
    """A port a board may be on; `usb_id` is VID:PID in hex, empty when it is no USB port."""

    path: str
    title: str
    board: str | None
    usb_id: str
    serial_number: str


def list_ports() -> list[PortInfo]:
    """Running emulated boards first, then USB serial ports by name."""
    return _emulated_ports() + _usb_ports()


def find_port(
    board: str | None = None,
    port: str | None = None,
    environment: Mapping[str, str] = os.environ,
) -> str:
    """Choose the port to open. Raises MissingError when there is none, UsageError when it is unclear."""
    named = port or environment.get(ENVIRONMENT)
    if named:
        return named
    if board is not None:
        path = _running_port(load_board(board))
        if path is None:
            raise MissingError(
                f"board {board} is not running here",
                f"start it with `flash --board {board}`, or name the port of a real one with --port",
            )
        return str(path)
    found = list_ports()
    if not found:
        raise MissingError(
            "no board found: no emulated board runs and no USB serial port is there",
            "start one with `flash --board host`, plug one in, or name its port with --port",
        )
    if len(found) > 1:
        raise UsageError(
            f"more than one board: {', '.join(item.path for item in found)}",
            "choose one with --board or --port",
        )
    return found[0].path


def _emulated_ports() -> list[PortInfo]:
    ports: list[PortInfo] = []
    for board in map(load_board, board_names()):
        path = _running_port(board)
        if path is not None:
            ports.append(PortInfo(_shown(path), board.title, board.name, "", ""))
    return ports


def _usb_ports() -> list[PortInfo]:
    from serial.tools import list_ports as usb  # takes 20 ms, and only this function wants it

    ports: list[PortInfo] = []
    for item in sorted(usb.comports()):
        if item.vid is None:
            continue
        usb_id = f"{item.vid:04x}:{item.pid:04x}"
        title = item.description or item.product or "USB serial port"
        ports.append(PortInfo(item.device, title, None, usb_id, item.serial_number or ""))
    return ports


def _running_port(board: Board) -> Path | None:
    """The port of an emulated board that runs."""
    status = device_room(board).status()
    return status.port if status.running and status.port.exists() else None


def _shown(path: Path) -> str:
    """The path as short as it works from here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
