"""Watching a board run: a table that renews itself, plain lines, or JSON lines.

The board streams for the length of a lease; the watcher renews it in time, so that a board whose
watcher is gone falls silent by itself.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TextIO

from host.demo_result import missed, percentiles, timing_json
from host.link.errors import BadReplyError
from host.link.session import Session
from host.link.tactus_group import BoardInfo, StatsSnapshot, TaskInfo
from host.monitor.speed import tasks_at_speed

if TYPE_CHECKING:
    from rich.console import Console, Group

LEASE_MS = 5_000
PERIOD_MS = 500
SILENCE_MAX_S = 2.5  # no frame for so long: ask again
UPTIME_WRAP_MS = 1 << 30


@dataclass(frozen=True, slots=True)
class Moment:
    """What the board said about all its tasks at one moment; `tasks` and `stats` go together."""

    info: BoardInfo
    tasks: tuple[TaskInfo, ...]
    stats: StatsSnapshot


class View(Protocol):
    """Shows moments as they come. Use as a context manager."""

    def show(self, moment: Moment) -> None:
        """Show one moment."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def watch(
    session: Session,
    view: View,
    on_frame: Callable[[StatsSnapshot], bool] = lambda _: False,
    lease_ms: int = LEASE_MS,
    period_ms: int = PERIOD_MS,
    start_speed: int | None = None,
) -> StatsSnapshot:
    """Stream until `on_frame` returns True; return the last snapshot.

    `start_speed` starts the tasks at that speed once everything was asked that is known before:
    each question a board answers while it runs is background work that delays its tasks.
    `on_frame` runs between frames and may use the session. A board that was reset is taken up
    again; one that no longer answers raises NoAnswerError.
    """
    info = session.tactus.info()
    tasks = session.tactus.tasks()
    if start_speed is not None:
        session.tactus.run(start_speed)
        info = replace(info, speed=start_speed, running=True)
    in_force = tasks_at_speed(info, tasks)
    silence_s = min(lease_ms / 2000, SILENCE_MAX_S)
    session.tactus.subscribe(lease_ms, period_ms)
    leased_at_ms: int | None = (
        None  # on the board's clock, which an emulator may run faster than ours
    )
    with view:
        while True:
            frame = session.tactus.next_frame(silence_s)
            if frame is None:
                session.tactus.subscribe(lease_ms, period_ms)
                leased_at_ms = None
                continue
            if leased_at_ms is None:
                leased_at_ms = frame.uptime_ms
            elif (frame.uptime_ms - leased_at_ms) % UPTIME_WRAP_MS > lease_ms // 2:
                session.tactus.subscribe(lease_ms, period_ms)
                leased_at_ms = None
            if len(frame.tasks) != len(in_force):
                info = session.tactus.info()
                in_force = tasks_at_speed(info, session.tactus.tasks())
                if len(frame.tasks) != len(in_force):
                    raise BadReplyError(f"{len(frame.tasks)} statistics for {len(in_force)} tasks")
            view.show(Moment(info, in_force, frame))
            if on_frame(frame):
                return frame


def choose_view(as_json: bool, stream: TextIO = sys.stdout, keep: bool = True) -> View:
    """JSON lines when asked for, the live table on a terminal, plain lines elsewhere.

    `keep` leaves the last table on the terminal when the view ends.
    """
    if as_json:
        return JsonLines(stream)
    if not stream.isatty():
        return PlainLines(stream)
    from rich.console import Console

    return LiveTable(Console(file=stream), keep)


class _Lines:
    """What line views have in common."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.flush()


class JsonLines(_Lines):
    """One JSON object a frame."""

    def show(self, moment: Moment) -> None:
        """Print one line."""
        print(json.dumps(moment_json(moment)), file=self._stream, flush=True)


class PlainLines(_Lines):
    """One line a task and frame, easy to grep."""

    def show(self, moment: Moment) -> None:
        """Print one line for each task."""
        for task, stats in zip(moment.tasks, moment.stats.tasks, strict=True):
            response = percentiles(stats.response)
            print(
                f"{moment.stats.uptime_ms / 1000:.1f}s {task.name}: "
                f"released {stats.released} done {stats.done} missed {missed(stats)} "
                f"response p50 {response['p50']} p99 {response['p99']} max {response['max']} "
                f"of {task.deadline_us} us, start latency max {stats.start.max_us} us, "
                f"jitter {stats.cycle_jitter_max_us} us",
                file=self._stream,
                flush=True,
            )


class LiveTable:
    """The table on a terminal, redrawn with each frame."""

    def __init__(self, console: "Console", keep: bool) -> None:
        from rich.live import Live

        self._live = Live(
            console=console, auto_refresh=False, transient=not keep, vertical_overflow="visible"
        )

    def show(self, moment: Moment) -> None:
        """Redraw."""
        self._live.update(live_view(moment), refresh=True)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.__exit__(kind, error, trace)


def live_view(moment: Moment) -> "Group":
    """The head line, the task table and the line's own errors."""
    from rich.console import Group
    from rich.text import Text

    from host.monitor.tables import TaskRow, task_table

    info, stats = moment.info, moment.stats
    head = Text.assemble(
        (f"{info.app or 'no package'} {info.version or ''}", "bold"),
        f" on {info.board}, up {stats.uptime_ms / 1000:,.1f} s",
        f", speed {info.speed}" if info.speed > 1 else "",
    )
    rows = [
        TaskRow(task.name, task.period_us, task.deadline_us, numbers)
        for task, numbers in zip(moment.tasks, stats.tasks, strict=True)
    ]
    parts: list[Any] = [head, task_table(rows)]
    errors = line_errors(stats.link)
    if errors:
        parts.append(Text(errors, style="yellow"))
    return Group(*parts)


def line_errors(link: Sequence[int]) -> str:
    """The board's counters of bad frames in words, empty when there were none."""
    names = ("bad checksum", "bad format", "too long")
    return ", ".join(
        f"{count} frames with {name}"
        for name, count in zip(names, link[1:4], strict=False)
        if count
    )


def moment_json(moment: Moment) -> dict[str, Any]:
    """One moment as JSON values."""
    return {
        "board": moment.info.board,
        "app": moment.info.app,
        "uptime_ms": moment.stats.uptime_ms,
        "seq": moment.stats.sequence,
        "tasks": {
            task.name: {
                "period_us": task.period_us,
                "deadline_us": task.deadline_us,
                **timing_json(stats),
                "jitter_us": stats.cycle_jitter_max_us,
            }
            for task, stats in zip(moment.tasks, moment.stats.tasks, strict=True)
        },
    }
