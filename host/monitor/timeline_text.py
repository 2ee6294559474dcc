"""A timeline for a terminal: a line a task, a cell a slice of time."""

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from host.monitor.timeline import Timeline
from host.monitor.times import milliseconds

_RUNS, _WAITS, _IDLE, _RELEASE, _DEADLINE = "█", "░", " ", "╷", "┊"
_MARGIN = 2


class TimelineText:
    """█ runs, ░ is released and waits, ╷ release, ┊ the deadline of the job that missed (red)."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        line = self._timeline
        label = max(len(name) for name in line.rows) + _MARGIN
        cells = max(options.max_width - label - 1, 10)
        scale = (line.end_us - line.start_us) / cells
        for row, name in enumerate(line.rows):
            yield Text.assemble(name.ljust(label), self._row(row, cells, scale), no_wrap=True)
        yield Text(" " * label + self._axis(cells, scale), style="dim", no_wrap=True)

    def _row(self, row: int, cells: int, scale: float) -> Text:
        line, miss = self._timeline, self._timeline.miss
        chars = [_IDLE] * cells
        styles = [""] * cells
        for wait in line.waits:
            if wait.row == row:
                for cell in self._cells(wait.start_us, wait.end_us, cells, scale):
                    chars[cell], styles[cell] = _WAITS, self._style(row, wait.job)
        for mark in line.marks:
            if mark.row == row and mark.what == "release":
                cell = self._cell(mark.at_us, cells, scale)
                if chars[cell] == _IDLE:
                    chars[cell] = _RELEASE
        for bar in line.bars:
            if bar.row == row:
                for cell in self._cells(bar.start_us, bar.end_us, cells, scale):
                    chars[cell], styles[cell] = _RUNS, self._style(row, bar.job)
        if miss is not None and miss.row == row and line.start_us <= miss.deadline_us < line.end_us:
            cell = self._cell(miss.deadline_us, cells, scale)
            chars[cell], styles[cell] = _DEADLINE, "bold red"
        text = Text()
        for char, style in zip(chars, styles, strict=True):
            text.append(char, style)
        return text

    def _style(self, row: int, job: int) -> str:
        line = self._timeline
        if line.miss is not None and (line.miss.row, line.miss.job) == (row, job):
            return "red"
        return "yellow" if row == len(line.rows) - 1 else "cyan"

    def _cell(self, at_us: int, cells: int, scale: float) -> int:
        return min(max(int((at_us - self._timeline.start_us) / scale), 0), cells - 1)

    def _cells(self, start_us: int, end_us: int, cells: int, scale: float) -> range:
        first = self._cell(start_us, cells, scale)
        return range(first, max(self._cell(end_us - 1, cells, scale), first) + 1)

    def _axis(self, cells: int, scale: float) -> str:
        line, miss = self._timeline, self._timeline.miss
        left, right = f"{milliseconds(line.start_us)}", f"{milliseconds(line.end_us)} ms"
        axis = [" "] * cells
        axis[: len(left)] = left
        axis[cells - len(right) :] = right
        places = [] if miss is None else [(0, "release"), (miss.deadline_us, "deadline")]
        for at_us, word in places:
            if line.start_us <= at_us <= line.end_us:
                first = max(0, min(self._cell(at_us, cells, scale) - 3, cells - len(word)))
                if all(char == " " for char in axis[max(first - 1, 0) : first + len(word) + 1]):
                    axis[first : first + len(word)] = word
        return "".join(axis)
