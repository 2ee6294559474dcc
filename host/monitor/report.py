"""The HTML report of a run: one file, no network, light and dark."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from host.demo_result import DemoReport, TaskResult, missed, percentiles
from host.monitor.report_plots import arena_svg, timing_svg
from host.monitor.tables import milliseconds

_TEMPLATE = "report.html.j2"


def write_report(report: DemoReport, path: Path) -> None:
    """Write the report. The same run gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_report(report), encoding="utf-8")


def render_report(report: DemoReport) -> str:
    """The whole page. Names that came from a board or an application are escaped."""
    pages = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters["ms"] = milliseconds
    pages.filters["count"] = lambda value: f"{value:,}"
    pages.filters["percent"] = lambda value: f"{value:.2%}"
    total = sum(size for _, size in report.ram)
    return pages.get_template(_TEMPLATE).render(
        report=report,
        released=sum(task.stats.released for task in report.tasks),
        windows=sum(task.windows for task in report.tasks),
        tasks=[_task(task) for task in report.tasks],
        models=[{"memory": model, "map": Markup(arena_svg(model))} for model in report.models],
        ram=[
            {"name": name, "bytes": size, "part": size / total if total else 0.0}
            for name, size in report.ram
        ],
        ram_total=total,
    )


def _task(task: TaskResult) -> dict[str, Any]:
    stats = task.stats
    return {
        "result": task,
        "stats": stats,
        "missed": missed(stats),
        "start": percentiles(stats.start),
        "response": percentiles(stats.response),
        "exec_mean_us": stats.exec_sum_us // stats.exec_n if stats.exec_n else 0,
        "of_deadline": stats.response.max_us / task.deadline_us,
        "plot": Markup(timing_svg(task)),
    }
