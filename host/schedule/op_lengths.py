"""How long the ops of an application may be: cut into row tiles until the task set is admitted."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from host.appfile import App, Task
from host.boards import Board
from host.errors import DoesNotFitError
from host.schedule.admit import (
    TaskTiming,
    admit_tasks,
    is_admitted,
    op_limits_us,
    task_input_us,
)
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

    longest: the op lengths to begin with, us, None for any; the last value tells those it ended with. Where only
    the mandatory parts are admitted, what is granted of the optional ones is for schedule/optional.py.
    Raises DoesNotFitError, with what falls short, when shorter ops do not help or cannot be had.
    """
    from host.compile.compile import compile_model

    while True:
        compiled, tables = [], []
        for task, model, limit in zip(app.tasks, exported, longest, strict=True):
            plan = compile_model(model, board, task.keep_input, longest_us=limit, smallest=smallest)
            tables.append(find_table(board, plan, app.path.parent))
            plan = declare(plan, tables[-1]) if tables[-1] else plan
            compiled.append(with_declared_budget(task, plan))
        timings = model_timings(app, board, compiled)
        least = model_timings(app, board, _mandatory(app, compiled))
        try:
            admit_tasks(board, timings)
        except DoesNotFitError:
            shorter = shorter_ops(board, timings, longest)
            if shorter is None and least != timings:
                if is_admitted(board, least):
                    return compiled, tables, longest
                shorter = shorter_ops(board, least, longest)
            if shorter is None:
                raise
            longest = shorter
        else:
            return compiled, tables, longest


def with_declared_budget(task: Task, model: "CompiledModel") -> "CompiledModel":
    """The model with what it can use of a declared budget, its mandatory part at least."""
    if model.mandatory_ops == 0 or task.budget_us is None:
        return model
    budget_us = max(model.mandatory_us, min(model.full_us, task.budget_us))
    return replace(model, granted_us=budget_us)


def is_free(task: Task, model: "CompiledModel") -> bool:
    """Whether the budget of a task's optional part is the build's to choose."""
    return model.mandatory_ops > 0 and task.budget_us is None


def _mandatory(app: App, compiled: Sequence["CompiledModel"]) -> list["CompiledModel"]:
    """The models with the least budgets."""
    return [
        replace(model, granted_us=model.mandatory_us) if is_free(task, model) else model
        for task, model in zip(app.tasks, compiled, strict=True)
    ]


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
