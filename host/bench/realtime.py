"""`bench realtime`: task sets near the limit, on the product's own loop and dispatcher, against their predicted bounds.

On an emulated board the firmware runs them in the emulator's virtual time, where an instruction lasts a fixed time and
an idle core's time passes at once: equal inputs give equal figures. The measured op times become the declared ones, the
admission test admits the set with the board's costs, and beside it the same jobs run to completion in
arrival order, which is what one call per inference gives.
"""

import ast
import contextlib
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from host.bench.board_repl import BoardRepl, BoardReplError
from host.bench.realtime_cost import dispatch_cost
from host.bench.realtime_flash import Flash
from host.bench.realtime_sets import SETS, TaskSet, load_models, model_of
from host.boards import Board, load_board
from host.errors import UsageError
from host.flash.firmware import build_firmware
from host.package.keys import trusted
from host.progress import Progress, silent
from host.schedule.admit import TaskTiming, admit_tasks, start_latency_bounds_us

SECONDS = 3600
ARRIVAL_SECONDS = 300  # in arrival order at most: it misses after a few, an hour would say no more
_BOARDS_AT_ONCE = 2
_COUNT_ONLY = 3
ArrivalValue = tuple[list[int], list[int], list[tuple[int, ...]]]  # late, worst, all figures
_WALL_PER_SECOND = 2.0  # of virtual time, on a machine that is busy with other things


@dataclass(frozen=True, slots=True)
class TaskFigures:
    """One task of a set. Start latency and response count from the release grid, us."""

    name: str
    start_latency_max_us: int
    start_latency_bound_us: int
    response_max_us: int
    deadline_us: int
    period_us: int
    jobs: int
    missed: int
    jobs_run_to_completion: int
    missed_run_to_completion: int
    response_max_run_to_completion_us: int
    wcet_exceeded: int


@dataclass(frozen=True, slots=True)
class SetFigures:
    """One task set.

    overhead_share: of the processor's time, spent outside kernels while it was not idle: the dispatcher, the
    executor, Python, the clock and its interrupts, and the conversion of samples to the model's input.
    """

    utilization: float
    models: tuple[str, ...]
    jobs: int
    missed: int
    jobs_run_to_completion: int
    missed_run_to_completion: int
    overhead_share: float
    tasks: tuple[TaskFigures, ...]


@dataclass(frozen=True, slots=True)
class RealtimeResult:
    """All sets, each for `seconds` of the board's time, and for seconds_run_to_completion in arrival order."""

    board: str
    sets: tuple[SetFigures, ...]
    dispatch_instructions_per_op: float
    dispatch_instructions_per_job: float
    input_instructions_per_job: float
    seconds: int
    seconds_run_to_completion: int

    def as_json(self) -> dict[str, Any]:
        """The object that `bench realtime --json` prints."""
        return asdict(self)


def measure_realtime(
    board_name: str,
    seconds: int = SECONDS,
    sets: Sequence[TaskSet] = SETS,
    progress: Progress = silent,
) -> RealtimeResult:
    """Run the sets on an emulated board for `seconds` of its time each, both ways.

    Raises UsageError for a board that is not emulated, DoesNotFitError for a set that is not admitted.
    """
    board = load_board(board_name)
    if board.emulator.get("kind") != "qemu":
        raise UsageError(
            f"the clock of {board_name} does not repeat: no exact figures from it",
            "choose --board qemu-m4, or host for ratios",
        )
    # Nothing is on the link while a set runs, so no background work is admitted beside it.
    board = replace(
        board,
        time=replace(board.time, background_us=0),
        emulator={**board.emulator, "skips_idle": True},
    )
    progress("building the firmware and the models", None)
    firmware = build_firmware(board, *trusted(), progress)
    models = load_models(
        sorted({model_of(member.task) for chosen in sets for member in chosen.members}), board
    )
    with tempfile.TemporaryDirectory(prefix="tactus-realtime-") as scratch:
        room = Path(scratch)
        flash = Flash.of(models, board)
        with flash.running(board, firmware, room) as repl:
            flash = flash.measured(repl)
        chosen = [
            (task_set, task_set.timings(flash.budgets(board), board.time.dispatch_us))
            for task_set in sets
        ]
        for _, timings in chosen:
            admit_tasks(board, timings)
        progress("counting the instructions of the dispatcher", None)
        cost = dispatch_cost(board, firmware, flash, [timings for _, timings in chosen], room)
        arrival_seconds = min(seconds, ARRIVAL_SECONDS)
        runs = [
            *(_Run(own_expression(flash, timings, seconds), seconds) for _, timings in chosen),
            *(
                _Run(arrival_expression(flash, timings, arrival_seconds), arrival_seconds)
                for _, timings in chosen
            ),
        ]
        values = _side_by_side(board, firmware, flash, runs, room, progress)
        found = [
            _set_figures(
                board,
                task_set,
                timings,
                values[index],
                values[len(chosen) + index],
                cost.overhead_shares[index],
            )
            for index, (task_set, timings) in enumerate(chosen)
        ]
    per_op, per_job = round(cost.per_op, 1), round(cost.per_job, 1)
    inputs = round(cost.input_per_job, 1)
    return RealtimeResult(
        board_name, tuple(found), per_op, per_job, inputs, seconds, arrival_seconds
    )


