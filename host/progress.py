"""Progress of long steps: a callable that the library reports to; only the command line draws."""

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
