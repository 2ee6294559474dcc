"""Statistics of a span of time, from snapshots that count since the board's start."""

from collections import deque
from dataclasses import dataclass

from host.link.tactus_group import StatsSnapshot, TaskInfo
from protocol.histogram import Histogram, bucket_upper
from protocol.stats import TaskStats

UPTIME_WRAP_MS = 1 << 30
_RATE_SPAN_MS = 5_000
_COUNTS = (
    "released",
    "done",
    "missed_late",
    "aborted",
    "skipped",
    "wcet_exceeded",
    "budget_exceeded",
    "exec_n",
    "exec_sum_us",
    "done_lite",
    "degraded",
    "restored",
    "restarted",
    "early",
)
_TOPS = (
    "mk16_max",
    "mk64_max",
    "cycle_jitter_max_us",
    "background_max_us",
    "exec_max_us",
    "wcet_excess_max_us",
)


@dataclass(frozen=True, slots=True)
class Load:
    """How much a task did over the last seconds.

    rate_hz: jobs done a second of the board's uptime, None until two frames are there. utilization:
    execution a job over the period. budget: longest execution since the start over the budget.
    """

    rate_hz: float | None
    utilization: float
    budget: float


class Loads:
    """Follows the frames of a board and tells each task's load over the last five seconds."""

    def __init__(self) -> None:
        self._frames: deque[StatsSnapshot] = deque()

    def take(self, frame: StatsSnapshot, tasks: tuple[TaskInfo, ...]) -> tuple[Load, ...]:
        """Count a frame in; a board that started over is followed anew."""
        if self._frames and restarted(self._frames[-1], frame):
            self._frames.clear()
        self._frames.append(frame)
        while len(self._frames) > 2 and elapsed_ms(self._frames[1], frame) > _RATE_SPAN_MS:
            self._frames.popleft()
        old = self._frames[0]
        span_ms = elapsed_ms(old, frame)
        loads = []
        for task, before, now in zip(tasks, old.tasks, frame.tasks, strict=True):
            done, busy = now.exec_n - before.exec_n, now.exec_sum_us - before.exec_sum_us
            if done == 0:
                done, busy = now.exec_n, now.exec_sum_us
            loads.append(
                Load(
                    1000 * (now.done - before.done) / span_ms if span_ms > 0 else None,
                    busy / done / task.period_us if done else 0.0,
                    now.exec_max_us / task.budget_us if task.budget_us else 0.0,
                )
            )
        return tuple(loads)


def elapsed_ms(old: StatsSnapshot, new: StatsSnapshot) -> int:
    """From one frame of a boot to a later one, on the board's wrapping clock."""
    return (new.uptime_ms - old.uptime_ms) % UPTIME_WRAP_MS


def restarted(old: StatsSnapshot, new: StatsSnapshot) -> bool:
    """Whether the board was reset or its tasks were started over between two frames."""
    if len(old.tasks) != len(new.tasks):
        return True
    back = elapsed_ms(old, new) >= UPTIME_WRAP_MS // 2
    return back or any(b.released < a.released for a, b in zip(old.tasks, new.tasks, strict=True))


def stats_between(old: TaskStats, new: TaskStats) -> TaskStats:
    """What was counted between two snapshots of a task; maxima and jitter stay those of `new`."""
    counts = {name: getattr(new, name) - getattr(old, name) for name in _COUNTS}
    result: TaskStats = new._replace(
        **counts,
        start=_difference(old.start, new.start),
        response=_difference(old.response, new.response),
    )
    return result


def merge_stats(one: TaskStats, other: TaskStats) -> TaskStats:
    """Two runs of a task as one."""
    start, response = Histogram(), Histogram()
    for stats in (one, other):
        start.merge(stats.start)
        response.merge(stats.response)
    executed = [stats.exec_min_us for stats in (one, other) if stats.exec_n]
    lateness = [stats.lateness_max_us for stats in (one, other) if stats.done]
    result: TaskStats = other._replace(
        **{name: getattr(one, name) + getattr(other, name) for name in _COUNTS},
        **{name: max(getattr(one, name), getattr(other, name)) for name in _TOPS},
        exec_min_us=min(executed, default=0),
        lateness_max_us=max(lateness, default=0),
        events_frozen=one.events_frozen or other.events_frozen,
        start=start,
        response=response,
    )
    return result


def _difference(old: Histogram, new: Histogram) -> Histogram:
    """Counts of `new` that `old` lacks. Its maximum is exact when it is a new one, else that of its bucket."""
    span = Histogram()
    span.buckets = [b - a for a, b in zip(old.buckets, new.buckets, strict=True)]
    span.n, span.sum_us = new.n - old.n, new.sum_us - old.sum_us
    used = span.nonzero()
    if used:
        exact = new.max_us > old.max_us
        span.max_us = new.max_us if exact else min(bucket_upper(used[-1][0]), new.max_us)
        span.min_us = max(bucket_upper(used[0][0] - 1) + 1 if used[0][0] else 0, new.min_us)
    return span
