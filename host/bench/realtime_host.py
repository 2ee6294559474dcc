"""`bench realtime` on this computer: a machine that other programs share, so only ratios are quoted.

The same program runs in a Python of its own around the C engine, pinned to one processor and under SCHED_FIFO where the
operating system permits it.
"""

import ast
import os
import selectors
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from host.bench.board_repl import BoardReplError
from host.bench.realtime import arrival_run, own_run
from host.bench.realtime_device import PROGRAM
from host.bench.realtime_flash import Flash
from host.bench.realtime_sets import SETS, load_models, model_of
from host.boards import ROOT, Board
from host.flash.cpython_ext import build_extension
from host.flash.device_room import ERASED, dying_with_parent
from host.package.keys import trusted
from host.progress import Progress
from host.schedule.admit import TaskTiming, is_admitted, start_latency_bounds_us

SECONDS_MAX = 20  # of each run: longer ones on a shared machine say no more
_STOLEN_PERCENT = 50  # other programs' interrupts and caches, on top of the longest time seen
_FLOOR_US = 150  # what a declared job is at least: shorter ones measure the machine's timer
_PRIORITY = 10
_PATIENCE_S = 60.0
_CHILD = """
import ast, sys
names = {}
for line in sys.stdin:
    is_value, text = ast.literal_eval(line)
    print(repr(eval(text, names)) if is_value else exec(text, names), flush=True)
"""


@dataclass(frozen=True, slots=True)
class TaskRatios:
    """Worst start latency as a part of its bound, worst response as a part of the deadline."""

    name: str
    start_latency_of_bound: float
    response_of_deadline: float


@dataclass(frozen=True, slots=True)
class SetRatios:
    """One task set. Shares are of its jobs. `admitted`: with the board's costs; else it ran all the same."""

    utilization: float
    models: tuple[str, ...]
    admitted: bool
    missed_share: float
    missed_share_run_to_completion: float
    tasks: tuple[TaskRatios, ...]


@dataclass(frozen=True, slots=True)
class RealtimeRatios:
    """All sets. `pinned`, `fifo`: what the operating system permitted."""

    board: str
    sets: tuple[SetRatios, ...]
    pinned: bool
    fifo: bool
    seconds: int

    def as_json(self) -> dict[str, Any]:
        """The object that `bench realtime --json` prints."""
        return asdict(self)


class _Process:
    """A Python with the board's extension that runs what it is told; used like a BoardRepl."""

    def __init__(self, board: Board, extension: Path, flash_file: Path) -> None:
        path = os.pathsep.join([str(ROOT / "device"), str(ROOT), str(extension.parent)])
        self._process = subprocess.Popen(
            dying_with_parent([sys.executable, "-c", _CHILD]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        pid = self._process.pid
        self.pinned = self.fifo = True
        try:
            os.sched_setaffinity(pid, {max(os.sched_getaffinity(0))})
        except OSError:
            self.pinned = False
        try:
            os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(_PRIORITY))
        except OSError:
            self.fifo = False
        self.run(f"FLASH = ({str(flash_file)!r}, -1)")
        self.run(PROGRAM)

    def run(self, program: str, timeout_s: float = _PATIENCE_S) -> str:
        """Run statements."""
        return self._ask(False, program, timeout_s)

    def value(self, expression: str, timeout_s: float = _PATIENCE_S) -> Any:
        """The value of an expression that prints as a literal."""
        return ast.literal_eval(self._ask(True, expression, timeout_s))

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def _ask(self, is_value: bool, text: str, timeout_s: float) -> str:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(repr((is_value, text)) + "\n")
        self._process.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(timeout_s):
                raise BoardReplError(f"no answer for {timeout_s:.0f} s", "run it again, alone")
        answer = self._process.stdout.readline()
        if not answer:
            raise BoardReplError("the program ended", "its error stands above")
        return answer


def measure_ratios(board: Board, seconds: int, progress: Progress) -> RealtimeRatios:
    """Run the sets in this computer's time, each for `seconds`, at most SECONDS_MAX, both ways."""
    seconds = min(seconds, SECONDS_MAX)
    board = replace(board, time=replace(board.time, background_us=0, gc_us=0))
    progress("building the engine and the models", None)
    extension = build_extension(board, *trusted(), progress)
    names = sorted({model_of(member.task) for chosen in SETS for member in chosen.members})
    flash = Flash.of(load_models(names, board), board)
    with tempfile.TemporaryDirectory(prefix="tactus-realtime-") as scratch:
        file = Path(scratch) / "flash.bin"
        content = bytearray(ERASED * board.flash.bytes)
        at = board.flash.replay_offset
        content[at : at + len(flash.content)] = flash.content
        file.write_bytes(content)
        process = _Process(board, extension, file)
        try:
            flash = flash.measured(process, _STOLEN_PERCENT)
            content[at : at + len(flash.content)] = flash.content
            with file.open("r+b") as mapped:  # the same file: the process has it mapped
                mapped.write(content)
            budgets = {
                name: (max(_FLOOR_US, budget), longest, input_us)
                for name, (budget, longest, input_us) in flash.budgets(board).items()
            }
            found = []
            for index, chosen in enumerate(SETS):
                progress(f"running at utilization {chosen.utilization:g}", index / len(SETS))
                timings = chosen.timings(budgets, board.time.dispatch_us)
                ours = own_run(process, flash, timings, seconds, _PATIENCE_S + 2 * seconds)
                late, _ = arrival_run(process, flash, timings, seconds, _PATIENCE_S + 2 * seconds)
                found.append(_ratios(board, chosen.utilization, timings, ours, late))
            return RealtimeRatios(board.name, tuple(found), process.pinned, process.fifo, seconds)
        finally:
            process.close()


def _ratios(
    board: Board,
    utilization: float,
    timings: tuple[TaskTiming, ...],
    ours: list[tuple[int, ...]],
    late: list[int],
) -> SetRatios:
    bounds = start_latency_bounds_us(board, timings)
    jobs = sum(row[1] for row in ours)
    return SetRatios(
        utilization=utilization,
        models=tuple(task.name for task in timings),
        admitted=is_admitted(board, timings),
        missed_share=round(sum(row[2] for row in ours) / jobs, 5),
        missed_share_run_to_completion=round(sum(late) / jobs, 5),
        tasks=tuple(
            TaskRatios(
                task.name,
                round(row[3] / bound, 3),
                round(row[4] / task.deadline_us, 3),
            )
            for task, row, bound in zip(timings, ours, bounds, strict=True)
        ),
    )
