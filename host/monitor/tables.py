"""Tables that several verbs show: tasks, accuracy, memory, ports."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from host.demo_result import TaskResult, missed, percentiles
from host.link.ports import PortInfo
from host.link.tactus_group import Slots
from host.monitor.times import milliseconds
from protocol import errors
from protocol.histogram import Histogram
from protocol.stats import TaskStats

_BAR_CELLS = 20
_UNBOUNDED = 10_000


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task's promise and what was measured. Times in microseconds."""

    name: str
    period_us: int
    deadline_us: int
    stats: TaskStats


@dataclass(frozen=True, slots=True)
class TaskTable:
    """Releases, misses, start latency, response against the deadline, jitter.

    Renders a row a task where the terminal is wide enough, else a column a task.
    """

    tasks: tuple[TaskRow, ...]
    title: str | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = self.rows()
        unbounded = options.update(max_width=_UNBOUNDED)
        fits = Measurement.get(console, unbounded, wide).maximum <= options.max_width
        yield wide if fits else self.columns()

    def rows(self) -> Table:
        """A row a task."""
        table = _table(self.title)
        for index, (name, _) in enumerate(_TASK_CELLS):
            table.add_column(
                name, justify="right" if index else "left", style="bold" if index == 0 else None
            )
        for task in self.tasks:
            table.add_row(*(cell(task) for _, cell in _TASK_CELLS))
        return table

    def columns(self) -> Table:
        """A column a task."""
        table = _table(self.title)
        table.add_column("task")
        for task in self.tasks:
            table.add_column(Text(task.name, style="bold"), justify="right")
        for name, cell in _TASK_CELLS[1:]:
            table.add_row(
                name.replace("\n", " ").replace(" / ", "/"), *(cell(task) for task in self.tasks)
            )
        return table


def task_table(tasks: Iterable[TaskRow], title: str | None = None) -> TaskTable:
    """The table of tasks, of a shape that fits the terminal."""
    return TaskTable(tuple(tasks), title)


def accuracy_table(tasks: Iterable[TaskResult], title: str | None = None) -> Table:
    """Accuracy of the float model, the quantized one and the board, and bit-exactness."""
    table = _table(title)
    table.add_column("task", style="bold")
    for name in ("test windows", "float", "quantized", "on the board", "parity mismatches"):
        table.add_column(name, justify="right")
    for task in tasks:
        wrong = task.parity_mismatches
        table.add_row(
            task.name,
            f"{task.windows:,}",
            f"{task.accuracy.float_model:.2%}",
            f"{task.accuracy.quantized:.2%}",
            f"{task.accuracy.device:.2%}",
            Text(f"{wrong:,}", style="bold red" if wrong else "green"),
        )
    return table


def memory_table(ram: Sequence[tuple[str, int]], title: str | None = None) -> Table:
    """Who takes what of the board's RAM, with the total."""
    total = sum(size for _, size in ram)
    table = _table(title)
    table.add_column("RAM", style="bold")
    table.add_column("bytes", justify="right")
    table.add_column("share", justify="right")
    table.add_column("", style="cyan")
    for name, size in ram:
        if size == 0:
            continue
        part = size / total if total else 0.0
        table.add_row(name, f"{size:,}", f"{part:.1%}", "█" * round(part * _BAR_CELLS))
    table.add_section()
    table.add_row("total", f"{total:,}", "", "")
    return table


def arena_table(arenas: Iterable[tuple[str, int, int]], title: str | None = None) -> Table:
    """Name, planned bytes and bytes that the board saw written, for each task's arena."""
    table = _table(title)
    table.add_column("arena of", style="bold")
    for name in ("planned, bytes", "touched, bytes"):
        table.add_column(name, justify="right")
    for name, planned, touched in arenas:
        style = "bold red" if touched > planned else "green" if touched else "dim"
        table.add_row(name, f"{planned:,}", Text(f"{touched:,}" if touched else "-", style=style))
    return table


def board_table(boards: Iterable[Mapping[str, Any]], title: str | None = None) -> Table:
    """Known boards: name, title, core, ram_bytes, port (None while it does not run)."""
    table = _table(title)
    for name in ("board", "what it is", "core", "RAM", "port"):
        table.add_column(name, justify="right" if name == "RAM" else "left")
    for board in boards:
        ram = f"{board['ram_bytes']:,}" if board["ram_bytes"] else "-"
        port = board["port"] or Text("not running", style="dim")
        table.add_row(board["name"], board["title"], board["core"], ram, port)
    return table


def port_table(ports: Iterable[PortInfo], title: str | None = None) -> Table:
    """Ports a board may be on."""
    table = _table(title)
    for name in ("port", "board", "what it is", "USB id", "serial number"):
        table.add_column(name)
    for port in ports:
        table.add_row(port.path, port.board or "", port.title, port.usb_id, port.serial_number)
    return table


def slot_table(slots: Slots, title: str | None = None) -> Table:
    """Both package slots and how far each has come."""
    table = _table(title)
    for name in ("slot", "state", "bytes", "SHA-256", "refused because"):
        table.add_column(name, justify="right" if name == "bytes" else "left")
    for index, slot in enumerate(slots.slots):
        size = f"{slot.length:,}"
        if slot.state_name == "receiving":
            size = f"{slot.received:,} of {slot.length:,}"
        table.add_row(
            str(index),
            slot.state_name,
            size if slot.length else "",
            slot.sha256.hex()[:16] if slot.length else "",
            Text(errors.name(slot.reason) if slot.reason else "", style="yellow"),
        )
    return table


def _table(title: str | None) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)


def early_words(stats: TaskStats) -> str:
    """How often a task with an early exit left its optional part out: ` 12% early`."""
    if not stats.has_early or not stats.done:
        return ""
    return f" {stats.early / stats.done:.0%} early"


def _missed(task: TaskRow) -> Text:
    count = missed(task.stats)
    return Text(f"{count:,}", style="bold red" if count else "green")


def _triple(histogram: Histogram) -> Text:
    if histogram.n == 0:
        return Text("-")
    return Text(" / ".join(milliseconds(value) for value in percentiles(histogram).values()))


def _share(task: TaskRow) -> Text:
    response = task.stats.response
    if response.n == 0:
        return Text("-")
    part = response.max_us / task.deadline_us
    style = "bold red" if part > 1 else "yellow" if part > 0.8 else "green"
    return Text(f"{part:.0%}", style=style)


_TASK_CELLS: tuple[tuple[str, Callable[[TaskRow], Text]], ...] = (
    ("task", lambda task: Text(task.name)),
    ("period\nms", lambda task: Text(milliseconds(task.period_us))),
    ("deadline\nms", lambda task: Text(milliseconds(task.deadline_us))),
    ("released", lambda task: Text(f"{task.stats.released:,}")),
    ("done", lambda task: Text(f"{task.stats.done:,}{early_words(task.stats)}")),
    ("missed", _missed),
    ("start latency, ms\np50 / p99 / max", lambda task: _triple(task.stats.start)),
    ("response, ms\np50 / p99 / max", lambda task: _triple(task.stats.response)),
    ("max of\ndeadline", _share),
    ("jitter\nms", lambda task: Text(milliseconds(task.stats.cycle_jitter_max_us))),
)
