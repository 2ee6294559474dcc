"""A running board for a terminal: the board, each task against its promise, and its first miss."""

from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from host.demo_result import missed, percentiles
from host.link.tactus_group import TaskInfo
from host.monitor.live import Moment
from host.monitor.span import Load, Loads
from host.monitor.status import health_words, line_errors, load_words, ram_use, slow_ops
from host.monitor.timeline import build_timeline
from host.monitor.timeline_text import TimelineText
from host.monitor.times import milliseconds
from protocol import manifest
from protocol.histogram import Histogram, bucket_lower, bucket_upper

_LEVELS = "▁▂▃▄▅▆▇█"
_BEYOND = 5 / 4  # a histogram reaches this far past the deadline
_TASK_LINES = 3
_HEADER_LINES = 3
_SENTENCE_LINES = 3  # on 80 columns


class BoardView:
    """Follows a board; `cause` is why it is lost, empty while it is there."""

    def __init__(self) -> None:
        self.cause = ""
        self._loads = Loads()
        self._moment: Moment | None = None
        self._load: tuple[Load, ...] = ()

    def take(self, moment: Moment) -> None:
        """Take a moment in."""
        self.cause = ""
        self._moment = moment
        self._load = self._loads.take(moment.stats, moment.in_force)

    def at_height(self, height: int) -> Group:
        """What fits so many lines; the drawing of a miss goes first, its sentence stays."""
        moment = self._moment
        lost = [Text(f"lost: {self.cause}; looking for it", style="bold red")] if self.cause else []
        if moment is None:
            return Group(*lost)
        head = [*lost, *board_lines(moment)]
        parts: list[Any] = [*head, load_table(moment, self._load)]
        line = build_timeline(moment.events, moment.in_force)
        if line is not None:
            used = len(head) + _HEADER_LINES + _TASK_LINES * len(moment.tasks)
            used += _SENTENCE_LINES
            parts.append(Text("first miss: " + line.sentence(), style="red"))
            if used + len(line.rows) + 1 <= height:
                parts.append(TimelineText(line))
        return Group(*parts)


def board_lines(moment: Moment) -> list[Text]:
    """The board in three lines, or four, and one for each task whose ops took longer than declared."""
    info, stats = moment.info, moment.stats
    head = Text.assemble(
        (f"{info.app or 'no package'} {info.version or ''}".rstrip(), "bold"),
        f" on {info.board}, up {stats.uptime_ms / 1000:,.1f} s",
        f", speed {info.speed}" if info.speed > 1 else "",
        f", mode {moment.mode}"
        if moment.mode == manifest.NORMAL
        else (f", mode {moment.mode}", "yellow"),
        "" if info.running else (", stopped", "yellow"),
    )
    facts = []
    used, total = ram_use(moment.ram)
    if total:
        facts.append(f"RAM {used:,} of {total:,} B ({used / total:.0%})")
    errors = line_errors(stats.link)
    line = Text(", ".join([*facts, "link "]))
    line.append(errors or "ok", "yellow" if errors else "")
    lines = [head, line, Text(", ".join(health_words(moment.health)))]
    if stats.loop is not None:
        lines.append(Text(", ".join(load_words(stats.loop))))
    lines += [Text(line, style="yellow") for line in slow_ops(moment.tasks, stats.tasks)]
    return lines


def load_table(moment: Moment, loads: tuple[Load, ...]) -> Table:
    """Three lines a task: how it loads the board, when it starts and ends, against its deadline."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), expand=True)
    table.add_column("task, ms", no_wrap=True)
    table.add_column("load", justify="right", no_wrap=True)
    table.add_column("ms", no_wrap=True)
    for name in ("p50", "p99", "max"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column(Text("0 … deadline", no_wrap=True), ratio=1, no_wrap=True)
    for task, stats, load in zip(moment.in_force, moment.stats.tasks, loads, strict=True):
        response, start = percentiles(stats.response), percentiles(stats.start)
        count = missed(stats)
        rate = "-" if load.rate_hz is None else f"{load.rate_hz:,.1f} /s"
        table.add_row(
            Text.assemble(
                (task.name, "bold"),
                (" off" if stats.off else " lite" if stats.variant else "", "yellow"),
                f"\nevery {milliseconds(task.period_us)}\nwithin {milliseconds(task.deadline_us)}",
            ),
            Text.assemble(
                f"{rate}\n{load.utilization:.1%} busy\n",
                (f"{load.budget:.0%} budget", "bold red" if load.budget > 1 else ""),
            ),
            Text.assemble("response\nstart\n", ("missed", "bold red" if count else "green")),
            *(
                Text.assemble(
                    f"{milliseconds(response[key])}\n{milliseconds(start[key])}\n", (extra, style)
                )
                for key, extra, style in (
                    ("p50", f"{count:,}", "bold red" if count else "green"),
                    ("p99", "of", "dim"),
                    ("max", f"{stats.released:,}", ""),
                )
            ),
            Group(DeadlineBar(stats.response, task), DeadlineBar(stats.start, task)),
        )
    return table


@dataclass(frozen=True, slots=True)
class DeadlineBar:
    """A histogram as a line of cells from 0 to a quarter past the deadline, the deadline marked.

    Heights are logarithmic: a single late job among thousands stays visible.
    """

    histogram: Histogram
    task: TaskInfo

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(12, options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        deadline = self.task.deadline_us
        part = self.histogram.max_us / deadline
        label = f" {part:.0%}" if part < 10 else " >999%"
        cells = max(options.max_width - 6, 5)
        edge = min(int(cells / _BEYOND), cells - 2)
        counts = _spread(self.histogram, deadline, edge, cells)
        top = max(counts).bit_length()
        text = Text(no_wrap=True)
        for cell, count in enumerate(counts):
            if cell == edge:
                text.append("│", "bold red" if part > 1 else "dim")
            level = _LEVELS[(count.bit_length() - 1) * 7 // max(top - 1, 1)] if count else " "
            text.append(level, "red" if cell >= edge else "cyan")
        style = "bold red" if part > 1 else "yellow" if part > 0.8 else "green"
        text.append(label if self.histogram.n else " -", style if self.histogram.n else "")
        yield text


def _spread(histogram: Histogram, deadline_us: int, edge: int, cells: int) -> list[int]:
    """Jobs a cell: `edge` cells up to the deadline, the rest beyond; a bucket fills the cells it spans."""
    counts = [0] * (cells - 1)

    def cell(at_us: int) -> int:
        return min(at_us * edge // deadline_us, cells - 2)

    for bucket, count in histogram.nonzero():
        low = cell(max(bucket_lower(bucket), histogram.min_us))
        high = cell(min(bucket_upper(bucket), histogram.max_us))
        for place in range(low, high + 1):
            counts[place] += -(-count // (high - low + 1))
    return counts
