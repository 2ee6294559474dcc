"""SMP group 64, Tactus: what runs, how well it keeps time, what it computed."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from host.link.client import SmpClient
from host.link.errors import BadReplyError
from host.link.fields import Fields
from protocol import smp
from protocol.stats import (
    Event,
    LoopStats,
    Result,
    TaskStats,
    unpack_events,
    unpack_loop,
    unpack_results,
    unpack_stats,
)

_SELFTEST_TIMEOUT_S = 30.0
_CHANGE_TIMEOUT_S = 10.0

TRIAL_STATES = ("none", "under way", "held")
SLOT_STATES = ("empty", "receiving", "staged", "pending", "tried", "confirmed", "bad")


@dataclass(frozen=True, slots=True)
class BoardInfo:
    """What a board is and runs. The fields from `app` on are None when it runs no package."""

    board: str
    device_class: str
    firmware: str
    protocol: int
    trust: str
    boot_id: int
    reset_cause: int
    uptime_ms: int
    running: bool
    speed: int
    app: str | None
    version: str | None
    slot: int | None
    state: int | None
    reason: int | None
    mode: str | None = None


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """A task of the running package; times in microseconds, `scale` as real per int8 step."""

    name: str
    period_us: int
    deadline_us: int
    budget_us: int
    labels: tuple[str, ...]
    arena_bytes: int
    arena_offset: int
    output_scale_f32: int
    output_zero_point: int
    lite_budget_us: int = 0  # 0: no lite variant


@dataclass(frozen=True, slots=True)
class ArenaUse:
    """A task's arena, bytes: planned by the compiler, and touched since the start as the board saw.

    touched: 0 before a start and after a self-test.
    """

    planned: int
    touched: int


@dataclass(frozen=True, slots=True)
class StatsSnapshot:
    """Statistics of all tasks at one moment, in the order of the task list.

    `events`: what led to the first miss, in one frame of a lease; a frame that carries it may have no room for `tasks`.
    """

    sequence: int
    uptime_ms: int
    tasks: tuple[TaskStats, ...]
    link: tuple[int, ...] = ()
    loop: LoopStats | None = None
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class ModeState:
    """The mode the tasks run in, the one that was asked for last, and all there are."""

    mode: str
    wanted: str
    modes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ResultsPage:
    """Inference results from a cursor on; `next` is the cursor to go on with."""

    next: int
    records: tuple[Result, ...]


@dataclass(frozen=True, slots=True)
class SlotInfo:
    """A slot as the journal knows it; `reason` is a code of protocol/errors.py when it is bad."""

    state: int
    reason: int
    length: int
    received: int
    sha256: bytes
    is_proven: bool = False  # pending or on trial, and was confirmed before

    @property
    def state_name(self) -> str:
        """The state in words."""
        return SLOT_STATES[self.state] if self.state < len(SLOT_STATES) else f"state {self.state}"


@dataclass(frozen=True, slots=True)
class Slots:
    """Both slots, the board's security counter and the version of the key set it has confirmed."""

    slots: tuple[SlotInfo, ...]
    counter: int
    key_version: int = 0


@dataclass(frozen=True, slots=True)
class TrialState:
    """How the trial of the running package stands; `reason`: of the package that was given up last, 0 = none.

    `jobs` and `misses` are of all tasks so far, `remaining_ms` is on the scheduler's clock.
    """

    state: str  # one of TRIAL_STATES
    remaining_ms: int
    jobs: int
    misses: int
    reason: int


@dataclass(frozen=True, slots=True)
class SelfTest:
    """How many self-test vectors of the package matched."""

    passed: int
    failed: int


