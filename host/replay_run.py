"""Running an application on a board until each task has seen all its recorded windows."""

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from host.built_app import BuiltApp
from host.errors import TactusError
from host.link.session import Session
from host.link.tactus_group import ArenaUse, StatsSnapshot
from host.monitor.live import View, watch
from protocol.stats import Event

_FRAME_PERIOD_MS = 500
_PAGE = 40
_STALL_S = 60.0


class StalledError(TactusError):
    """The board answers, but its tasks make no progress."""


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """What a task answered: outputs as bytes, int8 [windows, output bytes]; `seen`: how many came."""

    name: str
    outputs: npt.NDArray[np.int8]
    seen: int
    results: int
    mismatches: int
    accuracy: float


@dataclass(frozen=True, slots=True)
class ReplayRun:
    """A finished run: outcomes in task order, the last statistics, memory rows (name, bytes).

    arenas: planned and touched bytes of each task's arena.
    events: the frozen ring when a deadline was missed.
    """

    tasks: tuple[TaskOutcome, ...]
    stats: StatsSnapshot
    memory: tuple[tuple[str, int], ...]
    arenas: tuple[ArenaUse, ...]
    results_lost: int
    wall_s: float
    events: tuple[Event, ...]


class _Task:
    """Collects a task's results by window and compares each with the reference."""

    def __init__(
        self, name: str, expected: npt.NDArray[np.int8], early: npt.NDArray[np.int8] | None
    ) -> None:
        self.name = name
        self.early = early
        self.expected = expected
        self.outputs = np.zeros_like(expected)
        self.seen = np.zeros(len(expected), dtype=bool)
        self.wrong = np.zeros(len(expected), dtype=bool)
        self.results = 0

    def take(self, window: int, output: bytes, early: bool) -> None:
        """Record one result. A window that ever differed from that exit's answer stays a mismatch."""
        answer = np.frombuffer(output, dtype=np.int8)
        self.results += 1
        if window >= len(self.expected):
            raise StalledError(
                f"task {self.name} sent a result for window {window} of {len(self.expected)}",
                "flash the board again: its recorded data is of another build",
            )
        self.outputs[window] = answer
        self.seen[window] = True
        right = self.early if early and self.early is not None else self.expected
        self.wrong[window] |= bool((answer != right[window]).any())


class _Collector:
    """Reads results by cursor until every task has answered every window."""

    def __init__(self, session: Session, tasks: list[_Task]) -> None:
        self._tactus = session.tactus
        self._tasks = tasks
        self._cursor = 0
        self._progress_at = time.monotonic()
        self.lost = 0

    def collect(self, frame: StatsSnapshot) -> bool:
        """Read what came since the last frame; True when nothing is left to wait for."""
        while True:
            page = self._tactus.results(self._cursor, _PAGE)
            for record in page.records:
                self._tasks[record.task].take(record.tag, record.output, record.early)
            self.lost += page.next - self._cursor - len(page.records)
            self._cursor = page.next
            now = time.monotonic()
            if page.records:
                self._progress_at = now
            elif now - self._progress_at > _STALL_S:
                raise StalledError(
                    f"no result for {_STALL_S:.0f} s", "run `status` to see what the board does"
                )
            if len(page.records) < _PAGE:
                return all(bool(task.seen.all()) for task in self._tasks)


def run_replay(session: Session, built: BuiltApp, speed: int, view: View) -> ReplayRun:
    """Start the tasks, show them live, collect results until every window was inferred, then stop.

    Results are read by cursor, so none is missed unless the board's ring overran: those are counted
    in `results_lost`, and their windows come round again. Raises StalledError, LinkError.
    """
    tasks = []
    for row in built.report["tasks"]:
        name = row["name"]
        early = built.expected_early(name) if row["early"] else None
        tasks.append(_Task(name, built.expected(name), early))
    collector = _Collector(session, tasks)
    session.tactus.stop()
    started = time.monotonic()
    watch(session, view, collector.collect, period_ms=_FRAME_PERIOD_MS, start_speed=speed)
    session.tactus.stop()
    wall_s = time.monotonic() - started
    outcomes = tuple(
        TaskOutcome(
            name=task.name,
            outputs=task.outputs,
            seen=int(task.seen.sum()),
            results=task.results,
            mismatches=int(task.wrong.sum()),
            accuracy=_share_right(built, task),
        )
        for task in tasks
    )
    tactus = session.tactus
    stats = tactus.stats()
    frozen = any(task.events_frozen for task in stats.tasks)
    events = tactus.events() if frozen else ()
    return ReplayRun(
        *(outcomes, stats, tactus.memory(), tactus.arenas(), collector.lost, wall_s, events)
    )


def _share_right(built: BuiltApp, task: _Task) -> float:
    answers = built.values(task.name, task.outputs).argmax(axis=1)
    return float((answers == built.truth(task.name)).mean())
