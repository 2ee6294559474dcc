"""What `bench realtime` runs on the board, at its REPL: the product's own loop, and arrival order beside it.

Sources, loop and dispatcher are those of the firmware; only the models come from the replay region instead of a
package, because no application asks for such sets. PROGRAM is text for MicroPython; the names in capitals
are defined before it.
"""

from typing import Any, Protocol


class Repl(Protocol):
    """What runs the program: a board at its prompt, or a process."""

    def run(self, program: str, timeout_s: float = ...) -> str:
        """Run statements."""

    def value(self, expression: str, timeout_s: float = ...) -> Any:
        """The value of an expression."""


# FLASH: what init() takes. TASKS: per task (image offset, image bytes, arena offset, period, deadline, budget, policy with flags, task map).
PROGRAM = """
import _tactus
import sys
from protocol.stats import unpack_stats
from tactus import loop, platform, sources, state
assert _tactus.init(*FLASH) == 0
board = state.Board()
SECOND = 1000000

class Unwritten:
    # No telemetry: nobody here does the pieces that it would ask for.
    def wait_us(self):
        return 0x3FFFFFFF

board.telemetry = Unwritten()

def times(at, size, patterns):
    align()
    image = region[at : at + size]
    out = bytearray(4 * _tactus.plan_info(image, 0)[0])
    for pattern, seed in patterns:
        assert _tactus.engine_times(image, pattern, seed, out) >= 0
    return [int.from_bytes(out[i : i + 4], sys.byteorder) for i in range(0, len(out), 4)]

def load(tasks):
    _tactus.sched_stop()
    _tactus.sched_reset()
    board.sources = [sources.open_source(task[7], region) for task in tasks]
    for i, (at, size, arena, period, deadline, budget, policy, _) in enumerate(tasks):
        code = _tactus.sched_add(region[at : at + size], arena, period, deadline, budget, policy, 0)
        assert code == i, code
        board.sources[i].bind(i)
    board.fills = [fill for source in board.sources for fill in source.fills()]

def align():
    # The figures are to depend on nothing that was before, so not on when the host's bytes came: a board's clock
    # begins anew with init(), the heap is swept, and what follows begins when a sleep ends, which is at an exact instant. The
    # first sleep ends where it likes, the second a fixed time after a full second.
    global region
    assert _tactus.init(*FLASH) == 0
    region = _tactus.replay()
    _tactus.collect()
    _tactus.sched_run(SECOND - _tactus.time_us() % SECOND)
    _tactus.sched_run(SECOND - _tactus.time_us() % SECOND)

def figures(count):
    packed = bytearray(2048)
    out = []
    for task in range(count):
        size = _tactus.sched_stats(task, packed)
        s = unpack_stats(memoryview(packed)[:size])
        out.append((s.released, s.done, s.missed_late + s.aborted + s.skipped, s.start.max_us,
                    s.response.max_us, s.exec_max_us, s.exec_sum_us, s.wcet_exceeded, s.skipped))
    return out

def run(tasks, seconds):
    # Once in short: the interpreter keeps where it last found each name, also from before it was interrupted.
    own(tasks, 1)
    return own(tasks, seconds)

def own(tasks, seconds):
    # The loop as loop.run() runs it, with nothing on the link; the lease brings the loop back each second.
    align()
    board.lease.grant(0, 0)  # then the next one begins a beat
    board.lease.grant(60000, 1000)
    load(tasks)
    _tactus.sched_run(SECOND - _tactus.time_us() % SECOND)
    assert _tactus.sched_start(100000, 1) == 0
    end = (_tactus.uptime_ms() + 1000 * seconds) & 0x3FFFFFFF
    while (end - _tactus.uptime_ms()) & 0x3FFFFFFF < 0x20000000:
        platform.heap_lock()
        try:
            loop.beat(board)
        finally:
            platform.heap_unlock()
        board.lease.grant(60000, 1000)
        board.lease.due()
    _tactus.sched_stop()
    return figures(len(tasks))

def arrival(tasks, seconds, deadlines):
    in_order(tasks, 1, deadlines)
    return in_order(tasks, seconds, deadlines)

def in_order(tasks, seconds, deadlines):
    # Equal relative deadlines: EDF is arrival order then, and nothing is ever preempted. Deadlines are judged
    # here, from the result records, in the idle moments.
    align()
    load(tasks)
    _tactus.sched_run(SECOND - _tactus.time_us() % SECOND)
    assert _tactus.sched_start(100000, 1) == 0
    late = [0] * len(tasks)
    worst = [0] * len(tasks)
    platform.heap_lock()
    try:
        _arrival(board.fills, seconds, deadlines, late, worst, RESULT)
    finally:
        platform.heap_unlock()
    _tactus.sched_stop()
    return late, worst, figures(len(tasks))

RESULT = bytearray(40)

def _arrival(fills, seconds, deadlines, late, worst, result):
    pending = False
    cursor = 0
    end = (_tactus.uptime_ms() + 1000 * seconds) & 0x3FFFFFFF
    while True:
        event = _tactus.sched_run(0 if pending else 1000)
        while event & 15 == 1:
            event = _tactus.sched_feed(fills[event >> 4]())
        pending = _tactus.sched_results(cursor, 1, result) > 4
        if pending:
            cursor += 1
            task = result[20]
            response = result[16] | result[17] << 8 | result[18] << 16 | result[19] << 24
            if response > deadlines[task]:
                late[task] += 1
            if response > worst[task]:
                worst[task] = response
        elif (end - _tactus.uptime_ms()) & 0x3FFFFFFF >= 0x20000000:
            return
"""
