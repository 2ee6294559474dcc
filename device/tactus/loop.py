"""The loop: dispatch in C, sources in Python, background work only when nothing is due.

On MicroPython it runs under the heap lock: an allocation raises instead of costing time at a bad moment.
"""

import _tactus

from tactus import link, stream
from tactus.platform import collect, heap_lock, heap_unlock, log

# enum tac_sched_event
_START = 1
_DONE = 2


def run(board):
    """Run until a reset is asked for, then reset."""
    while not board.reset_requested:
        heap_lock()
        try:
            beat(board)
        finally:
            heap_unlock()
        background(board)
    _tactus.reset()


def beat(board):
    """Dispatch until background work may be done: idle, and a message, a frame or a collection waits.

    Without a started application the scheduler only rests. Under the heap lock; allocates nothing.
    """
    sources = board.sources
    limit_us = board.rest_us()
    while True:
        event = _tactus.sched_run(limit_us)
        kind = event & 15
        if kind == _START:
            task = event >> 4
            tag = sources[task].fill()
            if tag < 0:
                _tactus.sched_skip(task)
            else:
                _tactus.sched_begin(task, tag)
        elif kind == _DONE:
            limit_us = board.rest_us()
        else:
            return


def background(board):
    """One piece of background work: a collection, else one message, else one frame.

    Each is short on its own; the dispatcher runs what has become due in between.
    """
    started_us = _tactus.time_us()
    starts = board.starts
    if board.littered:
        collect()
        board.littered = False
    else:
        length = _tactus.link_poll()
        if length == 0 and not board.lease.due():
            return
        board.littered = True
        try:
            if length > 0:
                link.serve(board, length)
            else:
                stream.send(board)
        except MemoryError:  # this message or frame is lost, the next one finds a collected heap
            log("tactus: out of memory")
        if board.starts != starts:  # before the first release: its litter is the largest there is
            collect()
            board.littered = False
    if board.starts == starts:  # what came before a start does not belong to its statistics
        _tactus.sched_background(started_us)
    spent_us = (_tactus.time_us() - started_us) & 0x3FFFFFFF
    board.background_max_us = max(board.background_max_us, spent_us)
