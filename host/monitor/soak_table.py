"""The result of a soak for a terminal."""

from rich import box
from rich.table import Table
from rich.text import Text

from host.demo_result import missed, percentiles
from host.monitor.soak import Soak
from host.monitor.times import milliseconds


def soak_table(soak: Soak) -> Table:
    """Two lines a task: start latency and response, first span against last."""
    seconds = f"{soak.span_ms / 1000:g} s"
    beside = (
        f"beside them {soak.requests:,} requests and {soak.telemetry_records:,} telemetry records"
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption=beside, caption_justify="left")
    table.add_column("task, missed")
    table.add_column("ms")
    table.add_column(f"first {seconds}\np50 / p99 / max", justify="right")
    table.add_column(f"last {seconds}\np50 / p99 / max", justify="right")
    for task in soak.tasks:
        count = missed(task.whole)
        rows = [("start latency", "start"), ("response", "response")]
        for index, (words, name) in enumerate(rows):
            head = (
                Text(task.task.name)
                if index == 0
                else Text(f"{count:,} of {task.whole.released:,}", "bold red" if count else "green")
            )
            spans = [percentiles(getattr(span, name)) for span in (task.first, task.last)]
            cells = [" / ".join(map(milliseconds, span.values())) for span in spans]
            table.add_row(head, words, *cells)
    return table
