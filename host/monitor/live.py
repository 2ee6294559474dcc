"""Watching a board run: frames under a lease, and the board found again after a reset or a pulled cable.

The board streams for the length of a lease; the watcher renews it in time, so that a board whose
watcher is gone falls silent by itself.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from host.errors import TactusError
from host.link.errors import BadReplyError, NoAnswerError, PortLostError
from host.link.session import Session, connect
from host.link.tactus_group import BoardInfo, Health, StatsSnapshot, TaskInfo
from host.monitor.span import UPTIME_WRAP_MS, restarted
from host.monitor.speed import tasks_at_speed
from protocol import manifest
from protocol.stats import Event

LEASE_MS = 5_000
PERIOD_MS = 500
SILENCE_MAX_S = 2.5  # no frame for so long: ask again
LINK_COUNTERS = (
    "frames",
    "errors_crc",
    "errors_format",
    "errors_size",
    "sent",
)  # as frames have them
RETRY_S = 0.5  # how often a lost board is looked for


@dataclass(frozen=True, slots=True)
class Moment:
    """What the board said about all its tasks at one moment; `tasks` and `stats` go together.

    tasks: with the times of the normal mode at the present speed. mode: the present one. ram: (name,
    bytes). events: the frozen ring once a deadline was missed, else empty. at_s: when the frame came,
    seconds since 1970. health: asked for when a lease is renewed.
    """

    info: BoardInfo
    tasks: tuple[TaskInfo, ...]
    stats: StatsSnapshot
    ram: tuple[tuple[str, int], ...] = ()
    events: tuple[Event, ...] = ()
    at_s: float = 0.0
    mode: str = manifest.NORMAL
    health: Health = field(default_factory=Health)

    @property
    def in_force(self) -> tuple[TaskInfo, ...]:
        """The tasks with the times of the present mode; one that is off keeps its normal ones."""
        return tuple(
            replace(
                task,
                period_us=stats.period_us or task.period_us,
                deadline_us=stats.deadline_us or task.deadline_us,
                budget_us=stats.budget_us or task.budget_us,
            )
            for task, stats in zip(self.tasks, self.stats.tasks, strict=True)
        )


class View(Protocol):
    """Shows moments as they come. Use as a context manager."""

    def show(self, moment: Moment) -> None:
        """Show one moment."""

    def lost(self, cause: str) -> None:
        """Show that the board is gone and is being looked for."""

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
    with view:
        return _stream(
            session, view, lambda moment: on_frame(moment.stats), lease_ms, period_ms, start_speed
        )


def follow(
    board: str | None,
    port: str | None,
    view: View,
    on_moment: Callable[[Session, Moment], bool] = lambda *_: False,
    until_s: float | None = None,
) -> None:
    """Watch a board by name or port until `on_moment` returns True; look for it again when it is lost.

    `until_s`, of the monotonic clock, ends it whether the board is there or not. What hinders
    the first connection raises as connect() does; later the view is told. `on_moment` may use the session.
    """
    session: Session | None = connect(board, port)
    with view:
        path = session.port if session else ""
        while True:
            if session is not None:
                try:
                    with session as held:
                        _stream(held, view, lambda moment, held=held: on_moment(held, moment))  # type: ignore[misc]
                    return
                except (PortLostError, NoAnswerError) as error:
                    view.lost(error.cause)
                session = None
            if until_s is not None and time.monotonic() >= until_s:
                return
            time.sleep(RETRY_S)
            session = _again(board, port, path, view)


def _again(board: str | None, port: str | None, path: str, view: View) -> Session | None:
    """The board on the port it was on; when that is gone, wherever it is found now."""
    try:
        return connect(board, path if Path(path).exists() else port, attempts=2)
    except TactusError as error:
        view.lost(error.cause)
        return None


def read_moment(session: Session, at_s: float) -> Moment:
    """A board as it is now, asked once. `at_s`: seconds since 1970."""
    known = _Known(session)
    counted = session.stat.read("link")
    link = tuple(counted.get(name, 0) for name in LINK_COUNTERS)
    return replace(known.moment(replace(session.tactus.stats(), link=link)), at_s=at_s)


class _Known:
    """What need not be asked with every frame."""

    def __init__(self, session: Session) -> None:
        self._tactus = session.tactus
        self.ask()

    def ask(self) -> None:
        """Ask for everything anew."""
        self.info = self._tactus.info()
        self._listed = self._tactus.tasks()
        self.tasks = tasks_at_speed(self.info, self._listed)
        self.ram = self._tactus.memory()
        self.ask_health()
        # A board without a package has no mode.
        self.modes = self._tactus.mode().modes if self.info.app else (manifest.NORMAL,)
        self.events: tuple[Event, ...] = ()

    def start(self, speed: int) -> None:
        """Start the tasks."""
        self._tactus.run(speed)
        self.info = replace(self.info, speed=speed, running=True)
        self.tasks = tasks_at_speed(self.info, self._listed)

    def moment(self, frame: StatsSnapshot) -> Moment:
        """The frame with what goes with it; the ring is fetched once, when it froze."""
        if len(frame.tasks) != len(self.tasks):
            self.ask()
            if len(frame.tasks) != len(self.tasks):
                raise BadReplyError(f"{len(frame.tasks)} statistics for {len(self.tasks)} tasks")
        if not self.events and any(stats.events_frozen for stats in frame.tasks):
            self.events = self._tactus.events()
        index = frame.loop.mode if frame.loop else 0
        mode = self.modes[index] if index < len(self.modes) else f"mode {index}"
        return Moment(
            self.info, self.tasks, frame, self.ram, self.events, time.time(), mode, self.health
        )

    def ask_health(self) -> None:
        """Ask for what changes slowly."""
        self.health = self._tactus.health()


def _stream(
    session: Session,
    view: View,
    on_moment: Callable[[Moment], bool],
    lease_ms: int = LEASE_MS,
    period_ms: int = PERIOD_MS,
    start_speed: int | None = None,
) -> StatsSnapshot:
    known = _Known(session)
    if start_speed is not None:
        known.start(start_speed)
        session.client.frames.clear()  # of a lease that was there before: they tell what was cleared
    silence_s = min(lease_ms / 2000, SILENCE_MAX_S)
    session.tactus.subscribe(lease_ms, period_ms)
    # On the board's clock, which an emulator may run faster than ours.
    leased_at_ms: int | None = None
    last: StatsSnapshot | None = None
    while True:
        frame = session.tactus.next_frame(silence_s)
        if frame is None:
            session.tactus.subscribe(lease_ms, period_ms)
            known.ask()  # it may have been reset meanwhile
            leased_at_ms = None
            continue
        if leased_at_ms is None:
            leased_at_ms = frame.uptime_ms
        elif (frame.uptime_ms - leased_at_ms) % UPTIME_WRAP_MS > lease_ms // 2:
            session.tactus.subscribe(lease_ms, period_ms)
            known.ask_health()
            leased_at_ms = None
        if frame.events and not frame.tasks and known.tasks:
            known.events = frame.events  # the ring took the room of the statistics
            continue
        if last is not None and restarted(last, frame):
            known.ask()
        known.events = frame.events or known.events
        last = frame
        moment = known.moment(frame)
        view.show(moment)
        if on_moment(moment):
            return frame
