"""How long the ops of an application may be: cut into row tiles until the task set is admitted."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from host.appfile import App
from host.boards import Board
from host.errors import DoesNotFitError
from host.schedule.admit import TaskTiming, admit_tasks, op_limits_us, task_input_us
from host.schedule.wcet_table import WcetTable, declare, find_table

if TYPE_CHECKING:
    from host.compile.result import CompiledModel
    from host.export.program import ExportedModel


def compile_admitted(
    app: App,
    board: Board,
    exported: list["ExportedModel"],
    longest: list[int | None],
    smallest: bool = False,
) -> tuple[list["CompiledModel"], list[WcetTable | None], list[int | None]]:
    """Compile all models, with ops cut into row tiles until the normal mode is admitted.

    longest: the op lengths to begin with, us, None for any; the last value tells those it ended with. Raises DoesNotFitError, with what falls short, when shorter ops do not help or cannot be had.
    """
    from host.compile.compile import compile_model

    while True:
        compiled, tables = [], []
        for task, model, limit in zip(app.tasks, exported, longest, strict=True):
            plan = compile_model(model, board, task.keep_input, longest_us=limit, smallest=smallest)
            tables.append(find_table(board, plan, app.path.parent))
            compiled.append(declare(plan, tables[-1]) if tables[-1] else plan)
        timings = model_timings(app, board, compiled)
        try:
            admit_tasks(board, timings)
        except DoesNotFitError:
            shorter = shorter_ops(board, timings, longest)
            if shorter is None:
                raise
            longest = shorter
        else:
            return compiled, tables, longest


def shorter_ops(
    board: Board, timings: list[TaskTiming], longest: list[int | None]
) -> list[int | None] | None:
    """The op lengths to compile for next, us; None when no op is too long or the compiler could not.

    A limit only ever falls, and a model that kept no limit is not asked twice for the same: it ends.
    """
    limits = op_limits_us(board, timings)
    asked = list(longest)
    for index, (task, limit) in enumerate(zip(timings, limits, strict=True)):
        before = longest[index]
        if task.longest_op_us > limit > 0 and (before is None or limit < before):
            asked[index] = limit
    return asked if asked != longest else None


def model_timings(app: App, board: Board, compiled: Sequence["CompiledModel"]) -> list[TaskTiming]:
    """What the models need. Raises DoesNotFitError for one above its declared budget."""
    timings = []
    for task, model in zip(app.tasks, compiled, strict=True):
        if task.budget_us is not None and model.budget_us > task.budget_us:
            raise DoesNotFitError(
                f"{app.path}: task {task.name!r} needs {model.budget_us} us, "
                f"its budget_us says {task.budget_us}",
                f"raise budget_us to {model.budget_us}, or make the model smaller",
            )
        timings.append(
            TaskTiming(
                task.name,
                model.budget_us,
                task.period_us,
                task.deadline_us,
                model.longest_op_us,
                task_input_us(board, model.input.elements, task.policy == "degrade"),
            )
        )
    return timings
