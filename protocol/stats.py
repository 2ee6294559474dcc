"""Reads the bytes that the dispatcher ships: task statistics, results and events.

Layouts and definitions: protocol/SPEC.md, section "Statistics". Everything is little-endian. The bytes
come from a wire: every reader checks them and raises StatsError.
"""

import struct
from collections import namedtuple

from protocol.histogram import BUCKETS, Histogram
from protocol.manifest import POLICIES

VERSION = 2
LOOP_VERSION = 1
RESULT_BYTES = 36
EVENT_BYTES = 16
EVENT_NO_TASK = 255

EVENT_KINDS = (
    "",
    "release",
    "start",
    "op",
    "preempted",
    "done",
    "late",
    "aborted",
    "skipped",
    "background",
    "mode",
)

# policy: index into POLICIES; in_flight, events_frozen: bool; start, response: Histogram; all others
# int, times in us.
# lateness_max_us is meaningful while done > 0, exec_min_us while exec_n > 0, wcet_excess_op while
# wcet_exceeded > 0. off: the task does not run in the present mode; variant: 0 full, 1 lite, what its next
# job begins with; period_us, deadline_us, budget_us: of the present mode, 0 when off.
TaskStats = namedtuple(
    "TaskStats",
    (
        "task",
        "policy",
        "in_flight",
        "events_frozen",
        "off",
        "released",
        "done",
        "missed_late",
        "aborted",
        "skipped",
        "wcet_exceeded",
        "budget_exceeded",
        "mk16_max",
        "mk64_max",
        "cycle_jitter_max_us",
        "lateness_max_us",
        "background_max_us",
        "exec_n",
        "exec_min_us",
        "exec_max_us",
        "exec_sum_us",
        "done_lite",
        "degraded",
        "restored",
        "restarted",
        "wcet_excess_max_us",
        "wcet_excess_op",
        "variant",
        "period_us",
        "deadline_us",
        "budget_us",
        "start",
        "response",
    ),
)
# mode, wanted_mode: index, 0 = normal; running, events_frozen: bool; times in us of the scheduler's clock.
LoopStats = namedtuple(
    "LoopStats",
    (
        "mode",
        "wanted_mode",
        "running",
        "events_frozen",
        "elapsed_us",
        "idle_us",
        "op_us",
        "background_us",
        "ops",
        "preemptions",
        "background_count",
        "background_max_us",
        "mode_switches",
        "mode_wait_max_us",
        "gc_count",
        "gc_forced",
        "gc_pause_max_us",
    ),
)
# late: bool; variant: 0 full, 1 lite; output: the first bytes of the job's first output, at most 16.
Result = namedtuple(
    "Result", ("sequence", "tag", "job", "response_us", "task", "late", "variant", "output")
)
# kind: index into EVENT_KINDS; value: us, what it is depends on the kind.
Event = namedtuple("Event", ("at_us", "job", "task", "kind", "op", "value"))

_HEAD = "<BBBBIIIIIIIHHIiIIIIQIIIIIHBBIII"
_HEAD_BYTES = struct.calcsize(_HEAD)
_HEAD_FIELDS = (
    "version",
    "task",
    "policy",
    "flags",
    "released",
    "done",
    "missed_late",
    "aborted",
    "skipped",
    "wcet_exceeded",
    "budget_exceeded",
    "mk16_max",
    "mk64_max",
    "cycle_jitter_max_us",
    "lateness_max_us",
    "background_max_us",
    "exec_n",
    "exec_min_us",
    "exec_max_us",
    "exec_sum_us",
    "done_lite",
    "degraded",
    "restored",
    "restarted",
    "wcet_excess_max_us",
    "wcet_excess_op",
    "variant",
    "reserved",
    "period_us",
    "deadline_us",
    "budget_us",
)
_LOOP = "<BBBBQQQQIIIIIIIII"
LOOP_BYTES = struct.calcsize(_LOOP)
_HIST_HEAD = "<IIIQB"
_HIST_HEAD_BYTES = struct.calcsize(_HIST_HEAD)


class StatsError(ValueError):
    """Bytes that are not what they claim to be."""


def _varint(data: "bytes | bytearray | memoryview", at: int) -> "tuple[int, int]":
    value = 0
    shift = 0
    while True:
        if at >= len(data) or shift > 28:
            raise StatsError("statistics: a bucket count is cut off or too long")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _unpack_histogram(data: "bytes | bytearray | memoryview", at: int) -> "tuple[Histogram, int]":
    if at + _HIST_HEAD_BYTES > len(data):
        raise StatsError("statistics: a histogram is cut off")
    h = Histogram()
    h.n, h.min_us, h.max_us, h.sum_us, used = struct.unpack_from(_HIST_HEAD, data, at)
    at += _HIST_HEAD_BYTES
    last = -1
    total = 0
    for _ in range(used):
        if at >= len(data):
            raise StatsError("statistics: a histogram is cut off")
        index = data[at]
        if index <= last or index >= BUCKETS:
            raise StatsError("statistics: bucket %d is out of order or range" % index)
        last = index
        count, at = _varint(data, at + 1)
        h.buckets[index] = count
        total += count
    if total != h.n or h.min_us > h.max_us:
        raise StatsError("statistics: a histogram contradicts itself")
    return h, at


def unpack_stats(data: "bytes | bytearray | memoryview") -> TaskStats:
    """One task's statistics from tac_sched_pack_stats()."""
    if len(data) < _HEAD_BYTES:
        raise StatsError("statistics: %d bytes are too few" % len(data))
    head = struct.unpack_from(_HEAD, data, 0)
    if head[0] != VERSION:
        raise StatsError("statistics: version %d is not %d" % (head[0], VERSION))
    if head[2] >= len(POLICIES):
        raise StatsError("statistics: policy %d is unknown" % head[2])
    start, at = _unpack_histogram(data, _HEAD_BYTES)
    response, at = _unpack_histogram(data, at)
    if at != len(data):
        raise StatsError("statistics: %d bytes too many" % (len(data) - at))
    flags = (bool(head[3] & 1), bool(head[3] & 2), bool(head[3] & 4))
    if head[26] > 1:
        raise StatsError("statistics: variant %d is unknown" % head[26])
    return TaskStats(*(head[1:3] + flags + head[4:27] + head[28:] + (start, response)))


def unpack_counters(data: "bytes | bytearray | memoryview") -> "dict[str, int]":
    """The numbers in front of the histograms of tac_sched_pack_stats(), by name, as they are: cheap on a board."""
    if len(data) < _HEAD_BYTES:
        raise StatsError("statistics: %d bytes are too few" % len(data))
    return dict(zip(_HEAD_FIELDS, struct.unpack_from(_HEAD, data, 0)))  # noqa: B905 no `strict` on boards


def unpack_loop(data: "bytes | bytearray | memoryview") -> LoopStats:
    """The board-wide statistics from tac_sched_pack_loop()."""
    if len(data) != LOOP_BYTES:
        raise StatsError("loop statistics: %d bytes are not %d" % (len(data), LOOP_BYTES))
    fields = struct.unpack_from(_LOOP, data, 0)
    if fields[0] != LOOP_VERSION:
        raise StatsError("loop statistics: version %d is not %d" % (fields[0], LOOP_VERSION))
    flags = (bool(fields[3] & 1), bool(fields[3] & 2))
    return LoopStats(*(fields[1:3] + flags + fields[4:]))


def unpack_results(data: "bytes | bytearray | memoryview") -> "list[Result]":
    """Records from tac_sched_pack_results(), oldest first."""
    if len(data) % RESULT_BYTES:
        raise StatsError("results: %d bytes are not whole records" % len(data))
    results = []
    for at in range(0, len(data), RESULT_BYTES):
        sequence, tag, job, response_us, task, flags, used, _ = struct.unpack_from(
            "<IIIIBBBB", data, at
        )
        if used > 16:
            raise StatsError("results: %d output bytes do not fit a record" % used)
        output = bytes(data[at + 20 : at + 20 + used])
        results.append(
            Result(sequence, tag, job, response_us, task, bool(flags & 1), flags >> 1 & 1, output)
        )
    return results


def unpack_events(data: "bytes | bytearray | memoryview") -> "list[Event]":
    """Records from tac_sched_pack_events(), oldest first."""
    if len(data) % EVENT_BYTES:
        raise StatsError("events: %d bytes are not whole records" % len(data))
    events = []
    for at in range(0, len(data), EVENT_BYTES):
        at_us, job, task, kind, op, value = struct.unpack_from("<IIBBHI", data, at)
        if not 0 < kind < len(EVENT_KINDS):
            raise StatsError("events: kind %d is unknown" % kind)
        events.append(Event(at_us, job, task, kind, op, value))
    return events
