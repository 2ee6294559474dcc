"""Telemetry: what a board writes down for the day somebody comes to read it.

A round looks at everything once, in pieces of background work, and writes a record for what is new: each is due a
background period after the one before, and none comes between the pieces of a message. What was not written
for want of flash or budget is noticed again in the next round. Records: protocol/telemetry.py.
"""

import _tactus

from protocol import telemetry as records
from protocol.stats import HISTOGRAMS_AT, unpack_counters, unpack_events, unpack_loop
from tactus import VERSION
from tactus.platform import log
from tactus.stream import left_ms

ROUND_MS = 10_000
EVENTS_MS = 60_000  # least time between two records of counters
SUMMARY_MS = 3_600_000
PACE_MIN_MS = 250
RECORD_MS = 10_000  # the budget: one record in this time, and
BURST = 32  # so many at once
FIRST_MS = 500  # the first look: the start is over
READ_MS = 5_000  # a reader gets that long to ask for the next part of what it reads
_MASK = (1 << 30) - 1
_SHA_BYTES = 8
_TOOK_MAX = 6

_TASK_COUNTERS = tuple(name for name, _ in records.KINDS[records.TASK_EVENTS][1][1:])
_MISSES = ("missed_late", "aborted", "skipped")
_RELEASE, _OP, _MISSED, _BACKGROUND = 1, 3, (6, 7, 8), 9  # kinds of events
_SLOTS = 2
_EMPTY, _RECEIVING, _BAD = 0, 1, 6


