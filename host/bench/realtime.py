"""`bench realtime`: task sets near the limit, on the product's own loop and dispatcher, against their predicted bounds.

On an emulated board the firmware runs them in the emulator's virtual time, where an instruction lasts a fixed time and
an idle core's time passes at once: equal inputs give equal figures. The measured op times become the declared ones, the
admission test admits the set with the board's costs, and beside it the same jobs run to completion in
arrival order, which is what one call per inference gives.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from host.bench.board_repl import BoardRepl
from host.bench.realtime_cost import dispatch_cost
from host.bench.realtime_device import Repl
from host.bench.realtime_flash import Flash
from host.bench.realtime_sets import SETS, TaskSet, load_models, model_of
from host.boards import Board, load_board
from host.errors import UsageError
from host.flash.firmware import build_firmware
from host.package.keys import trusted
from host.progress import Progress, silent
from host.schedule.admit import TaskTiming, admit_tasks, start_latency_bounds_us

SECONDS = 3600
_COUNT_ONLY = 3
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
    missed_run_to_completion: int
    overhead_share: float
    tasks: tuple[TaskFigures, ...]


@dataclass(frozen=True, slots=True)
class RealtimeResult:
    """All sets of one run of `seconds` of the board's time each."""

    board: str
    sets: tuple[SetFigures, ...]
    dispatch_instructions_per_op: float
    dispatch_instructions_per_job: float
    input_instructions_per_job: float
    seconds: int

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
        found = []
        for index, (task_set, timings) in enumerate(chosen):
            progress(f"running at utilization {task_set.utilization:g}", index / len(sets))
            with flash.running(board, firmware, room) as repl:
                rows = _run(repl, board, flash, timings, seconds)
            found.append(
                SetFigures(
                    utilization=task_set.utilization,
                    models=tuple(row.name for row in rows),
                    jobs=sum(row.jobs for row in rows),
                    missed=sum(row.missed for row in rows),
                    missed_run_to_completion=sum(row.missed_run_to_completion for row in rows),
                    overhead_share=round(cost.overhead_shares[index], 5),
                    tasks=rows,
                )
            )
    per_op, per_job = round(cost.per_op, 1), round(cost.per_job, 1)
    inputs = round(cost.input_per_job, 1)
    return RealtimeResult(board_name, tuple(found), per_op, per_job, inputs, seconds)


def _run(
    repl: BoardRepl, board: Board, flash: Flash, timings: Sequence[TaskTiming], seconds: int
) -> tuple[TaskFigures, ...]:
    patience_s = 60 + seconds * _WALL_PER_SECOND
    ours = own_run(repl, flash, timings, seconds, patience_s)
    late, worst = arrival_run(repl, flash, timings, seconds, patience_s)
    bounds = start_latency_bounds_us(board, timings)
    return tuple(
        TaskFigures(
            name=task.name,
            start_latency_max_us=ours[index][3],
            start_latency_bound_us=bounds[index],
            response_max_us=ours[index][4],
            deadline_us=task.deadline_us,
            period_us=task.period_us,
            jobs=ours[index][1],
            missed=ours[index][2],
            missed_run_to_completion=late[index],
            response_max_run_to_completion_us=worst[index],
            wcet_exceeded=ours[index][7],
        )
        for index, task in enumerate(timings)
    )


def own_run(
    repl: Repl, flash: Flash, timings: Sequence[TaskTiming], seconds: int, patience_s: float
) -> list[tuple[int, ...]]:
    """The product's loop: per task the figures that the program on the board names."""
    rows: list[tuple[int, ...]] = repl.value(
        f"run({flash.tasks(timings)!r}, {seconds})", patience_s
    )
    return rows


def arrival_run(
    repl: Repl, flash: Flash, timings: Sequence[TaskTiming], seconds: int, patience_s: float
) -> tuple[list[int], list[int]]:
    """Arrival order, nothing preempted: per task, jobs late or never begun, and the longest response, us."""
    # Equal relative deadlines turn EDF into arrival order. A budget of 1 us is passed by every job, which
    # count_only only counts: the deadline may then be shorter than the job.
    deadline = min(task.period_us for task in timings)
    alike = [replace(task, deadline_us=deadline, budget_us=1) for task in timings]
    tasks = [(*task[:6], _COUNT_ONLY, task[7]) for task in flash.tasks(alike)]
    deadlines = tuple(task.deadline_us for task in timings)
    late, worst, counted = repl.value(f"arrival({tasks!r}, {seconds}, {deadlines!r})", patience_s)
    return [late[i] + counted[i][8] for i in range(len(tasks))], worst
