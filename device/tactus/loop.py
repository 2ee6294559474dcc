"""The loop: dispatch in C, sources in Python, background work only when nothing is due.

On MicroPython it runs under the heap lock: an allocation raises instead of costing time at a bad moment.
"""

import _tactus

from tactus import link, stream, trial, watchdog
from tactus.platform import heap_lock, heap_unlock, log

_START = 1  # enum tac_sched_event


def run(board):
    """Run until a reset is asked for, then reset."""
    while not board.reset_requested:
        heap_lock()
        try:
            beat(board)
        finally:
            heap_unlock()
        watchdog.feed()  # only here: tasks that leave no time for the link do not get by
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
    """One piece of background work: a collection, else one message, else one frame.

    Each is short on its own; the dispatcher runs what has become due in between.
    """
    started_us = _tactus.time_us()
    starts = board.starts
    is_collection = board.littered
    if is_collection:
        _tactus.collect()
        board.littered = False
    else:
        length = _tactus.link_poll()
        if length > 0:
            board.littered = True
            try:
                link.serve(board, length)
            except MemoryError:  # this message is lost, the next one finds a collected heap
                log("tactus: out of memory")
        elif not board.lease.due():
            return
        else:
            stream.send(board)  # leaves no garbage
        if board.starts != starts:  # before the first release: its litter is the largest there is
            _tactus.collect()
            board.littered = False
    if board.starts == starts:  # what came before a start does not belong to its statistics
        _tactus.sched_background(started_us, is_collection)
    spent_us = (_tactus.time_us() - started_us) & 0x3FFFFFFF
    board.background_max_us = max(board.background_max_us, spent_us)