class Telemetry:
    """What has been written since boot, and when the next look is due. Made before a package is chosen.

    written  records since boot; failed: those that the flash did not take
    """

    def __init__(self):
        self.written = 0
        self.failed = 0
        self._slots = [_slot(index) for index in range(_SLOTS)]  # as the boot before left them
        self._round = None
        self._booted = False
        self._missed = -1  # the start whose first miss is told
        self._starts = -1
        self._tasks = []
        self._board = {}
        now_ms = _tactus.uptime_ms()
        self._next_ms = (now_ms + FIRST_MS) & _MASK
        self._events_ms = self._summary_ms = self._credited_ms = now_ms
        self._credit_ms = BURST * RECORD_MS
        self._pace_ms = 0
        self._pace_end_ms = self._held_ms = now_ms
        self._turn = 0

    def wait_us(self):
        """How long until due(). Called under the heap lock."""
        return min(left_ms(self._next_ms), 1000) * 1000

    def due(self):
        """Whether there is a piece to do."""
        return left_ms(self._next_ms) == 0

    def hold(self):
        """Erase nothing ahead for a while: somebody reads the ring in several requests."""
        self._held_ms = (_tactus.uptime_ms() + READ_MS) & _MASK

    def quicken(self, period_ms, lease_ms):
        """A summary each `period_ms`, outside of the budget, until the lease ends."""
        now_ms = _tactus.uptime_ms()
        self._pace_ms = period_ms if lease_ms > 0 else 0
        self._pace_end_ms = (now_ms + lease_ms) & _MASK
        if self._pace_ms and left_ms(self._next_ms) > period_ms:
            self._next_ms = (now_ms + period_ms) & _MASK

    def step(self, board):
        """Do one piece. Allocates; only while no message is under way: it uses the same scratch."""
        if self._round is None:
            self._round = self._look(board)
        try:
            wait_ms = next(self._round)
        except StopIteration:
            self._round = None
            wait_ms = self._pace_ms or ROUND_MS
        except Exception as error:  # noqa: BLE001 a fault of ours must not stop the tasks
            self._round = None
            wait_ms = ROUND_MS
            log("tactus: telemetry failed: %r" % error)
        self._next_ms = (_tactus.uptime_ms() + wait_ms) & _MASK

    def _look(self, board):
        # Each piece says how long the next one waits, ms: the three of a record follow each other.
        wait_ms = board.facts["background_period_us"] // 1000
        self._refill()
        if left_ms(self._held_ms) == 0 and _tactus.telemetry_prepare() != 0:  # a sector was erased
            yield wait_ms
        if not self._booted:
            self._booted = yield from self._write(board, records.BOOT, _boot_fields(board))
            yield wait_ms
        for index in range(_SLOTS):
            if self._slots[index] != _slot(index):
                yield from self._changed(board, index)
                yield wait_ms
        if self._starts != board.starts:  # the counters began anew
            self._starts = board.starts
            self._tasks = [{} for _ in board.tasks()]
        if self._missed != board.starts and _tactus.sched_frozen():
            start = board.starts
            fields = yield from _first_miss_pieces(board)
            if (yield from self._write(board, records.FIRST_MISS, fields)):
                self._missed = start
            yield wait_ms
        if left_ms(self._events_ms) == 0:
            self._events_ms = (_tactus.uptime_ms() + EVENTS_MS) & _MASK
            for task in range(len(self._tasks)):
                yield from self._task_events(board, task)
                yield wait_ms
            yield from self._board_events(board)
            yield wait_ms
        if self._is_quick():
            self._turn = (self._turn + 1) % (len(self._tasks) + 1)
            yield from self._summary(board, self._turn)
        elif left_ms(self._summary_ms) == 0 and board.running:
            self._summary_ms = (_tactus.uptime_ms() + SUMMARY_MS) & _MASK
            for turn in range(len(self._tasks) + 1):
                yield from self._summary(board, turn)
                yield wait_ms

    def _is_quick(self):
        if self._pace_ms and left_ms(self._pace_end_ms) == 0:
            self._pace_ms = 0
        return self._pace_ms > 0

    def _refill(self):
        now_ms = _tactus.uptime_ms()
        passed = (now_ms - self._credited_ms) & _MASK
        self._credit_ms = min(self._credit_ms + passed, BURST * RECORD_MS)
        self._credited_ms = now_ms

    def _write(self, board, kind, fields):
        # In pieces: True once it is in flash. One that the flash refuses is counted, and noticed again.
        if fields is None:
            return True
        if self._credit_ms < RECORD_MS and not self._pace_ms:
            return False
        yield 0
        following = _tactus.telemetry_info()[1]
        utc_s = board.utc.now_s()
        clock = None if utc_s is None else [utc_s, board.utc.age_s()]
        data = records.encode(board.boot_id, following, _tactus.time_ms(), clock, kind, fields)
        yield 0
        if _tactus.telemetry_append(data) < 0:
            self.failed += 1
            return False
        self.written += 1
        if not self._pace_ms:
            self._credit_ms -= RECORD_MS
        return True

    def _changed(self, board, index):
        before, now = self._slots[index], _slot(index)
        if now[0] == _RECEIVING:
            return
        fields = {"slot": index, "state": now[0], "before": before[0]}
        if now[0] == _BAD:
            fields["reason"] = now[1]
        if now[0] != _EMPTY:
            fields["package"] = now[2]
        if (yield from self._write(board, records.PACKAGE, fields)):
            self._slots[index] = now

    def _task_events(self, board, task):
        stats, _, _ = counters(board, task)
        before = self._tasks[task]
        now = {name: getattr(stats, name, 0) for name in _TASK_COUNTERS}
        fields = _grown(before, now)
        if any(name != "released" for name in fields):
            fields["task"] = board.tasks()[task]["name"]
            if not (yield from self._write(board, records.TASK_EVENTS, fields)):
                return
        self._tasks[task] = now

    def _board_events(self, board):
        _, crc, form, size, _ = _tactus.link_counters()
        loop = _loop(board)
        now = {"errors_crc": crc, "errors_format": form, "errors_size": size}
        now["gc_forced"] = loop.gc_forced
        now["mode_switches"] = loop.mode_switches
        now["flash_errors"] = self.failed
        fields = _grown(self._board, now)
        if fields:
            fields["mode"] = loop.mode
            if not (yield from self._write(board, records.BOARD_EVENTS, fields)):
                return
        self._board = now

    def _summary(self, board, turn):
        if turn > 0:
            fields = _task_summary_fields(board, turn - 1)
            yield from self._write(board, records.TASK_SUMMARY, fields)
        else:
            yield from self._write(board, records.BOARD_SUMMARY, _board_summary_fields(board))


