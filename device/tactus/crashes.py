"""What a board does after crashes in a row: resets by watchdog or fault without a stretch of healthy running between them.

Three in a row: it goes back to the package that was confirmed before, where the floors let it; three more, or nothing
to go back to: the package is loaded and not started, and the link has the board for itself. Only retained RAM counts:
a reset that is asked for and a power-on begin anew, so nothing here can wear the flash or shut a good package out.
"""

import _tactus

from protocol import errors
from tactus import groups_image, state
from tactus.platform import log

MOST = 3
HEALTHY_MS = 60_000  # of running: an update over the link takes less
_ELAPSED_MS = 0  # enum tac_trial_figure


def go_back(board, slot):
    """Choose the other package in place of `slot`, the newest confirmed one; whether it was chosen."""
    if board.crashes != MOST or not _has_other(board, slot):
        return False
    if _tactus.slot_mark(1 - slot, state.PENDING, 0, 0) < 0:
        return False
    board.reason = errors.BOOT_BACK
    _say(board, slot)
    return True


def is_stopped(board, slot):
    """Whether the confirmed package in `slot` is not to be started. Says so, and why in board.reason."""
    if board.crashes < MOST or (board.crashes < 2 * MOST and _has_other(board, slot)):
        return False
    board.reason = errors.BOOT_STOPPED
    _say(board, slot)
    return True


def watch(board):
    """End the row when the package has run for long enough. At each turn of background work while there is one."""
    if board.running and _tactus.trial(_ELAPSED_MS, 0) >= HEALTHY_MS:
        forget(board)


def forget(board):
    """End the row."""
    board.crashes = 0
    _tactus.crashes_over()


def _has_other(board, slot):
    other = state.Slot(1 - slot)
    return (
        other.state == state.CONFIRMED
        and groups_image.floor_broken(board.versions[other.sha256]) == 0
    )


def _say(board, slot):
    log(
        "tactus: slot %d, %d crashes in a row: %s"
        % (slot, board.crashes, errors.sentence(board.reason))
    )
