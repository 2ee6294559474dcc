"""The log of a monitor: a JSON object a line, each complete in itself.

A line is a frame: what `moment_json()` returns, with `format` 1; or {"format": 1, "at", "lost": cause}
where the board was gone. The event ring is in the first frame after it froze. Times in us unless the
name says otherwise; `at` is UTC, ISO 8601; `counters` are the fields of protocol/stats.py. A histogram is
{n, min, max, sum, buckets: [[bucket, count]...]} (protocol/histogram.py).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from host.demo_result import timing_json
from host.errors import UsageError
from host.link.tactus_group import BoardInfo, Health, StatsSnapshot, TaskInfo
from host.monitor.live import Moment
from host.monitor.span import merge_stats, restarted
from protocol.histogram import BUCKETS, Histogram
from protocol.manifest import POLICIES
from protocol.stats import EVENT_KINDS, Event, LoopStats, TaskStats

FORMAT = 1
_COUNTERS = tuple(
    name for name in TaskStats._fields if name not in ("task", "policy", "start", "response")
)


def moment_json(moment: Moment) -> dict[str, Any]:
    """One moment as JSON values: what `monitor --json` prints and `--log` keeps."""
    info = moment.info
    line: dict[str, Any] = {
        "format": FORMAT,
        "at": _utc(moment.at_s),
        "board": info.board,
        "app": info.app,
        "version": info.version,
        "firmware": info.firmware,
        "boot_id": info.boot_id,
        "speed": info.speed,
        "running": info.running,
        "uptime_ms": moment.stats.uptime_ms,
        "seq": moment.stats.sequence,
        "mode": moment.mode,
        "loop": moment.stats.loop._asdict() if moment.stats.loop else None,
        "link": list(moment.stats.link),
        "ram": [list(row) for row in moment.ram],
        "temperature_mc": moment.health.temperature_mc,
        "ram_peaks": [list(row) for row in moment.health.peaks],
        "tasks": {
            task.name: _task_json(task, stats)
            for task, stats in zip(moment.tasks, moment.stats.tasks, strict=True)
        },
    }
    if moment.events:
        line["events"] = [list(event) for event in moment.events]
    return line


def lost_json(cause: str, at_s: float) -> dict[str, Any]:
    """The line for a board that is gone."""
    return {"format": FORMAT, "at": _utc(at_s), "lost": cause}


@dataclass(frozen=True, slots=True)
class Recording:
    """What a log, or a board just now, showed: the statistics of all starts of the tasks together.

    last: the last moment. events: the ring of the first miss, if any. frames, starts, gaps: how many
    were seen. left_out: frames before, of other tasks or of other periods. begin, end: UTC text.
    """

    last: Moment
    stats: tuple[TaskStats, ...]
    events: tuple[Event, ...]
    frames: int
    starts: int
    gaps: int
    left_out: int
    begin: str
    end: str


def recording_of(moment: Moment) -> Recording:
    """The recording that a single moment of a live board makes."""
    at = _utc(moment.at_s)
    return Recording(moment, moment.stats.tasks, moment.events, 1, 1, 0, 0, at, at)


def read_recording(path: Path) -> Recording:
    """Read a log. Raises UsageError naming the line; a last line that was cut off is left out."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise UsageError(
            f"cannot read {path}: {reason}", "name a file that `monitor --log` wrote"
        ) from error
    cut = bool(lines[-1])
    runs: list[Moment] = []  # the last moment of each run of the tasks
    events: tuple[Event, ...] = ()
    frames = gaps = left_out = 0
    begin = end = ""
    lost = False
    for number, text in enumerate(lines, 1):
        if not text:
            continue
        try:
            line = json.loads(text)
            if line["format"] != FORMAT:
                raise ValueError(f"format {line['format']!r}")
            if "lost" in line:
                gaps += not lost
                lost = True
                continue
            moment = moment_from_json(line)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            if cut and number == len(lines):
                break
            raise UsageError(
                f"{path}, line {number}: not a frame of a monitor log ({type(error).__name__}: {error})",
                "name a file that `monitor --log` wrote with this version",
            ) from error
        if runs and _names(runs[-1]) != _names(moment):
            left_out, frames, gaps, begin = left_out + frames, 0, 0, ""
            runs, events = [], ()
        frames, end, lost = frames + 1, str(line["at"]), False
        begin = begin or end
        events = events or moment.events
        if runs and _goes_on(runs[-1], moment):
            runs.pop()
        runs.append(moment)
    if not runs:
        raise UsageError(f"{path} holds no frame", "record one with: monitor --log FILE")
    stats = runs[0].stats.tasks
    for run in runs[1:]:
        stats = tuple(map(merge_stats, stats, run.stats.tasks))
    return Recording(runs[-1], stats, events, frames, len(runs), gaps, left_out, begin, end)


def moment_from_json(line: Mapping[str, Any]) -> Moment:
    """The moment that `moment_json` wrote. Raises ValueError, KeyError or TypeError for anything else."""
    names = tuple(line["tasks"])
    rows = [line["tasks"][name] for name in names]
    info = BoardInfo(
        board=_text(line["board"]),
        device_class="",
        firmware=_text(line["firmware"]),
        protocol=1,
        trust="",
        boot_id=_count(line["boot_id"]),
        reset_cause=0,
        uptime_ms=_count(line["uptime_ms"]),
        running=bool(line["running"]),
        speed=_count(line["speed"]),
        app=None if line["app"] is None else _text(line["app"]),
        version=None if line["version"] is None else _text(line["version"]),
        slot=None,
        state=None,
        reason=None,
    )
    tasks = tuple(
        TaskInfo(
            name=name,
            period_us=_positive(row["period_us"]),
            deadline_us=_positive(row["deadline_us"]),
            budget_us=_positive(row["budget_us"]),
            labels=(),
            arena_bytes=0,
            arena_offset=0,
            output_scale_f32=0,
            output_zero_point=0,
        )
        for name, row in zip(names, rows, strict=True)
    )
    stats = StatsSnapshot(
        sequence=_count(line["seq"]),
        uptime_ms=_count(line["uptime_ms"]),
        tasks=tuple(_task_stats(index, row) for index, row in enumerate(rows)),
        link=tuple(_count(value) for value in line["link"]),
        loop=None if line["loop"] is None else _loop(line["loop"]),
    )
    return Moment(
        info,
        tasks,
        stats,
        tuple((_text(name), _count(size)) for name, size in line["ram"]),
        tuple(_event(values) for values in line.get("events", ())),
        datetime.fromisoformat(_text(line["at"])).timestamp(),
        _text(line["mode"]),
        Health(
            None if line["temperature_mc"] is None else _signed(line["temperature_mc"]),
            tuple((_text(name), _count(size)) for name, size in line["ram_peaks"]),
        ),
    )


def _task_json(task: TaskInfo, stats: TaskStats) -> dict[str, Any]:
    return {
        "period_us": task.period_us,
        "deadline_us": task.deadline_us,
        "budget_us": task.budget_us,
        "policy": POLICIES[stats.policy],
        **timing_json(stats),
        "jitter_us": stats.cycle_jitter_max_us,
        "counters": {name: getattr(stats, name) for name in _COUNTERS},
        "start_histogram": _histogram_json(stats.start),
        "response_histogram": _histogram_json(stats.response),
    }


def _task_stats(index: int, row: Mapping[str, Any]) -> TaskStats:
    return TaskStats(
        task=index,
        policy=POLICIES.index(row["policy"]),
        **{name: _counter(name, row["counters"][name]) for name in _COUNTERS},
        start=_histogram(row["start_histogram"]),
        response=_histogram(row["response_histogram"]),
    )


def _loop(values: Mapping[str, Any]) -> LoopStats:
    return LoopStats(**{name: _counter(name, values[name]) for name in LoopStats._fields})


def _histogram_json(histogram: Histogram) -> dict[str, Any]:
    return {
        "n": histogram.n,
        "min": histogram.min_us,
        "max": histogram.max_us,
        "sum": histogram.sum_us,
        "buckets": [list(pair) for pair in histogram.nonzero()],
    }


def _histogram(values: Mapping[str, Any]) -> Histogram:
    histogram = Histogram()
    histogram.n, histogram.sum_us = _count(values["n"]), _count(values["sum"])
    histogram.min_us, histogram.max_us = _count(values["min"]), _count(values["max"])
    for bucket, count in values["buckets"]:
        if not 0 <= bucket < BUCKETS:
            raise ValueError(f"bucket {bucket}")
        histogram.buckets[bucket] = _count(count)
    if sum(histogram.buckets) != histogram.n:
        raise ValueError("a histogram contradicts itself")
    return histogram


def _event(values: Any) -> Event:
    event = Event(*(_count(value) for value in values))
    if not 0 < event.kind < len(EVENT_KINDS):
        raise ValueError(f"event kind {event.kind}")
    return event


def _goes_on(old: Moment, new: Moment) -> bool:
    """Whether the counters of `new` include those of `old`."""
    return old.info.boot_id == new.info.boot_id and not restarted(old.stats, new.stats)


def _names(moment: Moment) -> tuple[tuple[str, int, int], ...]:
    return tuple((task.name, task.period_us, task.deadline_us) for task in moment.tasks)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is not a count")
    return value


def _counter(name: str, value: Any) -> int:
    """A counter or a flag; lateness alone may be below 0."""
    if isinstance(value, bool):
        return value
    return _signed(value) if name == "lateness_max_us" else _count(value)


def _signed(value: Any) -> int:
    return -_count(-value) if isinstance(value, int) and value < 0 else _count(value)


def _positive(value: Any) -> int:
    if _count(value) == 0:
        raise ValueError("a time is 0")
    return int(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _utc(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds")
