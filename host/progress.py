"""Progress of long steps: a callable that the library reports to; only the command line draws."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[str, float | None], None]
"""progress(phase, fraction): fraction in 0..1 grows within a phase; None when it is unknown."""


def silent(phase: str, fraction: float | None = None) -> None:
    """Report to nobody."""


@contextmanager
def on_terminal() -> Iterator[Progress]:
    """Draw phases as bars on stderr, and nothing when stderr is no terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield silent
        return
    from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    with Bars(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    ) as bars:
        phases: dict[str, TaskID] = {}

        def report(phase: str, fraction: float | None = None) -> None:
            if phase not in phases:
                for done in phases.values():
                    bars.update(done, visible=False)
                phases[phase] = bars.add_task(phase, total=None if fraction is None else 1.0)
            if fraction is not None:
                bars.update(phases[phase], completed=fraction, total=1.0)

        yield report


@contextmanager
def transfer_on_terminal(total_bytes: int) -> Iterator[Progress]:
    """Draw a transfer on stderr, its fractions being of `total_bytes`: bytes, rate, time left.

    Where stderr is no terminal, a line for each phase and each quarter of it.
    """
    from rich.console import Console, RenderableType

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(total_bytes).report
        return
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        ProgressColumn,
        SpinnerColumn,
        Task,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bars
    from rich.text import Text

    class OfTransfer(ProgressColumn):
        """Nothing beside a phase that transfers nothing."""

        def __init__(self, column: ProgressColumn) -> None:
            super().__init__()
            self._column = column

        def render(self, task: Task) -> RenderableType:
            return Text() if task.total is None else self._column.render(task)

    with Bars(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        *map(OfTransfer, (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())),
        console=console,
        transient=True,
    ) as bars:
        shown: dict[str, TaskID] = {}

        def report(phase: str, fraction: float | None = None) -> None:
            if phase not in shown:
                for done in shown.values():
                    bars.update(done, visible=False)
                total = None if fraction is None else total_bytes
                # What was there before an interruption did not come at this rate.
                begun = int((fraction or 0.0) * total_bytes)
                shown[phase] = bars.add_task(phase, total=total, completed=begun)
            elif fraction is not None:
                bars.update(shown[phase], completed=int(fraction * total_bytes))

        yield report


class _Lines:
    """Progress for a log file."""

    def __init__(self, total_bytes: int) -> None:
        self._total_bytes = total_bytes
        self._phase = ""
        self._quarter = 0
        self._began = 0.0
        self._from = 0.0

    def report(self, phase: str, fraction: float | None = None) -> None:
        """Print a line when a phase begins and at each quarter."""
        now = time.monotonic()
        if phase != self._phase:
            self._phase, self._began, self._from = phase, now, fraction or 0.0
            self._quarter = int(4 * self._from)
            print(phase, file=sys.stderr, flush=True)
        elif fraction is not None and int(4 * fraction) > self._quarter:
            self._quarter = int(4 * fraction)
            rate = (fraction - self._from) * self._total_bytes / max(now - self._began, 1e-3)
            left = (1 - fraction) * self._total_bytes / max(rate, 1.0)
            print(
                f"{phase}: {fraction:.0%} of {self._total_bytes:,} B, {rate / 1000:.1f} kB/s, "
                f"{left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )
