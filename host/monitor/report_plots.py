"""The figures of the report as inline SVG, drawn by matplotlib.

Text stays text and every colour is a CSS variable, so that one drawing serves light and dark pages.
The same numbers give the same bytes. A tooltip is a gid of the form `tip:...`.
"""

import io
import math
import re
from typing import Any
from xml.etree import ElementTree as ET

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from host.demo_result import ModelMemory, TaskResult
from host.monitor.tables import milliseconds
from protocol.histogram import Histogram, bucket_lower, bucket_upper

# Drawn colour -> CSS variable of the page.
_INK, _MUTED, _GRID, _LATE, _BUDGET, _RESPONSE, _START = (f"#0101{n:02x}" for n in range(7))
_BUFFERS = tuple(f"#0102{n:02x}" for n in range(6))
_VARIABLES = {
    _INK: "--ink",
    _MUTED: "--muted",
    _GRID: "--grid",
    _LATE: "--late",
    _BUDGET: "--budget",
    _RESPONSE: "--response",
    _START: "--start",
    **{colour: f"--buffer{n}" for n, colour in enumerate(_BUFFERS)},
}

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": _INK,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _MUTED,
    "axes.titlecolor": _INK,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.8,
    "xtick.color": _GRID,
    "ytick.color": _GRID,
    "xtick.labelcolor": _MUTED,
    "ytick.labelcolor": _MUTED,
}
_SVG = "http://www.w3.org/2000/svg"


def timing_svg(task: TaskResult) -> str:
    """Response time and start latency of a task: a histogram over a CCDF each, deadline marked."""
    with mpl.rc_context(_STYLE | {"svg.hashsalt": f"timing {task.name}"}):
        figure = Figure(figsize=(10.4, 4.1), layout="constrained")
        axes = figure.subplots(2, 2, sharex="col", height_ratios=(1, 2.3))
        for column, title, histogram, colour in (
            (0, "response time", task.stats.response, _RESPONSE),
            (1, "start latency", task.stats.start, _START),
        ):
            limits = [(task.deadline_us, "deadline", _LATE, "-")]
            if column == 0:
                limits.append((task.budget_us, "budget", _BUDGET, ":"))
            span = _span(histogram, limits)
            top, bottom = axes[0][column], axes[1][column]
            _histogram(top, histogram, colour)
            _ccdf(bottom, histogram, colour, span)
            bottom.set_xlabel(f"{title}, ms")
            _limits(top, bottom, limits, span)
        return _inline(figure, f"Response time and start latency of {task.name}")


def arena_svg(model: ModelMemory) -> str:
    """The arena over time: a rectangle a buffer, from its first to its last op, at its offset."""
    ops = max(len(model.ops), 1)
    with mpl.rc_context(_STYLE | {"svg.hashsalt": f"arena {model.name}"}):
        figure = Figure(figsize=(10.4, 4.6), layout="constrained")
        axis = figure.subplots()
        high = max(model.arena_bytes, model.arena_lower_bound_bytes, 1)
        for index in range(len(model.buffers)):
            _buffer(axis, model, index, ops, high)
        axis.set_xlim(0, ops)
        axis.set_ylim(0, high * 1.12)
        _arena_limits(axis, model, ops)
        axis.xaxis.set_major_locator(FixedLocator([n + 0.5 for n in range(ops)]))
        names = [f"{op.index} {op.kind}" for op in model.ops] or [""]
        crowded = ops > 9
        axis.set_xticklabels(
            names,
            rotation=40 if crowded else 0,
            ha="right" if crowded else "center",
            rotation_mode="anchor",
            fontsize=8.5 if ops <= 30 else 6,
        )
        axis.tick_params(length=0)
        axis.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 4, 5, 8, 10]))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axis.set_ylabel("arena offset, bytes")
        axis.grid(axis="y")
        return _inline(figure, f"Arena map of {model.name}: time against offset")


def _buffer(axis: Axes, model: ModelMemory, index: int, ops: int, high: int) -> None:
    buffer = model.buffers[index]
    colour = _BUFFERS[index % len(_BUFFERS)]
    left, width = buffer.first, buffer.last + 1 - buffer.first
    inset = 0.03
    box = Rectangle(
        (left + inset, buffer.offset),
        width - 2 * inset,
        buffer.size_bytes,
        facecolor=colour,
        edgecolor=colour,
        alpha=0.55,
        linewidth=1.2,
    )
    ring = f" (ring of {buffer.ring_rows} rows)" if buffer.ring_rows else ""
    box.set_gid(
        f"tip:{index}:{buffer.name}{ring}: {buffer.size_bytes:,} B at {buffer.offset:,}, "
        f"ops {buffer.first} to {buffer.last}"
    )
    axis.add_patch(box)
    # Roughly what a line of 8.5 pt text needs, in data units of this figure's size.
    label = f"{buffer.name}\n{buffer.size_bytes:,} B"
    room = max(len(line) for line in label.split("\n")) * 0.0066 * ops
    if buffer.size_bytes < 0.05 * high:
        return
    if buffer.size_bytes < 0.11 * high:
        label = f"{buffer.size_bytes:,} B"
        room = len(label) * 0.0066 * ops
    if room <= width:
        axis.text(
            left + width / 2,
            buffer.offset + buffer.size_bytes / 2,
            label,
            ha="center",
            va="center",
            fontsize=8.5,
            linespacing=1.25,
            clip_on=True,
        )