class TactusGroup:
    """Typed calls of group 64."""

    def __init__(self, client: SmpClient) -> None:
        self._client = client

    def info(self) -> BoardInfo:
        """Ask what the board is and runs."""
        reply = self._client.read(smp.GROUP_TACTUS, smp.TACTUS_INFO)
        return BoardInfo(
            board=reply.text("board"),
            device_class=reply.text("class"),
            firmware=reply.text("firmware"),
            protocol=reply.uint("protocol"),
            trust=reply.text("trust"),
            boot_id=reply.uint("boot_id"),
            reset_cause=reply.uint("reset_cause"),
            uptime_ms=reply.uint("uptime_ms"),
            running=reply.flag("running"),
            speed=reply.uint("speed", 1),
            app=reply.text("app") if reply.has("app") else None,
            version=reply.text("version") if reply.has("version") else None,
            slot=reply.uint("slot") if reply.has("slot") else None,
            state=reply.uint("state") if reply.has("state") else None,
            reason=reply.uint("reason") if reply.has("reason") else None,
            mode=reply.text("mode") if reply.has("mode") else None,
        )

    def tasks(self) -> tuple[TaskInfo, ...]:
        """List the tasks of the running package."""
        return tuple(
            _task(item)
            for item in self._client.read(smp.GROUP_TACTUS, smp.TACTUS_TASKS).maps("tasks")
        )

    def stats(self, task: int | None = None) -> StatsSnapshot:
        """Read the statistics of all tasks, or of one."""
        request = {} if task is None else {"task": task}
        return snapshot(self._client.read(smp.GROUP_TACTUS, smp.TACTUS_STATS, request))

    def subscribe(self, lease_ms: int, period_ms: int) -> None:
        """Ask for stream frames each `period_ms` for `lease_ms`; renew before the lease ends."""
        request = {"lease_ms": lease_ms, "period_ms": period_ms}
        self._client.write(smp.GROUP_TACTUS, smp.TACTUS_SUBSCRIBE, request)

    def next_frame(self, timeout_s: float) -> StatsSnapshot | None:
        """Wait for the next stream frame; None when none came in time."""
        if not self._client.poll(timeout_s):
            return None
        return snapshot(self._client.frames.popleft())

    def results(self, cursor: int, maximum: int = 32) -> ResultsPage:
        """Read results from `cursor` on. A cursor older than the ring jumps to its oldest record."""
        request = {"cursor": cursor, "max": maximum}
        reply = self._client.read(smp.GROUP_TACTUS, smp.TACTUS_RESULTS, request)
        try:
            records = tuple(unpack_results(reply.blob("data")))
        except ValueError as error:
            raise BadReplyError(f"results: {error}") from error
        return ResultsPage(reply.uint("next"), records)

    def run(self, speed: int = 1) -> None:
        """Clear the statistics and start the tasks; idle time passes `speed` times as fast."""
        self._client.write(smp.GROUP_TACTUS, smp.TACTUS_RUN, {"speed": speed}, _CHANGE_TIMEOUT_S)

    def stop(self) -> None:
        """Stop the tasks after the job under way; statistics and results stay readable."""
        self._client.write(smp.GROUP_TACTUS, smp.TACTUS_STOP, {}, _CHANGE_TIMEOUT_S)

    def mode(self) -> ModeState:
        """Read the mode of the running package."""
        reply = self._client.read(smp.GROUP_TACTUS, smp.TACTUS_MODE)
        return ModeState(reply.text("mode"), reply.text("wanted"), reply.texts("modes"))

    def want_mode(self, name: str) -> None:
        """Ask for another mode: it begins as soon as no job is there, with a grid of its own."""
        self._client.write(smp.GROUP_TACTUS, smp.TACTUS_MODE, {"mode": name})

    def memory(self) -> tuple[tuple[str, int], ...]:
        """Read who takes what of the board's RAM: (name, bytes)."""
        rows: list[tuple[str, int]] = []
        for item in self._client.read(smp.GROUP_TACTUS, smp.TACTUS_MEMORY).array("ram"):
            match item:
                case [str(name), int(size)] if size >= 0:
                    rows.append((name, size))
                case _:
                    raise BadReplyError("memory: a row is not [name, bytes]")
        return tuple(rows)

    def arenas(self) -> tuple[ArenaUse, ...]:
        """Read what each task's plan takes of the arena, and how much of it was written."""
        found: list[ArenaUse] = []
        for item in self._client.read(smp.GROUP_TACTUS, smp.TACTUS_MEMORY).array("arenas"):
            match item:
                case [int(planned), int(touched)] if min(planned, touched) >= 0:
                    found.append(ArenaUse(planned, touched))
                case _:
                    raise BadReplyError("memory: an arena is not [planned, touched]")
        return tuple(found)

    def selftest(self) -> SelfTest:
        """Run the package's self-test vectors; only while stopped."""
        reply = self._client.write(smp.GROUP_TACTUS, smp.TACTUS_SELFTEST, {}, _SELFTEST_TIMEOUT_S)
        return SelfTest(reply.uint("passed"), reply.uint("failed"))

    def profile(self, task: int, pattern: int, seed: int) -> tuple[int, ...]:
        """Measure each op of a task's model in one run on made-up input, us; only while stopped."""
        request = {"task": task, "pattern": pattern, "seed": seed}
        times = self._client.write(
            smp.GROUP_TACTUS, smp.TACTUS_PROFILE, request, _SELFTEST_TIMEOUT_S
        ).blob("times")
        return struct.unpack(f"<{len(times) // 4}I", times)

    def events(self) -> tuple[Event, ...]:
        """Read the event ring, oldest first; it froze at the first missed deadline, if any."""
        return _events(self._client.read(smp.GROUP_TACTUS, smp.TACTUS_EVENTS))

    def trial(self) -> TrialState:
        """Read how the trial stands."""
        reply = self._client.read(smp.GROUP_TACTUS, smp.TACTUS_TRIAL)
        state = reply.uint("state")
        if state >= len(TRIAL_STATES):
            raise BadReplyError(f"trial: unknown state {state}")
        return TrialState(
            TRIAL_STATES[state],
            reply.uint("remaining_ms"),
            reply.uint("jobs"),
            reply.uint("misses"),
            reply.uint("reason"),
        )

    def slots(self) -> Slots:
        """Read the journal's view of both slots."""
        reply = self._client.read(smp.GROUP_TACTUS, smp.TACTUS_SLOTS)
        slots = tuple(
            SlotInfo(
                state=item.uint("state"),
                reason=item.uint("reason", 0),
                length=item.uint("length", 0),
                received=item.uint("received", 0),
                sha256=item.blob("sha", b""),
                is_proven=item.flag("proven", False),
            )
            for item in reply.maps("slots")
        )
        return Slots(slots, reply.uint("counter"), reply.uint("keys", 0))


