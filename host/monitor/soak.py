"""Soak: a board at sustained load with background work; its first minute against its last.

Load: the periods and deadlines of the application are divided by one factor. The largest factor that the
admission test accepts on the board is load 1; load L takes L times that factor, so that the tasks
use the fraction L of the processor time that the board could be admitted with.

Background work: echoes, statistics polls, results and telemetry in turn, one request each
`background_period_us` of board.toml, beside the stream of frames; and the board writes a telemetry record
each second, some hundred times as often as alone, so that flash sectors are erased beside the tasks.

Verdict: `missed` when any deadline was missed; `stalled` when a task did nothing in the last span;
`drift` when p50 or p99 of start latency or response is, in the last span, more than a quarter and
more than 1 % of the deadline above the first (a histogram's bucket is 12.5 % wide); else `steady`. A
percentile is judged when five jobs of each span lie beyond it, so that no single job makes a drift: p50 from
10 jobs a span on, p99 from 500.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from host.boards import Board
from host.demo_result import missed, percentiles
from host.errors import DoesNotFitError, TactusError
from host.link.session import Session
from host.link.tactus_group import NO_RECORD, StatsSnapshot, TaskInfo
from host.monitor.live import View, watch
from host.monitor.span import elapsed_ms, restarted, stats_between
from host.schedule.admit import TaskTiming, Verdict, admit_tasks
from protocol.stats import TaskStats

SPAN_MS = 60_000  # what is compared; in a run shorter than three of them, a third of it
DRIFT_SHARE, DRIFT_OF_DEADLINE = 0.25, 0.01
JOBS_MIN = {"p50": 10, "p99": 500}  # a span; with fewer the percentile is not judged
FACTOR_MAX = 1 << 10
_FRAME_PERIOD_MS = 500
_ECHO = "soak " * 20
TELEMETRY_MS = 1_000
_TELEMETRY_LEASE_MS = 600_000  # renewed at its half
_STEPS = 1000  # factors are tried in thousandths


class SoakError(TactusError):
    """The board missed deadlines, stood still, or became slower."""


@dataclass(frozen=True, slots=True)
class SoakTask:
    """A task over the run: the first span, the last one, everything."""

    task: TaskInfo
    first: TaskStats
    last: TaskStats
    whole: TaskStats

    def drifts(self) -> list[str]:
        """What became slower, in words."""
        found = []
        floor = self.task.deadline_us * DRIFT_OF_DEADLINE
        for what in ("start", "response"):
            before, after = (
                percentiles(getattr(self.first, what)),
                percentiles(getattr(self.last, what)),
            )
            for key, least in JOBS_MIN.items():
                if min(self.first.done, self.last.done) < least:
                    continue
                more = after[key] - before[key]
                if more > before[key] * DRIFT_SHARE and more > floor:
                    name = "start latency" if what == "start" else "response"
                    found.append(
                        f"{self.task.name}: {key} of {name} {before[key]} -> {after[key]} us"
                    )
        return found


@dataclass(frozen=True, slots=True)
class Soak:
    """A finished run. Counters of the group `loop` of the board before and after; requests beside the stream."""

    tasks: tuple[SoakTask, ...]
    uptime_ms: int
    span_ms: int
    requests: int
    loop_before: dict[str, int]
    loop_after: dict[str, int]
    telemetry_records: int = 0  # written by the board meanwhile

    def verdict(self) -> tuple[str, list[str]]:
        """steady, missed, stalled or drift, and why."""
        lost = [f"{t.task.name}: {n} missed" for t in self.tasks if (n := missed(t.whole))]
        if lost:
            return "missed", lost
        idle = [f"{t.task.name}: no job in the last span" for t in self.tasks if t.last.done == 0]
        if idle:
            return "stalled", idle
        drifts = [words for task in self.tasks for words in task.drifts()]
        return ("drift", drifts) if drifts else ("steady", [])


def largest_factor(board: Board, tasks: Sequence[TaskTiming]) -> float:
    """The largest factor, in steps of 1/1000, by which admission lets the tasks run faster.

    Raises DoesNotFitError when they do not even fit as they are. What is returned was tried.
    """
    admit_tasks(board, tasks)
    low, high = _STEPS, _STEPS * FACTOR_MAX
    while high - low > 1:
        middle = (low + high) // 2
        if _admitted(board, faster(tasks, middle / _STEPS)):
            low = middle
        else:
            high = middle
    return low / _STEPS


def faster(tasks: Sequence[TaskTiming], factor: float) -> list[TaskTiming]:
    """The tasks with periods and deadlines divided by `factor`, rounded down."""
    return [
        replace(
            task,
            period_us=int(task.period_us / factor),
            deadline_us=int(task.deadline_us / factor),
        )
        for task in tasks
    ]


def at_load(
    board: Board, tasks: Sequence[TaskTiming], load: float
) -> tuple[list[TaskTiming], Verdict]:
    """The tasks at a load of (0, 1], and their admission. Raises DoesNotFitError."""
    chosen = faster(tasks, largest_factor(board, tasks) * load)
    return chosen, admit_tasks(board, chosen)


def soak_board(session: Session, board: Board, length_ms: int, view: View) -> Soak:
    """Start the board's tasks, keep it busy beside them for `length_ms` of its uptime, stop them.

    Raises LinkError.
    """
    span_ms = min(SPAN_MS, length_ms // 3)
    session.tactus.stop()
    before = session.stat.read("loop")
    keeper = _Keeper(length_ms, span_ms, _Work(session, board.time.background_period_us / 1e6))
    newest = session.tactus.telemetry(NO_RECORD).newest
    watch(session, view, keeper.take, period_ms=_FRAME_PERIOD_MS, start_speed=1)
    session.tactus.stop()
    session.tactus.pace_telemetry(TELEMETRY_MS, 0)
    written = session.tactus.telemetry(NO_RECORD).newest - newest
    tasks = session.tactus.tasks()
    zero, first, late, end = keeper.zero, keeper.first, keeper.latest[0], keeper.latest[-1]
    assert zero is not None and first is not None  # the length is three spans
    return Soak(
        tuple(
            SoakTask(task, stats_between(z, f), stats_between(m, e), e)
            for task, z, f, m, e in zip(
                tasks, zero.tasks, first.tasks, late.tasks, end.tasks, strict=True
            )
        ),
        elapsed_ms(zero, end),
        span_ms,
        keeper.work.requests,
        before,
        session.stat.read("loop"),
        written,
    )


def soak_json(soak: Soak) -> dict[str, Any]:
    """The run as JSON values."""
    verdict, reasons = soak.verdict()
    return {
        "verdict": verdict,
        "reasons": reasons,
        "uptime_ms": soak.uptime_ms,
        "span_ms": soak.span_ms,
        "background_requests": soak.requests,
        "telemetry_records": soak.telemetry_records,
        "loop": {
            name: {"first": soak.loop_before.get(name, 0), "last": value}
            for name, value in soak.loop_after.items()
        },
        "tasks": {
            task.task.name: {
                "period_us": task.task.period_us,
                "deadline_us": task.task.deadline_us,
                "released": task.whole.released,
                "done": task.whole.done,
                "missed": missed(task.whole),
                "wcet_exceeded": task.whole.wcet_exceeded,
                "first": _span_json(task.first),
                "last": _span_json(task.last),
            }
            for task in soak.tasks
        },
    }


def _span_json(stats: TaskStats) -> dict[str, Any]:
    return {
        "jobs": stats.done,
        "missed": missed(stats),
        "start_latency_us": percentiles(stats.start),
        "response_us": percentiles(stats.response),
    }


def _admitted(board: Board, tasks: Sequence[TaskTiming]) -> bool:
    try:
        admit_tasks(board, tasks)
    except DoesNotFitError:
        return False
    return True


class _Work:
    """Requests beside the stream: what a fleet's tools would ask."""

    def __init__(self, session: Session, every_s: float) -> None:
        self.requests = 0
        self._session = session
        self._every_s = every_s
        self._next_s = time.monotonic()
        self._cursor = 0
        self._telemetry: int | None = None
        self._renew_s = self._next_s
        self._turns: tuple[Callable[[], object], ...] = (
            lambda: session.os.echo(_ECHO),
            lambda: session.stat.read("loop"),
            self._results,
            session.tactus.memory,
            lambda: session.stat.read("link"),
            self._telemetry_page,
        )

    def between_frames(self) -> None:
        """As many requests as the time since the last call holds, but leave room for the next frame."""
        if time.monotonic() >= self._renew_s:
            self._session.tactus.pace_telemetry(TELEMETRY_MS, _TELEMETRY_LEASE_MS)
            self._renew_s = time.monotonic() + _TELEMETRY_LEASE_MS / 2000
        end_s = time.monotonic() + _FRAME_PERIOD_MS / 1000 * 0.8
        while self._next_s < time.monotonic() < end_s:
            self._turns[self.requests % len(self._turns)]()
            self.requests += 1
            self._next_s = max(self._next_s + self._every_s, time.monotonic() - self._every_s * 3)

    def _telemetry_page(self) -> None:
        self._telemetry = self._session.tactus.telemetry(self._telemetry).next

    def _results(self) -> None:
        self._cursor = self._session.tactus.results(self._cursor, 8).next


class _Keeper:
    """Keeps the frames that bound the first and the last span, and none that lie before the last one."""

    def __init__(self, length_ms: int, span_ms: int, work: _Work) -> None:
        self.work = work
        self.zero: StatsSnapshot | None = None
        self.first: StatsSnapshot | None = None
        self.latest: deque[StatsSnapshot] = deque()
        self._length_ms, self._span_ms = length_ms, span_ms

    def take(self, frame: StatsSnapshot) -> bool:
        """Count a frame in; True at the end. Raises SoakError when the board started over."""
        if self.zero is None:
            self.zero = frame
        elif restarted(self.latest[-1], frame):
            raise SoakError(
                "the board was reset while it soaked",
                "run `status`: it tells the cause of the reset",
            )
        self.latest.append(frame)
        if self.first is None and elapsed_ms(self.zero, frame) >= self._span_ms:
            self.first = frame
        while len(self.latest) > 1 and elapsed_ms(self.latest[1], frame) >= self._span_ms:
            self.latest.popleft()
        if elapsed_ms(self.zero, frame) >= self._length_ms:
            return True
        self.work.between_frames()
        return False