def _arena_limits(axis: Axes, model: ModelMemory, ops: int) -> None:
    peak, bound = model.arena_bytes, model.arena_lower_bound_bytes
    axis.axhline(peak, color=_INK, linewidth=1.3)
    if peak == bound:
        words = f"arena {peak:,} B = lower bound: optimal"
    else:
        axis.axhline(bound, color=_MUTED, linewidth=1.1, linestyle="--")
        gap = (peak - bound) / bound if bound else 0.0
        words = f"arena {peak:,} B, lower bound {bound:,} B (dashed): at most {gap:.1%} to gain"
    axis.text(ops, peak, f"{words} ", ha="right", va="bottom", fontsize=9.5)


def _histogram(axis: Axes, histogram: Histogram, colour: str) -> None:
    """Share of jobs in each bucket; the axis of x comes from the CCDF below."""
    for index, count in histogram.nonzero():
        low, high = max(bucket_lower(index), 1), bucket_upper(index) + 1
        bars = axis.bar(low, 100 * count / histogram.n, width=high - low, align="edge")
        bars[0].set(facecolor=colour, alpha=0.7, edgecolor=colour, linewidth=0.6)
        bars[0].set_gid(
            f"tip:{index}:{count:,} jobs from {milliseconds(bucket_lower(index))} "
            f"to {milliseconds(bucket_upper(index))} ms"
        )
    axis.set_ylabel("% of jobs")
    axis.yaxis.set_major_locator(MaxNLocator(3))
    axis.grid(axis="y")


def _ccdf(axis: Axes, histogram: Histogram, colour: str, span: tuple[float, float]) -> None:
    """Share of jobs that took longer than x, in log-log; it ends at the exact maximum."""
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_ylabel("share of jobs above")
    n = max(histogram.n, 1)
    floor = 0.4 / n
    if histogram.n:
        xs: list[float] = [max(histogram.min_us, 1)]
        ys: list[float] = [1.0]
        above = histogram.n
        for index, count in histogram.nonzero():
            above -= count
            xs.append(max(min(bucket_upper(index), histogram.max_us), 1))
            ys.append(above / n if above else floor)
        axis.plot(xs, ys, color=colour, linewidth=2, drawstyle="steps-post")
        axis.fill_between(xs, ys, floor, color=colour, alpha=0.14, step="post", linewidth=0)
        middle = math.sqrt(span[0] * span[1])
        for name, value, at in (
            ("p50", histogram.percentile(50), 0.5),
            ("p99", histogram.percentile(99), max(0.01, 1 / n)),
            ("max", histogram.max_us, floor * 1.35),
        ):
            right = value < middle
            axis.plot([max(value, 1)], [at], "o", color=colour, markersize=5)
            axis.annotate(
                f"{name} {milliseconds(value)} ms",
                (max(value, 1), at),
                xytext=(7 if right else -7, 0),
                textcoords="offset points",
                ha="left" if right else "right",
                va="center",
                fontsize=9,
            )
    axis.set_ylim(floor, 1.6)
    axis.set_xlim(*span)
    decades = math.log10(span[1] / span[0])
    steps = (
        (1.0,) if decades > 3 else (1.0, 2.0, 5.0) if decades > 1 else (1.0, 1.5, 2.0, 3, 4, 5, 7)
    )
    axis.xaxis.set_major_locator(LogLocator(10, subs=steps, numticks=12))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1000:g}"))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_locator(LogLocator(10, numticks=6))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.grid()


def _limits(
    top: Axes,
    bottom: Axes,
    limits: list[tuple[int, str, str, str]],
    span: tuple[float, float],
) -> None:
    """A line for each (us, name, colour, line style): the deadline through both axes, a budget above only."""
    for at_us, name, colour, style in limits:
        for axis in (top, bottom) if colour == _LATE else (top,):
            axis.axvline(at_us, color=colour, linewidth=1.6, linestyle=style)
            if colour == _LATE:
                axis.axvspan(at_us, span[1], color=colour, alpha=0.08, linewidth=0)
        # The deadline's words stand a row higher, so that a budget close to it stays readable.
        top.annotate(
            f"{name} {milliseconds(at_us)} ms",
            (at_us, 1.0),
            xycoords=top.get_xaxis_transform(),
            xytext=(0, 16 if colour == _LATE and len(limits) > 1 else 4),
            textcoords="offset points",
            ha="center",
            va="bottom",
            color=colour,
            fontsize=9,
        )


def _span(histogram: Histogram, limits: list[tuple[int, str, str, str]]) -> tuple[float, float]:
    """The range of x that shows every value and every limit with room to spare."""
    values = [at_us for at_us, _, _, _ in limits]
    if histogram.n:
        values += [max(histogram.min_us, 1), histogram.max_us]
    low, high = min(values), max(values)
    room = (high / low) ** 0.12 * 1.15
    return low / room, high * room


def _inline(figure: Figure, title: str) -> str:
    """The figure as an <svg> element for a page: CSS colours, tooltips, no ids that could clash."""
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    ET.register_namespace("", _SVG)
    ET.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    root = ET.fromstring(text)
    metadata = root.find(f"{{{_SVG}}}metadata")
    if metadata is not None:
        root.remove(metadata)
    used = set(re.findall(r"#([\w.-]+)", " ".join(_references(root))))
    for element in root.iter():
        name = element.get("id")
        if name is None:
            continue
        if name.startswith("tip:"):
            tip = ET.Element(f"{{{_SVG}}}title")
            tip.text = name.split(":", 2)[2]
            element.insert(0, tip)
        if name not in used:
            del element.attrib["id"]
    for size in ("width", "height"):
        root.attrib.pop(size, None)
    root.set("role", "img")
    root.set("aria-label", title)
    return ET.tostring(root, encoding="unicode")


def _references(root: ET.Element) -> list[str]:
    return [
        value
        for element in root.iter()
        for key, value in element.attrib.items()
        if "#" in value and key != "id"
    ]