def snapshot(reply: Fields) -> StatsSnapshot:
    """Read the map of a statistics reply or of a stream frame."""
    return StatsSnapshot(
        sequence=reply.uint("seq"),
        uptime_ms=reply.uint("uptime_ms"),
        tasks=_task_stats(reply.blobs("tasks")),
        link=reply.uints("link") if reply.has("link") else (),
        loop=_loop_stats(reply.blob("loop")) if reply.has("loop") else None,
        events=_events(reply) if reply.has("events") else (),
    )


def _loop_stats(packed: bytes) -> LoopStats:
    try:
        return unpack_loop(packed)
    except ValueError as error:
        raise BadReplyError(f"loop statistics: {error}") from error


def _events(reply: Fields) -> tuple[Event, ...]:
    try:
        return tuple(unpack_events(reply.blob("events")))
    except ValueError as error:
        raise BadReplyError(f"events: {error}") from error


def _task_stats(packed: Sequence[bytes]) -> tuple[TaskStats, ...]:
    try:
        return tuple(unpack_stats(item) for item in packed)
    except ValueError as error:
        raise BadReplyError(f"statistics: {error}") from error


def _task(item: Fields) -> TaskInfo:
    output = item.sub("output")
    return TaskInfo(
        name=item.text("name"),
        period_us=item.uint("period_us"),
        deadline_us=item.uint("deadline_us"),
        budget_us=item.uint("budget_us"),
        labels=item.texts("labels"),
        arena_bytes=item.uint("plan_arena_bytes"),
        arena_offset=item.uint("arena_offset"),
        output_scale_f32=output.uint("scale_f32"),
        output_zero_point=output.integer("zero_point"),
        lite_budget_us=item.uint("lite_budget_us", 0),
    )
