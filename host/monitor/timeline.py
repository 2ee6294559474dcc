"""The events of a board as a timeline: who ran when, who waited, and who made a job miss its deadline.

The board's ring holds 32 events and stops at the first miss (protocol/SPEC.md, "Events"), so the
last event of a frozen ring is that miss and the others are what led to it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from host.link.tactus_group import TaskInfo
from host.monitor.times import milliseconds
from protocol.stats import EVENT_KINDS, EVENT_NO_TASK, Event

BACKGROUND = "background"
MISSES = ("late", "aborted", "skipped")
_WRAP = 1 << 32
_ENDS = ("done", "aborted", "skipped")


@dataclass(frozen=True, slots=True)
class Bar:
    """The processor's time, [start, end) us: an op of a job, or a piece of background work."""

    row: int
    start_us: int
    end_us: int
    job: int
    op: int


@dataclass(frozen=True, slots=True)
class Wait:
    """From a job's release (or the ring's begin) to its end (or the ring's end), us."""

    row: int
    start_us: int
    end_us: int
    job: int


@dataclass(frozen=True, slots=True)
class Mark:
    """An instant: `what` is release, preempted, late, aborted or skipped."""

    row: int
    at_us: int
    job: int
    what: str


@dataclass(frozen=True, slots=True)
class Miss:
    """The job that missed. Times are those of its timeline; the release is 0.

    since_us: its release, 0, or that of an earlier job of the task that was still waiting then, but not
    before the ring begins. by: who held the processor from there to `at_us`, (name, us), most first;
    what is left is the loop, dispatch or a stall.
    """

    row: int
    job: int
    what: str
    deadline_us: int
    at_us: int
    since_us: int
    by: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """What a ring shows, us. 0 is the release of the job that missed, else the first event."""

    rows: tuple[str, ...]  # the tasks, then background
    start_us: int
    end_us: int
    bars: tuple[Bar, ...]
    waits: tuple[Wait, ...]
    marks: tuple[Mark, ...]
    miss: Miss | None

    def sentence(self) -> str:
        """What happened, for a person."""
        miss = self.miss
        if miss is None:
            return "No deadline was missed."
        name = self.rows[miss.row]
        over = miss.at_us - miss.deadline_us
        fate = {
            "late": f"ended {milliseconds(over)} ms after its deadline of "
            f"{milliseconds(miss.deadline_us)} ms",
            "aborted": f"was aborted {milliseconds(miss.at_us)} ms after its release, "
            f"its deadline is {milliseconds(miss.deadline_us)} ms",
            "skipped": f"was skipped {milliseconds(miss.at_us)} ms after its release",
        }[miss.what]
        held = ", ".join(f"{who} {milliseconds(us)} ms" for who, us in miss.by) or "nothing ran"
        rest = miss.at_us - miss.since_us - sum(us for _, us in miss.by)
        span = miss.at_us - miss.since_us
        text = f"{name} job {miss.job} {fate}. Of the {milliseconds(span)} ms until then, {held}"
        text += f"; the loop, dispatch or a stall {milliseconds(rest)} ms." if rest > 0 else "."
        if miss.since_us > 0:
            text += f" The ring begins {milliseconds(miss.since_us)} ms after the release."
        elif miss.since_us < 0:
            text += f" Its job before, released {milliseconds(-miss.since_us)} ms earlier, had not ended."
        return text