@dataclass(frozen=True, slots=True)
class _Run:
    """An expression for the board to compute, which takes `seconds` of its time."""

    expression: str
    seconds: int


def _side_by_side(
    board: Board,
    firmware: Path,
    flash: Flash,
    runs: Sequence[_Run],
    folder: Path,
    progress: Progress,
) -> list[Any]:
    """The values of all runs, each on a freshly started board, some boards at a time.

    The longest begin first. What runs beside a board does not change its time.
    """
    values: list[Any] = [None] * len(runs)
    waiting = sorted(range(len(runs)), key=lambda index: -runs[index].seconds)
    with contextlib.ExitStack() as everything:
        running: dict[int, tuple[BoardRepl, contextlib.ExitStack, float]] = {}
        while waiting or running:
            while waiting and len(running) < _BOARDS_AT_ONCE:
                done = len(runs) - len(waiting) - len(running)
                progress(f"running task sets, {done} of {len(runs)} done", done / len(runs))
                index = waiting.pop(0)
                one = everything.enter_context(contextlib.ExitStack())
                repl = one.enter_context(flash.running(board, firmware, folder / str(index)))
                repl.begin(f"print(repr({runs[index].expression}))")
                patience_s = 60 + runs[index].seconds * _WALL_PER_SECOND
                running[index] = (repl, one, time.monotonic() + patience_s)
            for index, (repl, one, give_up) in list(running.items()):
                printed = repl.poll()
                if printed is not None:
                    values[index] = ast.literal_eval(printed)
                    one.close()
                    del running[index]
                elif time.monotonic() > give_up:
                    raise BoardReplError("a task set does not end", "run it again, alone")
    return values


def _set_figures(
    board: Board,
    task_set: TaskSet,
    timings: Sequence[TaskTiming],
    ours: Sequence[tuple[int, ...]],
    in_order: ArrivalValue,
    overhead_share: float,
) -> SetFigures:
    # Without messages there is nothing to collect, either, though it is admitted.
    silent = replace(board, time=replace(board.time, gc_us=0))
    bounds = start_latency_bounds_us(silent, timings)
    late, worst = arrival_figures(in_order)
    rows = tuple(
        TaskFigures(
            name=task.name,
            start_latency_max_us=ours[index][3],
            start_latency_bound_us=bounds[index],
            response_max_us=ours[index][4],
            deadline_us=task.deadline_us,
            period_us=task.period_us,
            jobs=ours[index][1],
            missed=ours[index][2],
            jobs_run_to_completion=in_order[2][index][0],
            missed_run_to_completion=late[index],
            response_max_run_to_completion_us=worst[index],
            wcet_exceeded=ours[index][7],
        )
        for index, task in enumerate(timings)
    )
    return SetFigures(
        utilization=task_set.utilization,
        models=tuple(row.name for row in rows),
        jobs=sum(row.jobs for row in rows),
        missed=sum(row.missed for row in rows),
        jobs_run_to_completion=sum(row.jobs_run_to_completion for row in rows),
        missed_run_to_completion=sum(row.missed_run_to_completion for row in rows),
        overhead_share=round(overhead_share, 5),
        tasks=rows,
    )


def own_expression(flash: Flash, timings: Sequence[TaskTiming], seconds: int) -> str:
    """The product's loop: its value is per task the figures that the program on the board names."""
    return f"run({flash.tasks(timings)!r}, {seconds})"


def arrival_expression(flash: Flash, timings: Sequence[TaskTiming], seconds: int) -> str:
    """Arrival order, nothing preempted: its value is for arrival_figures()."""
    # Equal relative deadlines turn EDF into arrival order. A budget of 1 us is passed by every job, which
    # count_only only counts: the deadline may then be shorter than the job.
    deadline = min(task.period_us for task in timings)
    alike = [replace(task, deadline_us=deadline, budget_us=1) for task in timings]
    tasks = [(*task[:6], _COUNT_ONLY, task[7]) for task in flash.tasks(alike)]
    deadlines = tuple(task.deadline_us for task in timings)
    return f"arrival({tasks!r}, {seconds}, {deadlines!r})"


def arrival_figures(value: ArrivalValue) -> tuple[list[int], list[int]]:
    """Per task, jobs late or never begun, and the longest response, us."""
    late, worst, counted = value
    return [late[i] + counted[i][8] for i in range(len(late))], worst
