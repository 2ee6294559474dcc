"""A timeline as an inline SVG: a Gantt chart of the jobs around a missed deadline."""

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from host.monitor.figure import BUDGET, CARD, INK, LATE, MUTED, RESPONSE, STYLE, inline_svg
from host.monitor.timeline import MISSES, Timeline
from host.monitor.times import milliseconds

_BAR, _THIN = 0.56, 0.14


def timeline_svg(line: Timeline) -> str:
    """A row a task and one for background: bars run, thin lines wait, the job that missed in red."""
    with mpl.rc_context(STYLE | {"svg.hashsalt": "timeline"}):
        figure = Figure(figsize=(10.4, 0.9 + 0.52 * len(line.rows)), layout="constrained")
        axis = figure.subplots()
        axis.set_xlim(line.start_us, line.end_us + (line.end_us - line.start_us) * 0.01)
        axis.set_ylim(len(line.rows) - 0.45, -0.75)
        _waits(axis, line)
        _bars(axis, line)
        _marks(axis, line)
        axis.set_yticks(range(len(line.rows)), line.rows)
        axis.tick_params(axis="y", length=0, labelcolor=INK)
        axis.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 2.5, 5, 10]))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1000:g}"))
        since = "the release of the job that missed" if line.miss else "the first event"
        axis.set_xlabel(f"ms since {since}")
        axis.grid(axis="x")
        axis.spines["left"].set_visible(False)
        return inline_svg(figure, "Timeline: " + line.sentence())


def _colour(line: Timeline, row: int, job: int) -> str:
    if line.miss is not None and (line.miss.row, line.miss.job) == (row, job):
        return LATE
    return BUDGET if row == len(line.rows) - 1 else RESPONSE


def _waits(axis: Axes, line: Timeline) -> None:
    for index, wait in enumerate(line.waits):
        bars = axis.barh(
            wait.row, wait.end_us - wait.start_us, _THIN, wait.start_us, linewidth=0, alpha=0.45
        )
        bars[0].set_facecolor(_colour(line, wait.row, wait.job))
        bars[0].set_gid(
            f"tip:wait{index}:{line.rows[wait.row]} job {wait.job}, under way for "
            f"{milliseconds(wait.end_us - wait.start_us)} ms"
        )


def _bars(axis: Axes, line: Timeline) -> None:
    span = line.end_us - line.start_us
    least = span / 700  # a short op stays visible
    for index, bar in enumerate(line.bars):
        length = bar.end_us - bar.start_us
        bars = axis.barh(bar.row, max(length, least), _BAR, bar.start_us)
        colour = _colour(line, bar.row, bar.job)
        edge = CARD if length > span / 100 else colour
        bars[0].set(facecolor=colour, edgecolor=edge, linewidth=0.8 if edge == CARD else 0)
        what = f"job {bar.job}, ops to {bar.op}: " if bar.row < len(line.rows) - 1 else ""
        bars[0].set_gid(
            f"tip:bar{index}:{line.rows[bar.row]} {what}{milliseconds(length)} ms "
            f"from {milliseconds(bar.start_us)} ms"
        )


def _marks(axis: Axes, line: Timeline) -> None:
    for mark in line.marks:
        if mark.what == "release":
            axis.plot(
                [mark.at_us, mark.at_us],
                [mark.row - 0.42, mark.row + 0.42],
                color=MUTED,
                linewidth=1.1,
            )
        elif mark.what in MISSES:
            axis.plot([mark.at_us], [mark.row], "x", color=LATE, markersize=9, markeredgewidth=2.4)
    miss = line.miss
    if miss is None:
        return
    # The deadline's words stand a row higher, so that both stay readable when they are close.
    for at_us, words, style, up in (
        (0, f"job {miss.job} released", ":", 2),
        (miss.deadline_us, f"deadline {milliseconds(miss.deadline_us)} ms", "-", 14),
    ):
        if line.start_us <= at_us <= line.end_us:
            axis.axvline(at_us, color=LATE, linewidth=1.4, linestyle=style)
            near_end = at_us > line.start_us + 0.8 * (line.end_us - line.start_us)
            axis.annotate(
                words,
                (at_us, -0.75),
                xytext=(-3 if near_end else 3, up),
                textcoords="offset points",
                ha="right" if near_end else "left",
                va="bottom",
                color=LATE,
                fontsize=9,
                annotation_clip=False,
            )