def build_timeline(events: Sequence[Event], tasks: Sequence[TaskInfo]) -> Timeline | None:
    """The timeline of a ring, None when it is empty. `tasks` with the times in force."""
    known = [e for e in events if e.task < len(tasks) or e.task == EVENT_NO_TASK]
    if not known:
        return None
    rows = (*(task.name for task in tasks), BACKGROUND)
    first = known[0].at_us
    # Times wrap at 2^32 us; what a ring holds lies closer together than half of that.
    at = [(event.at_us - first + _WRAP // 2) % _WRAP - _WRAP // 2 for event in known]
    releases = _releases(known, at, tasks, first)
    missing = _missing(known)
    zero = releases.get((missing.task, missing.job), 0) if missing else 0
    at = [value - zero for value in at]
    releases = {key: value - zero for key, value in releases.items()}
    bars = _bars(known, at, len(tasks))
    # What happened counts, not releases that were noticed late: they may lie far before the rest.
    begin = min([bar.start_us for bar in bars] or at)
    end = max([*at, *(bar.end_us for bar in bars)])
    start = min(begin, 0) if missing else begin
    waits = _waits(known, at, releases, (start, end))
    miss = None
    if missing is not None:
        earlier = [w.start_us for w in waits if w.row == missing.task and w.start_us < 0 < w.end_us]
        since_us = max(min([0, *earlier]), begin)
        miss = _miss(missing, at[known.index(missing)], tasks, bars, rows, since_us)
    marks = tuple(
        Mark(_row(event, len(tasks)), when, event.job, EVENT_KINDS[event.kind])
        for event, when in zip(known, at, strict=True)
        if EVENT_KINDS[event.kind] in ("release", "preempted", *MISSES) and when >= start
    )
    return Timeline(rows, start, max(end, start + 1), bars, waits, marks, miss)


def _row(event: Event, background: int) -> int:
    return background if event.task == EVENT_NO_TASK else int(event.task)


def _missing(events: Sequence[Event]) -> Event | None:
    found = [event for event in events if EVENT_KINDS[event.kind] in MISSES]
    return found[-1] if found else None


def grid_zero(events: Sequence[Event], tasks: Sequence[TaskInfo]) -> int | None:
    """The instant, modulo 2^32 us, of release 0 of all tasks; None when no event tells a release."""
    for event in events:
        ago = _since_release(event)
        if ago is not None and event.task < len(tasks):
            zero: int = event.at_us - ago - event.job * tasks[event.task].period_us
            return zero % _WRAP
    return None


def _since_release(event: Event) -> int | None:
    """How long before the event its job was released, us; None when it does not say."""
    kind = EVENT_KINDS[event.kind]
    if kind == "release":
        return 0
    return int(event.value) if kind in ("start", "done", "skipped") else None


def _releases(
    events: Sequence[Event], at: Sequence[int], tasks: Sequence[TaskInfo], first: int
) -> dict[tuple[int, int], int]:
    """Release of each job (task, job): as its events tell it, else from the grid, else its first event."""
    zero = grid_zero(events, tasks)
    found: dict[tuple[int, int], int] = {}
    for event, when in zip(events, at, strict=True):
        if event.task == EVENT_NO_TASK:
            continue
        key = (event.task, event.job)
        ago = _since_release(event)
        if ago is not None:
            found[key] = when - ago
        elif key not in found:
            grid = 0 if zero is None else zero + event.job * tasks[event.task].period_us - first
            found[key] = when if zero is None else (grid + _WRAP // 2) % _WRAP - _WRAP // 2
    return found


def _bars(events: Sequence[Event], at: Sequence[int], background: int) -> tuple[Bar, ...]:
    return tuple(
        Bar(_row(event, background), when, when + event.value, event.job, event.op)
        for event, when in zip(events, at, strict=True)
        if EVENT_KINDS[event.kind] in ("op", "background")
    )


def _waits(
    events: Sequence[Event],
    at: Sequence[int],
    releases: dict[tuple[int, int], int],
    window: tuple[int, int],
) -> tuple[Wait, ...]:
    ends = {
        (event.task, event.job): when
        for event, when in zip(events, at, strict=True)
        if EVENT_KINDS[event.kind] in _ENDS
    }
    waits = []
    for (task, job), release in sorted(releases.items()):
        start, end = max(release, window[0]), min(ends.get((task, job), window[1]), window[1])
        if start < end:
            waits.append(Wait(task, start, end, job))
    return tuple(waits)


def _miss(
    event: Event,
    at_us: int,
    tasks: Sequence[TaskInfo],
    bars: Iterable[Bar],
    rows: Sequence[str],
    since_us: int,
) -> Miss:
    what = EVENT_KINDS[event.kind]
    deadline_us = at_us - event.value if what == "late" else tasks[event.task].deadline_us
    held: dict[str, int] = {}
    for bar in bars:
        share = min(bar.end_us, at_us) - max(bar.start_us, since_us)
        if share <= 0:
            continue
        who = rows[bar.row]
        if bar.row == event.task:
            who = "its own ops" if bar.job == event.job else f"{who} job {bar.job}"
        held[who] = held.get(who, 0) + share
    by = tuple(sorted(held.items(), key=lambda item: -item[1]))
    return Miss(event.task, event.job, what, deadline_us, at_us, since_us, by)
