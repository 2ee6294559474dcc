"""SMP group 64, Tactus: what runs, how well it keeps time, what it computed."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from host.link.client import SmpClient
from host.link.errors import BadReplyError, GarbledError
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
from protocol.telemetry import unpack_page

_SELFTEST_TIMEOUT_S = 30.0
_CHANGE_TIMEOUT_S = 10.0
_GARBLED_MAX = 3  # then ask field by field: short answers pass where long ones do not
_SLOTS = 2
_SLOT_FIELDS = ("state", "reason", "length", "received", "sha", "proven")
_TRIAL_FIELDS = ("state", "remaining_ms", "jobs", "misses", "reason")
_INFO_FIELDS = (
    *("board", "class", "firmware", "protocol", "trust", "boot_id", "reset_cause", "uptime_ms"),
    *("running", "speed", "app", "version", "slot", "state", "reason", "mode", "crashes"),
)

NO_RECORD = 0xFFFFFFFF  # a cursor behind every telemetry record: for the counts alone
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
    crashes: int = 0  # resets by watchdog or fault in a row, without healthy running between them


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
    early: "EarlyExit | None" = None


@dataclass(frozen=True, slots=True)
class EarlyExit:
    """What the parts of a task with an early exit take, us, and what its early answer is scaled by."""

    mandatory_us: int
    full_us: int
    output_scale_f32: int
    output_zero_point: int


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


@dataclass(frozen=True, slots=True)
class TelemetryPage:
    """What a board's ring holds, and records from a cursor on as they were written.

    Sequences: oldest that can be read, newest, all up to `acknowledged` are stored elsewhere, `next` is the
    cursor to go on with. lost: records overwritten unacknowledged since boot.
    """

    oldest: int
    newest: int
    acknowledged: int
    lost: int
    next: int
    records: tuple[tuple[int, bytes], ...]

    @property
    def waiting(self) -> int:
        """Records that nobody has acknowledged, at most: power cuts leave gaps."""
        return max(0, self.newest - max(self.acknowledged, self.oldest - 1))


@dataclass(frozen=True)
class Health:
    """temperature_mc: 1/1000 degrees Celsius, None without a sensor. peaks: (part of the RAM, the most of it that was
    ever written, bytes), as measured; parts that are not measured are missing.
    """

    temperature_mc: int | None = None
    peaks: tuple[tuple[str, int], ...] = ()


class TactusGroup:
    """Typed calls of group 64."""

    def __init__(self, client: SmpClient) -> None:
        self._client = client

    def info(self) -> BoardInfo:
        """Ask what the board is and runs."""
        reply = self._whole_or_by_field(smp.TACTUS_INFO, {}, _INFO_FIELDS)
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
            crashes=reply.uint("crashes") if reply.has("crashes") else 0,
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
        return _sizes(self._client.read(smp.GROUP_TACTUS, smp.TACTUS_MEMORY).array("ram"))

    def health(self) -> Health:
        """Read the temperature, and how much of its RAM the board ever used."""
        reply = self._client.read(smp.GROUP_TACTUS, smp.TACTUS_HEALTH)
        known = reply.has("temperature_mc")
        temperature_mc = reply.integer("temperature_mc") if known else None
        return Health(temperature_mc, _sizes(reply.array("peaks")))

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

    def telemetry(self, cursor: int | None = None) -> TelemetryPage:
        """Read telemetry records from `cursor` on; without one, those that nobody has acknowledged."""
        request = {} if cursor is None else {"cursor": cursor}
        reply = self._client.read(smp.GROUP_TACTUS, smp.TACTUS_TELEMETRY, request)
        try:
            records = tuple(unpack_page(reply.blob("data")))
        except ValueError as error:
            raise BadReplyError(f"telemetry: {error}") from error
        page = TelemetryPage(
            oldest=reply.uint("oldest"),
            newest=reply.uint("newest"),
            acknowledged=reply.uint("acknowledged"),
            lost=reply.uint("lost"),
            next=reply.uint("next"),
            records=records,
        )
        if records and (records[-1][0] != page.next - 1 or records[0][0] < (cursor or 0)):
            raise BadReplyError("telemetry: the records are not those that were asked for")
        return page

    def acknowledge_telemetry(self, sequence: int) -> None:
        """Tell the board that all records up to `sequence` are stored here."""
        self._client.write(smp.GROUP_TACTUS, smp.TACTUS_TELEMETRY, {"acknowledged": sequence})

    def pace_telemetry(self, period_ms: int, lease_ms: int) -> None:
        """Let the board write a summary each `period_ms` for `lease_ms`; 0 ends it."""
        request = {"period_ms": period_ms, "lease_ms": lease_ms}
        self._client.write(smp.GROUP_TACTUS, smp.TACTUS_TELEMETRY_PACE, request)

    def events(self) -> tuple[Event, ...]:
        """Read the event ring, oldest first; it froze at the first missed deadline, if any."""
        return _events(self._client.read(smp.GROUP_TACTUS, smp.TACTUS_EVENTS))

    def trial(self) -> TrialState:
        """Read how the trial stands."""
        reply = self._whole_or_by_field(smp.TACTUS_TRIAL, {}, _TRIAL_FIELDS)
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
        try:
            reply = self._client.read(smp.GROUP_TACTUS, smp.TACTUS_SLOTS, garbled_max=_GARBLED_MAX)
        except GarbledError:
            floors = self._by_field(smp.TACTUS_SLOTS, {}, ("counter", "keys"))
            slots = tuple(self.slot(index) for index in range(_SLOTS))
        else:
            floors = reply
            slots = tuple(_slot(item) for item in reply.maps("slots"))
        return Slots(slots, floors.uint("counter"), floors.uint("keys", 0))

    def slot(self, index: int) -> SlotInfo:
        """Read the journal's view of one slot."""
        return _slot(self._whole_or_by_field(smp.TACTUS_SLOTS, {"slot": index}, _SLOT_FIELDS))

    def _whole_or_by_field(
        self, command: int, request: dict[str, object], names: Sequence[str]
    ) -> Fields:
        try:
            return self._client.read(smp.GROUP_TACTUS, command, request, garbled_max=_GARBLED_MAX)
        except GarbledError:
            return self._by_field(command, request, names)

    def _by_field(self, command: int, request: dict[str, object], names: Sequence[str]) -> Fields:
        fields: dict[object, object] = {}
        for name in names:
            reply = self._client.read(smp.GROUP_TACTUS, command, {**request, "only": name})
            fields |= reply.values()
        return Fields(fields, f"group {smp.GROUP_TACTUS} command {command}")


def _slot(item: Fields) -> SlotInfo:
    return SlotInfo(
        state=item.uint("state"),
        reason=item.uint("reason", 0),
        length=item.uint("length", 0),
        received=item.uint("received", 0),
        sha256=item.blob("sha", b""),
        is_proven=item.flag("proven", False),
    )


def _sizes(rows: Sequence[object]) -> tuple[tuple[str, int], ...]:
    found: list[tuple[str, int]] = []
    for item in rows:
        match item:
            case [str(name), int(size)] if size >= 0:
                found.append((name, size))
            case _:
                raise BadReplyError("memory: a row is not [name, bytes]")
    return tuple(found)


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
        early=_early(item.sub("early")) if item.has("early") else None,
    )


def _early(item: Fields) -> EarlyExit:
    output = item.sub("output")
    return EarlyExit(
        mandatory_us=item.uint("mandatory_us"),
        full_us=item.uint("full_us"),
        output_scale_f32=output.uint("scale_f32"),
        output_zero_point=output.integer("zero_point"),
    )
