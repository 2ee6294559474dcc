"""The HTML report of a run: one file, no network, light and dark. From the demo, a log, or a live board."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from host.demo_result import DemoReport, ModelMemory, TaskResult, missed, percentiles
from host.link.tactus_group import Health, TaskInfo
from host.monitor.recording import Recording
from host.monitor.report_plots import TaskTimes, arena_svg, timing_svg
from host.monitor.status import load_words, ram_use
from host.monitor.timeline import Timeline, build_timeline
from host.monitor.timeline_plot import timeline_svg
from host.monitor.times import counted, milliseconds
from protocol.manifest import POLICIES

_TEMPLATE = "report.html.j2"


@dataclass(frozen=True, slots=True)
class Fact:
    """A figure at the head of the page; `mood` is good, bad or empty."""

    value: str
    words: str
    mood: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """What a report shows. Only the demo knows `answers` and `models`."""

    title: str
    subtitle: str
    facts: tuple[Fact, ...]
    tasks: tuple[TaskTimes, ...]
    timeline: Timeline | None
    answers: tuple[TaskResult, ...]
    ram: tuple[tuple[str, int], ...]
    models: tuple[ModelMemory, ...]
    versions: Mapping[str, str]


def write_report(page: Page, path: Path) -> None:
    """Write the report. The same run gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_report(page), encoding="utf-8")


def demo_page(report: DemoReport) -> Page:
    """The page of a judged run."""
    released = sum(task.stats.released for task in report.tasks)
    windows = sum(task.windows for task in report.tasks)
    tasks = tuple(
        TaskTimes(t.name, t.period_us, t.deadline_us, t.budget_us, t.policy, t.stats)
        for t in report.tasks
    )
    return Page(
        title=f"{report.app} {report.version} on {report.board}",
        subtitle=report.board_title + _speed(report.speed),
        facts=(
            _missed_fact(report.missed, released),
            Fact(
                f"{report.parity_mismatches:,}",
                f"outputs differ from the reference in {windows:,} test windows",
                _mood(report.parity_mismatches),
            ),
            Fact(
                f"{report.arena_bytes:,} B",
                f"arena, lower bound {report.arena_lower_bound_bytes:,} B",
            ),
            Fact(
                f"{report.package_bytes:,} B",
                f"signed package; the same models as .pte: {report.pte_bytes:,} B",
            ),
        ),
        tasks=tasks,
        timeline=build_timeline(report.events, [_info(task) for task in tasks]),
        answers=report.tasks,
        ram=report.ram,
        models=report.models,
        versions=report.versions,
    )


def recording_page(recording: Recording) -> Page:
    """The page of what a monitor saw."""
    last = recording.last
    info = last.info
    tasks = tuple(
        TaskTimes(
            task.name,
            task.period_us,
            task.deadline_us,
            task.budget_us,
            POLICIES[stats.policy],
            stats,
        )
        for task, stats in zip(last.tasks, recording.stats, strict=True)
    )
    released = sum(stats.released for stats in recording.stats)
    errors = sum(last.stats.link[1:4])
    worst = max((t.stats.response.max_us / t.deadline_us for t in tasks), default=0.0)
    seen = f"{recording.begin[:19].replace('T', ' ')} to {recording.end[:19].replace('T', ' ')} UTC"
    return Page(
        title=f"{info.app or 'no package'} {info.version or ''} on {info.board}",
        subtitle=f"{seen}, {counted(recording.frames, 'frame')}, {counted(recording.starts, 'start')} of the tasks, "
        f"{counted(recording.gaps, 'gap')} in the line"
        + f", mode {last.mode} at the end"
        + (f", {', '.join(load_words(last.stats.loop))}" if last.stats.loop else "")
        + _speed(info.speed)
        + (
            f"; {recording.left_out:,} frames of other tasks or periods before left out"
            if recording.left_out
            else ""
        ),
        facts=(
            _missed_fact(sum(missed(stats) for stats in recording.stats), released),
            Fact(
                f"{worst:.0%}",
                "of its deadline taken by the slowest job",
                "bad" if worst > 1 else "",
            ),
            Fact(f"{ram_use(last.ram)[0]:,} B", "RAM in use, as the board accounts for it"),
            *(
                Fact(f"{size:,} B", f"ever written of its {name}")
                for name, size in last.health.peaks
            ),
            *_temperature(last.health),
            Fact(f"{errors:,}", "bad frames on the line since its last start", _mood(errors)),
        ),
        tasks=tasks,
        timeline=build_timeline(recording.events, last.tasks),
        answers=(),
        ram=last.ram,
        models=(),
        versions={"firmware": info.firmware},
    )


def render_report(page: Page) -> str:
    """The whole page. Names that came from a board or an application are escaped."""
    total = sum(size for _, size in page.ram)
    return (
        pages()
        .get_template(_TEMPLATE)
        .render(
            page=page,
            tasks=[_task(task) for task in page.tasks],
            timeline=Markup(timeline_svg(page.timeline)) if page.timeline else "",
            models=[{"memory": model, "map": Markup(arena_svg(model))} for model in page.models],
            ram=[
                {"name": name, "bytes": size, "part": size / total if total else 0.0}
                for name, size in page.ram
            ],
            ram_total=total,
        )
    )


def pages() -> Environment:
    """The templates of this folder, escaping, with the filters that they share."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["ms"] = milliseconds
    environment.filters["count"] = lambda value: f"{value:,}"
    environment.filters["percent"] = lambda value: f"{value:.2%}"
    return environment


def _task(task: TaskTimes) -> dict[str, Any]:
    stats = task.stats
    return {
        "name": task.name,
        "period_us": task.period_us,
        "deadline_us": task.deadline_us,
        "budget_us": task.budget_us,
        "policy": task.policy,
        "stats": stats,
        "missed": missed(stats),
        "start": percentiles(stats.start),
        "response": percentiles(stats.response),
        "exec_mean_us": stats.exec_sum_us // stats.exec_n if stats.exec_n else 0,
        "of_deadline": stats.response.max_us / task.deadline_us,
        "plot": Markup(timing_svg(task)),
    }


def _info(task: TaskTimes) -> TaskInfo:
    return TaskInfo(task.name, task.period_us, task.deadline_us, task.budget_us, (), 0, 0, 0, 0)


def _missed_fact(count: int, released: int) -> Fact:
    return Fact(f"{count:,}", f"deadlines missed in {released:,} releases", _mood(count))


def _temperature(health: Health) -> list[Fact]:
    if health.temperature_mc is None:
        return []
    return [Fact(f"{health.temperature_mc / 1000:.1f} °C", "hottest sensor, at the end")]


def _mood(bad: int) -> str:
    return "bad" if bad else "good"


def _speed(speed: int) -> str:
    return f", run at speed {speed}" if speed != 1 else ""
