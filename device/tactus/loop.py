"""The loop: dispatch in C, sources in Python, background work only when nothing is due.

On MicroPython it runs under the heap lock: an allocation raises instead of costing time at a bad moment.
"""

import _tactus

from tactus import crashes, link, stream, trial, watchdog
from tactus.platform import heap_lock, heap_unlock

_START = 1  # enum tac_sched_event
_LITTER_BYTES = (
    8192  # allocated since the last collection: time for the next; no piece leaves as much
)


def run(board):
    """Run until a reset is asked for, then reset."""
    while not board.reset_requested or board.answering is not None:
        heap_lock()
        try:
            beat(board)
        finally:
            heap_unlock()
        watchdog.feed()  # only here: tasks that leave no time for the link do not get by
        if board.crashes:
            crashes.watch(board)
        if board.trial and board.trial.is_due():
            trial.step(board)
        else:
            background(board)
    _tactus.reset()


def beat(board):
    """Dispatch until background work may be done: idle, and a message, a frame or a collection waits.

    Without a started application the scheduler only rests. Under the heap lock; allocates nothing. What is
    written here costs time with every job, so it is little: bound methods and functions are looked up before.
    """
    fills = board.fills
    feed = _tactus.sched_feed
    event = _tactus.sched_run(board.rest_us())
    while event & 15 == _START:
        event = feed(fills[event >> 4]())


def background(board):
    """One piece of background work: a collection, one of a message's pieces, a frame, or of telemetry.

    Each is short on its own; the dispatcher runs what has become due in between. Frames and messages take turns
    where both wait.
    """
    started_us = _tactus.time_us()
    starts = board.starts
    was_running = board.running
    is_collection = board.littered
    if is_collection:
        _tactus.collect()
        board.littered = False
    elif not _frame_or_message(board) and not _telemetry(board):
        return
    # What came before a start does not belong to its statistics, and nothing waits while tasks stand still.
    if was_running and board.running and board.starts == starts:
        _tactus.sched_background(started_us, is_collection)


def _frame_or_message(board):
    is_turn = board.framed
    board.framed = False
    if not is_turn and _frame(board):
        return True
    if link.serve(board):
        board.littered = _tactus.litter() >= _LITTER_BYTES
        return True
    return is_turn and _frame(board)


def _telemetry(board):
    # Never between the pieces of a message: it has results in the scratch buffer, perhaps.
    if board.answering is not None or not board.telemetry.due():
        return False
    board.telemetry.step(board)
    board.littered = _tactus.litter() >= _LITTER_BYTES
    return True


def _frame(board):
    if not board.lease.due():
        return False
    stream.send(board)  # leaves no garbage
    board.framed = True
    return True
