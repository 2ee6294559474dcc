"""What a board is, what it runs, and why not something else."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from host.demo_result import missed
from host.link.session import Session
from host.link.tactus_group import (
    NO_RECORD,
    ArenaUse,
    BoardInfo,
    Health,
    Slots,
    StatsSnapshot,
    TaskInfo,
    TelemetryPage,
    TrialState,
)
from host.monitor.speed import tasks_at_speed
from host.monitor.times import milliseconds
from host.package.keys_roots import DEMO_NAME
from protocol import errors
from protocol.stats import LoopStats, TaskStats

if TYPE_CHECKING:
    from rich.console import Group

_RESET_CAUSES = ("unknown", "power on", "software", "watchdog", "fault")
_LINK_ERRORS = ("errors_crc", "errors_format", "errors_size")


@dataclass(frozen=True, slots=True)
class Status:
    """Everything `status` asks a board. `link` holds the board's own counters of the line."""

    port: str
    info: BoardInfo
    slots: Slots
    trial: TrialState
    tasks: tuple[TaskInfo, ...]
    stats: StatsSnapshot
    ram: tuple[tuple[str, int], ...]
    arenas: tuple[ArenaUse, ...]
    link: dict[str, int]
    telemetry: TelemetryPage
    health: Health


def read_status(session: Session) -> Status:
    """Ask the board. Raises LinkError."""
    tactus = session.tactus
    info = tactus.info()
    return Status(
        port=session.port,
        info=info,
        slots=tactus.slots(),
        trial=tactus.trial(),
        tasks=tasks_at_speed(info, tactus.tasks()),
        stats=tactus.stats(),
        ram=tactus.memory(),
        arenas=tactus.arenas(),
        link=session.stat.read("link"),
        telemetry=tactus.telemetry(NO_RECORD),
        health=tactus.health(),
    )


def status_json(status: Status) -> dict[str, Any]:
    """The status as JSON values."""
    info = asdict(status.info)
    if status.info.reason:
        info["reason"] = _reason_json(status.info.reason)
    info["reset_cause"] = reset_cause(status.info.reset_cause)
    return {
        "port": status.port,
        **info,
        "demo_keys": trusts_demo_keys(status.info),
        "trial": {
            **asdict(status.trial),
            "reason": _reason_json(status.trial.reason) if status.trial.reason else None,
        },
        "counter": status.slots.counter,
        "key_set_version": status.slots.key_version,
        "slots": [
            {
                "state": slot.state_name,
                "sha256": slot.sha256.hex(),
                "bytes": slot.length,
                "received_bytes": slot.received,
                "reason": _reason_json(slot.reason) if slot.reason else None,
            }
            for slot in status.slots.slots
        ],
        "tasks": {
            task.name: {
                "period_us": task.period_us,
                "deadline_us": task.deadline_us,
                "released": stats.released,
                "done": stats.done,
                "missed": missed(stats),
                "early": stats.early if stats.has_early else None,
                "wcet_exceeded": stats.wcet_exceeded,
                "wcet_excess_max_us": stats.wcet_excess_max_us,
                "wcet_excess_op": stats.wcet_excess_op if stats.wcet_exceeded else None,
            }
            for task, stats in zip(status.tasks, status.stats.tasks, strict=False)
        },
        "ram_table": [{"name": name, "bytes": size} for name, size in status.ram],
        "arenas": {
            task.name: {"planned_bytes": arena.planned, "touched_bytes": arena.touched}
            for task, arena in zip(status.tasks, status.arenas, strict=False)
        },
        "link": status.link,
        "telemetry": {
            "waiting": status.telemetry.waiting,
            "newest": status.telemetry.newest,
            "lost": status.telemetry.lost,
        },
        **health_json(status.health),
    }