def _slot(index):
    # State, reason and the begin of the digest.
    info = _tactus.slot_info(index)
    return info[0], info[3], info[5][:_SHA_BYTES]


def _grown(before, now):
    # By how much each counter grew, those that did; what a start has cleared grew from 0.
    fields = {}
    for name in now:
        least = before.get(name, 0)
        if now[name] != least:
            fields[name] = now[name] - least if now[name] > least else now[name]
    return fields


def counters(board, task):
    """A task's counters, and the 50th and 99th percentile and maximum, us, of its start latency and response."""
    packed = board.scratch[: _tactus.sched_stats(task, board.scratch)]
    found = unpack_counters(packed)
    start = _tactus.percentiles(packed, HISTOGRAMS_AT)
    return found, start[1:], _tactus.percentiles(packed, start[0])[1:]


def _loop(board):
    return unpack_loop(board.scratch[: _tactus.sched_loop(board.scratch)])


def _boot_fields(board):
    fields = {"reset_cause": _tactus.reset_cause(), "firmware": VERSION, "reason": board.reason}
    if board.package:
        info = _slot(board.slot)
        fields["app"] = board.package.manifest["app"]
        fields["version"] = board.package.manifest["version"]
        fields["slot"] = board.slot
        fields["state"] = info[0]
        fields["package"] = info[2]
    return fields


def _first_miss_pieces(board):
    # Who had the processor from the release of the job that missed until it did.
    elapsed_us = _loop(board).elapsed_us
    yield 0
    events = unpack_events(board.scratch[: _tactus.sched_events(board.scratch)])
    if not events or events[-1].kind not in _MISSED:
        return None
    yield 0
    miss = events[-1]
    took = {}
    for event in events:
        if event.kind == _RELEASE and event.task == miss.task and event.job == miss.job:
            took = {}  # what came before the release is another story
        elif event.kind in (_OP, _BACKGROUND):
            took[event.task] = took.get(event.task, 0) + event.value
    longest = sorted([[took[task], task] for task in took])[-_TOOK_MAX:]
    age_ms = ((elapsed_us - miss.at_us) & 0xFFFFFFFF) // 1000
    tasks = board.tasks()
    return {
        "task": tasks[miss.task]["name"] if miss.task < len(tasks) else "",
        "how": miss.kind,
        "job": miss.job,
        "at_us": miss.at_us,
        "value": min(miss.value, 0x7FFFFFFF),
        "ago_ms": age_ms,
        "took": [[task, us] for us, task in longest],
    }


def _task_summary_fields(board, task):
    stats, start, response = counters(board, task)
    return {
        "task": board.tasks()[task]["name"],
        "released": stats.released,
        "done": stats.done,
        "missed": sum([getattr(stats, name) for name in _MISSES]),
        "start_p99_us": start[1],
        "start_max_us": start[2],
        "response_p50_us": response[0],
        "response_p99_us": response[1],
        "response_max_us": response[2],
        "exec_max_us": stats.exec_max_us,
    }


def _board_summary_fields(board):
    loop = _loop(board)
    elapsed_us = max(loop.elapsed_us, 1)
    return {
        "elapsed_s": loop.elapsed_us // 1_000_000,
        "idle_permille": loop.idle_us * 1000 // elapsed_us,
        "background_max_us": loop.background_max_us,
        "gc_count": loop.gc_count,
        "gc_pause_max_us": loop.gc_pause_max_us,
    }
