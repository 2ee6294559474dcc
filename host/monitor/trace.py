"""Chrome trace events of a running board, for ui.perfetto.dev or chrome://tracing.

Format: "Trace Event Format" (Google, 2016), the array form: one event a line, times in us of the
board's scheduler. Every finished job is there, from its release (or the end of the job before it) to its
end; ops, background work and preemptions where the board's ring of 32 events was read in time.
Each start of the tasks and each mode is a process of its own, each task a thread of it. Jobs that ended
within a frame of a change of mode may be placed on the other mode's grid.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from host.demo_result import missed
from host.link.session import Session
from host.link.tactus_group import TaskInfo
from host.monitor.live import Moment
from host.monitor.output import open_output
from host.monitor.span import restarted
from host.monitor.timeline import grid_zero
from protocol.stats import EVENT_KINDS, EVENT_NO_TASK, Event, Result

_PAGE = 40
_WRAP = 1 << 32
_BACKGROUND = 1  # thread of background work; task n is thread n + 2
_FIRST_TASK = 2


class TraceFile:
    """Collects a trace from a session, moment by moment. Use as a context manager."""

    def __init__(self, path: Path) -> None:
        """Open the file. Raises UsageError when that is refused."""
        self._file = open_output(path, "w")
        self._file.write("[")
        self._events = 0
        self._last: Moment | None = None
        self._run: Run | None = None
        self._process = 0
        self._cursor = 0

    def take(self, session: Session, moment: Moment) -> None:
        """Read what the board did since the last moment, and write it."""
        last, self._last = self._last, moment
        new_start = (
            last is None
            or last.info.boot_id != moment.info.boot_id
            or restarted(last.stats, moment.stats)
        )
        if new_start or _switches(last) != _switches(moment):
            # A mode begins with a grid of its own, so it is a part of its own.
            self._process += 1
            self._run = Run(self._process, moment.in_force)
            self._write(self._run.head(moment))
        if new_start:
            self._cursor = 0
        assert self._run is not None
        while True:
            page = session.tactus.results(self._cursor, _PAGE)
            self._write(self._run.jobs(page.records))
            self._cursor = page.next
            if len(page.records) < _PAGE:
                break
        if moment.events:
            self._write(self._run.ring(moment.events))
        elif moment.info.running:
            self._write(self._run.ring(session.tactus.events()))
        self._write(self._run.counters(moment))

    def _write(self, events: Sequence[Mapping[str, Any]]) -> None:
        for event in events:
            self._file.write(",\n" if self._events else "\n")
            self._file.write(json.dumps(event))
            self._events += 1
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.write("\n]\n")
        self._file.close()


class Run:
    """One start of the tasks, or one mode, as trace events. `tasks` with the times in force; release 0 is at 0 us."""

    def __init__(self, process: int, tasks: Sequence[TaskInfo]) -> None:
        self._process = process
        self._tasks = tasks
        self._ended_us = [0] * len(tasks)  # of the task's last finished job
        self._now_us = 0  # the latest instant seen
        self._zero_us: int | None = None  # release 0 on the clock of the ring
        self._seen: dict[tuple[int, ...], None] = {}  # events of the last ring

    def head(self, moment: Moment) -> list[dict[str, Any]]:
        """Names of the process and its threads, in the order they are shown."""
        info = moment.info
        name = f"{info.app or 'no package'} {info.version or ''} on {info.board}"
        if self._process > 1:
            name += f", part {self._process}, mode {moment.mode}"
        rows: list[tuple[str, int, dict[str, str | int]]] = [("process_name", 0, {"name": name})]
        threads = [(_FIRST_TASK + i, task.name) for i, task in enumerate(self._tasks)]
        for order, (thread, label) in enumerate([*threads, (_BACKGROUND, "background")]):
            rows.append(("thread_name", thread, {"name": label}))
            rows.append(("thread_sort_index", thread, {"sort_index": order}))
        return [
            {"ph": "M", "name": what, "pid": self._process, "tid": thread, "ts": 0, "args": args}
            for what, thread, args in rows
        ]

    def jobs(self, results: Sequence[Result]) -> list[dict[str, Any]]:
        """Finished jobs, oldest first; a late one also as an instant at its deadline."""
        events = []
        for result in results:
            if result.task >= len(self._tasks):
                continue
            task = self._tasks[result.task]
            release = result.job * task.period_us
            end = release + result.response_us
            # A task runs one job at a time: while the one before it ran, this one waited.
            begin = min(max(release, self._ended_us[result.task]), end)
            self._ended_us[result.task] = max(end, self._ended_us[result.task])
            self._now_us = max(self._now_us, end)
            args = {"release_us": release, "response_us": result.response_us, "late": result.late}
            args["lite"], args["early"] = bool(result.variant), result.early
            job = f"job {result.job}"
            events.append(self._event("X", job, result.task, begin, dur=end - begin, args=args))
            if result.late:
                at = release + task.deadline_us
                events.append(self._instant("deadline missed", result.task, at, result.job))
        return events

    def ring(self, ring: Sequence[Event]) -> list[dict[str, Any]]:
        """Events of the board's ring that were not in it before; none while no release is known."""
        if self._zero_us is None:
            self._zero_us = grid_zero(ring, self._tasks)
            if self._zero_us is None:
                return []
        events = []
        fresh = [event for event in ring if tuple(event) not in self._seen]
        self._seen = dict.fromkeys(tuple(event) for event in ring)
        for event in fresh:
            if event.task != EVENT_NO_TASK and event.task >= len(self._tasks):
                continue
            at = self._unwrapped(event.at_us - self._zero_us)
            kind = EVENT_KINDS[event.kind]
            if kind == "op":
                events.append(
                    self._event("X", f"ops to {event.op}", event.task, at, dur=event.value)
                )
            elif kind == "background":
                name = "collection" if event.op else "background"
                events.append(self._event("X", name, None, at, dur=event.value))
            elif kind == "mode":
                events.append(self._event("i", f"mode {event.op}", None, at, s="p"))
            elif kind in ("aborted", "skipped", "preempted", "early"):  # late ones: jobs()
                events.append(self._instant(kind, event.task, at, event.job))
            self._now_us = max(self._now_us, at)
        return events

    def counters(self, moment: Moment) -> list[dict[str, Any]]:
        """The misses of each task so far."""
        counts = {
            task.name: missed(stats)
            for task, stats in zip(self._tasks, moment.stats.tasks, strict=True)
        }
        return [
            {
                "ph": "C",
                "name": "missed deadlines",
                "pid": self._process,
                "ts": self._now_us,
                "args": counts,
            }
        ]

    def _unwrapped(self, at_us: int) -> int:
        """An instant known modulo 2^32, as the one nearest to the latest seen."""
        return max(self._now_us + (at_us - self._now_us + _WRAP // 2) % _WRAP - _WRAP // 2, 0)

    def _event(
        self, phase: str, name: str, task: int | None, at: int, **more: Any
    ) -> dict[str, Any]:
        thread = _BACKGROUND if task is None else _FIRST_TASK + task
        category = name.split(" ")[0]
        head = {"ph": phase, "name": name, "cat": category, "pid": self._process, "tid": thread}
        return {**head, "ts": at, **more}

    def _instant(self, name: str, task: int, at: int, job: int) -> dict[str, Any]:
        return self._event("i", name, task, at, s="t", args={"job": job})


def _switches(moment: Moment | None) -> int:
    return moment.stats.loop.mode_switches if moment is not None and moment.stats.loop else 0
