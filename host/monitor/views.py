"""Ways to show moments: lines for pipes and logs, several views at once. The live table: board_view.py."""

import contextlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self, TextIO

from host.demo_result import missed, percentiles
from host.errors import TactusError
from host.monitor.live import Moment, View
from host.monitor.output import open_output
from host.monitor.recording import lost_json, moment_json

if TYPE_CHECKING:
    from rich.console import Console


def choose_view(
    as_json: bool, stream: TextIO = sys.stdout, keep: bool = True, every_s: float = 0.0
) -> View:
    """JSON lines when asked for, the live table on a terminal, plain lines elsewhere.

    `keep` leaves the last table on the terminal when the view ends; `every_s` thins plain lines out.
    """
    if as_json:
        return JsonLines(stream)
    if not stream.isatty():
        return PlainLines(stream, every_s)
    from rich.console import Console

    return LiveTable(Console(file=stream), keep)


class _Lines:
    """What line views have in common."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.flush()


class JsonLines(_Lines):
    """One JSON object a frame: recording.py says what is in it."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._ring: object = ()

    def show(self, moment: Moment) -> None:
        """Print one line; the ring goes into the first after it froze."""
        line = moment_json(moment)
        if moment.events == self._ring:
            line.pop("events", None)
        self._ring = moment.events
        self._print(line)

    def lost(self, cause: str) -> None:
        """Print a line that says so."""
        self._print(lost_json(cause, time.time()))

    def _print(self, line: dict[str, object]) -> None:
        print(json.dumps(line), file=self._stream, flush=True)


class LogFile(JsonLines):
    """JSON lines appended to a file, each written out before the next frame is read."""

    def __init__(self, path: Path) -> None:
        """Open the file. Raises UsageError when that is refused."""
        self._path = path
        super().__init__(open_output(path, "a"))

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError):  # what could not be written was told
            self._stream.close()

    def _print(self, line: dict[str, object]) -> None:
        try:
            super()._print(line)
        except OSError as error:
            raise TactusError(
                f"cannot write {self._path}: {error.strerror}",
                "make room there; what was logged before is whole",
            ) from error


class PlainLines(_Lines):
    """One line a task and frame, easy to grep; of frames closer than `every_s` only the first."""

    def __init__(self, stream: TextIO, every_s: float = 0.0) -> None:
        super().__init__(stream)
        self._every_s = every_s
        self._due_s = 0.0

    def show(self, moment: Moment) -> None:
        """Print one line for each task."""
        if time.monotonic() < self._due_s:
            return
        self._due_s = time.monotonic() + self._every_s
        for task, stats in zip(moment.tasks, moment.stats.tasks, strict=True):
            response = percentiles(stats.response)
            print(
                f"{moment.stats.uptime_ms / 1000:.1f}s {task.name}: "
                f"released {stats.released} done {stats.done} missed {missed(stats)} "
                f"response p50 {response['p50']} p99 {response['p99']} max {response['max']} "
                f"of {task.deadline_us} us, start latency max {stats.start.max_us} us, "
                f"jitter {stats.cycle_jitter_max_us} us",
                file=self._stream,
                flush=True,
            )

    def lost(self, cause: str) -> None:
        """Print a line that says so."""
        print(f"lost: {cause}; looking for it", file=self._stream, flush=True)


class LiveTable:
    """The board on a terminal, redrawn with each frame."""

    def __init__(self, console: "Console", keep: bool) -> None:
        from rich.live import Live

        from host.monitor.board_view import BoardView

        self._console = console
        self._view = BoardView()
        self._live = Live(console=console, auto_refresh=False, transient=not keep)

    def show(self, moment: Moment) -> None:
        """Redraw."""
        self._view.take(moment)
        self._live.update(self._view.at_height(self._console.size.height - 1), refresh=True)

    def lost(self, cause: str) -> None:
        """Say so above what was seen last."""
        self._view.cause = cause
        self._live.update(self._view.at_height(self._console.size.height - 1), refresh=True)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()


class AllOf:
    """Several views as one; they are entered in order and left in reverse."""

    def __init__(self, views: Sequence[View]) -> None:
        self._views = views
        self._entered = contextlib.ExitStack()

    def show(self, moment: Moment) -> None:
        """Show it in each."""
        for view in self._views:
            view.show(moment)

    def lost(self, cause: str) -> None:
        """Tell each."""
        for view in self._views:
            view.lost(cause)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as entering:
            for view in self._views:
                entering.enter_context(view)
            self._entered = entering.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._entered.close()