def status_view(status: Status) -> "Group":
    """The status for a terminal."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from host.monitor.tables import TaskRow, arena_table, memory_table, slot_table, task_table

    info = status.info
    head = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    head.add_column(style="bold")
    head.add_column()
    head.add_row("board", f"{info.board} ({info.device_class}) on {status.port}")
    head.add_row("firmware", info.firmware)
    trust = f"trusts {info.trust}, key set {status.slots.key_version or 'none yet'}"
    head.add_row("keys", Text(trust, style="yellow" if trusts_demo_keys(info) else ""))
    head.add_row(
        "up", f"{info.uptime_ms / 1000:,.1f} s since reset ({reset_cause(info.reset_cause)})"
    )
    head.add_row("runs", runs(info))
    if status.trial.state != "none":
        head.add_row("trial", Text(trial_line(status.trial), style="yellow"))
    parts: list[Any] = [head, slot_table(status.slots)]
    # The sentence and the remedy go in full below: a table would cut or wrap them.
    parts += [Text(line, style="yellow") for line in explanations(status)]
    if status.tasks:
        pairs = zip(status.tasks, status.stats.tasks, strict=False)
        rows = [TaskRow(t.name, t.period_us, t.deadline_us, stats) for t, stats in pairs]
        parts.append(task_table(rows))
    if status.ram:
        parts.append(memory_table(status.ram))
    parts.append(Text(", ".join(health_words(status.health))))
    if status.arenas:
        arenas = zip(status.tasks, status.arenas, strict=False)
        parts.append(arena_table((task.name, a.planned, a.touched) for task, a in arenas))
    parts.append(Text(link_line(status.link), style="yellow" if line_has_errors(status) else ""))
    parts.append(Text(telemetry_line(status.telemetry)))
    return Group(*parts)


def trusts_demo_keys(info: BoardInfo) -> bool:
    """Whether anybody with the checkout that flashed the board can sign for it."""
    return info.trust.startswith(DEMO_NAME)


def runs(info: BoardInfo) -> str:
    """What the board runs, in a line."""
    if info.app is None:
        return "nothing: no package is loaded"
    speed = f", speed {info.speed}" if info.speed != 1 else ""
    return f"{info.app} {info.version}{speed}{'' if info.running else ', stopped'}"


def trial_line(trial: TrialState) -> str:
    """How a trial stands, in a line."""
    held = "held while the tasks are stopped, " if trial.state == "held" else ""
    left = f"{trial.remaining_ms / 1000:.1f} s left"
    return f"{held}{left}, {trial.jobs:,} jobs, {trial.misses:,} missed; a reset now gives it up"


def explanations(status: Status) -> list[str]:
    """Each refusal the board remembers: what it was and what to do."""
    lines: list[str] = []
    if trusts_demo_keys(status.info):
        lines.append(
            "the board trusts demo keys: anybody with this checkout can sign for it; see `keys`"
        )
    if status.info.reason:
        row = f" after {status.info.crashes} crashes in a row" if status.info.crashes else ""
        lines.append(_explain("board" + row, status.info.reason))
    lines += [
        _explain(f"slot {index}", slot.reason)
        for index, slot in enumerate(status.slots.slots)
        if slot.reason
    ]
    return [*lines, *slow_ops(status.tasks, status.stats.tasks)]


def slow_ops(tasks: Iterable[TaskInfo], stats: Iterable[TaskStats]) -> list[str]:
    """Each task whose ops took longer than declared: how often, and which one by how much at most."""
    return [
        f"task {task.name}: {found.wcet_exceeded:,} ops took longer than declared, op "
        f"{found.wcet_excess_op} by {found.wcet_excess_max_us:,} us; see `bench wcet`"
        for task, found in zip(tasks, stats, strict=False)
        if found.wcet_exceeded
    ]


def reset_cause(code: int) -> str:
    """The cause of the last reset in words."""
    return _RESET_CAUSES[code] if code < len(_RESET_CAUSES) else f"code {code}"


def line_has_errors(status: Status) -> bool:
    """Whether the board saw bad frames."""
    return any(status.link.get(name, 0) for name in _LINK_ERRORS)


def link_line(link: dict[str, int]) -> str:
    """The line's counters as the board has them."""
    return "link: " + ", ".join(
        f"{name.replace('_', ' ')} {value:,}" for name, value in link.items()
    )


def telemetry_line(page: TelemetryPage) -> str:
    """What the board's telemetry ring holds that nobody has taken."""
    lost = f", {page.lost:,} overwritten since boot" if page.lost else ""
    hint = "; see `telemetry`" if page.waiting else ""
    return f"telemetry: {page.waiting:,} records wait{lost}{hint}"


def ram_use(ram: Iterable[tuple[str, int]]) -> tuple[int, int]:
    """Bytes in use and in all, as the board's memory rows account for them."""
    rows = list(ram)
    total = sum(size for _, size in rows)
    return total - sum(size for name, size in rows if name.startswith("free")), total


def health_words(health: Health) -> list[str]:
    """Temperature, and the most that was ever written of parts of the RAM, in words."""
    celsius = health.temperature_mc
    words = ["no temperature sensor" if celsius is None else f"{celsius / 1000:.1f} °C"]
    peaks = " and ".join(f"{size:,} B of {name}" for name, size in health.peaks)
    return [*words, f"ever written: {peaks}"] if peaks else words


def health_json(health: Health) -> dict[str, Any]:
    """The same as JSON values: 1/1000 degrees Celsius or null, measured bytes by part of the RAM."""
    return {"temperature_mc": health.temperature_mc, "ram_peaks": dict(health.peaks)}


def load_words(loop: LoopStats) -> list[str]:
    """What the board did since its tasks were started, in words: idle time, background, collections."""
    words = []
    if loop.elapsed_us:
        words.append(f"idle {loop.idle_us / loop.elapsed_us:.1%}")
    words.append(f"background at most {milliseconds(loop.background_max_us)} ms")
    if loop.gc_count:
        forced = f", {loop.gc_forced:,} forced" if loop.gc_forced else ""
        words.append(
            f"gc {loop.gc_count:,} x at most {milliseconds(loop.gc_pause_max_us)} ms{forced}"
        )
    return words


def line_errors(link: Sequence[int]) -> str:
    """A frame's counters of bad frames in words, empty when there were none."""
    names = ("bad checksum", "bad format", "too long")
    return ", ".join(
        f"{count} {name}" for name, count in zip(names, link[1:4], strict=False) if count
    )


def _explain(what: str, code: int) -> str:
    return f"{what}: {errors.sentence(code)} ({errors.name(code)}); {errors.remedy(code)}"


def _reason_json(code: int) -> dict[str, Any]:
    return {
        "code": code,
        "name": errors.name(code),
        "sentence": errors.sentence(code),
        "remedy": errors.remedy(code),
    }
