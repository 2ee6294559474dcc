"""`flash`: the board's firmware built, its replay data in flash, the board running. Idempotent."""

from pathlib import Path

from host.boards import Board
from host.errors import DoesNotFitError
from host.flash.cpython_ext import build_extension
from host.flash.device_room import ERASED, DeviceStatus, device_room
from host.flash.emulator import start_emulator, stop_emulator
from host.flash.firmware import build_firmware
from host.flash.process import start_process, stop_process
from host.package.keys_roots import RootKeys
from host.progress import Progress, silent


def flash_board(
    board: Board,
    replay: bytes | None,
    trust: RootKeys,
    trust_name: str,
    erase: bool = False,
    folder: Path | None = None,
    with_parent: bool = False,
    progress: Progress = silent,
) -> DeviceStatus:
    """Build the firmware, write the replay region while the board is stopped, start the board.

    A board that runs is restarted, so that it runs what was built. `replay` None leaves the region as it is; `erase`
    sets the whole flash to 0xFF first, packages included. `folder` overrides the device room, `with_parent` ends the board
    with this process. Raises DoesNotFitError when `replay` is longer than the region.
    """
    if replay is not None and len(replay) > board.flash.replay_bytes:
        raise DoesNotFitError(
            f"the replay data of {len(replay):,} B exceeds the {board.flash.replay_bytes:,} B region of {board.name}",
            f"record fewer windows, or enlarge [flash] replay_bytes in boards/{board.name}/board.toml",
        )
    build = build_extension if board.firmware["kind"] == "cpython" else build_firmware
    program = build(board, trust, trust_name, progress)
    stop_board(board, folder)
    room = device_room(board, folder)
    room.prepare_flash(board.flash.bytes, board.flash.bytes)
    if erase:
        room.write_flash(0, ERASED * board.flash.bytes)
    if replay is not None:
        room.write_flash(board.flash.replay_offset, replay.ljust(board.flash.replay_bytes, ERASED))
    if board.emulator["kind"] == "qemu":
        return start_emulator(board, program, folder, with_parent, progress)
    return start_process(board, folder, with_parent, progress)


def stop_board(board: Board, folder: Path | None = None) -> bool:
    """Stop an emulated board; its flash stays. False when it did not run."""
    stop = stop_emulator if board.emulator["kind"] == "qemu" else stop_process
    return stop(board, folder)


def board_status(board: Board, folder: Path | None = None) -> DeviceStatus:
    """Whether an emulated board runs, and where its port, flash file and log are."""
    return device_room(board, folder).status()
