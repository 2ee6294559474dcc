"""The lite variants of an application's tasks: compiled beside the full ones, and lighter than they are."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from host.answers import right_answers
from host.appfile import App
from host.boards import Board
from host.errors import DoesNotFitError, UsageError
from host.package.tasks import selftests
from host.package.write import LiteVariant
from host.schedule.admit import TaskTiming
from host.schedule.wcet_table import declare, find_table

if TYPE_CHECKING:
    from host.compile.result import CompiledModel


def lite_variants(
    app: App, board: Board, compiled: list["CompiledModel"], smallest: bool = False
) -> list[LiteVariant | None]:
    """Compile the lite variants; None for a task without one. Raises DoesNotFitError for one that is not lighter."""
    from host.compile.compile import compile_model
    from host.export.program import export_model
    from host.export.spec import load_spec

    found: list[LiteVariant | None] = []
    for task, full in zip(app.tasks, compiled, strict=True):
        if task.lite is None:
            found.append(None)
            continue
        exported = export_model(
            load_spec(app, task.in_variant("lite")), task.precision == "float32", early_exit=False
        )
        lite = compile_model(
            exported, board, task.keep_input, longest_us=full.longest_op_us, smallest=smallest
        )
        table = find_table(board, lite, app.path.parent)
        lite = declare(lite, table) if table else lite
        if lite.budget_us > full.budget_us or lite.longest_op_us > full.longest_op_us:
            raise DoesNotFitError(
                f"{app.path}: the lite variant of task {task.name!r} needs {lite.budget_us} us, "
                f"its longest op {lite.longest_op_us}; the full one {full.budget_us} and {full.longest_op_us}",
                f"make {task.lite!r} smaller than {task.model!r}",
            )
        for side, own, other in (
            ("input", lite.input, full.input),
            ("output", lite.output, full.output),
        ):
            if own.size_bytes != other.size_bytes:
                raise UsageError(
                    f"{app.path}: the lite variant of task {task.name!r} has {own.size_bytes} {side} bytes, "
                    f"the full one {other.size_bytes}",
                    f"give {task.lite!r} the {side} of {task.model!r}",
                )
        inputs = exported.evaluation_inputs()
        expected = right_answers(exported, lite, inputs)
        found.append(LiteVariant(lite, selftests(inputs, expected, lite.output)))
    return found


def lite_timings(
    timings: Sequence[TaskTiming], lites: Sequence[LiteVariant | None]
) -> list[TaskTiming | None]:
    """The timings of the lite variants; what runs whole does so in both."""
    return [
        replace(
            timing,
            budget_us=lite.model.budget_us,
            longest_op_us=lite.model.budget_us
            if timing.longest_op_us == timing.budget_us
            else lite.model.longest_op_us,
        )
        if lite
        else None
        for timing, lite in zip(timings, lites, strict=True)
    ]
