"""How much of its optional part a job may run: all of it where the task set is admitted so, else as much as is.

The mandatory part makes the early answer and is always paid for (imprecise computation, Liu et al., Computer 24(5), 1991).
A declared budget_us stands as it is; the other tasks share what is left in the order of app.toml.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from host.appfile import App
from host.boards import Board
from host.package.write import LiteVariant
from host.schedule.admit import is_admitted
from host.schedule.modes import mode_timings
from host.schedule.op_lengths import is_free, model_timings
from host.schedule.variants import lite_timings

if TYPE_CHECKING:
    from host.compile.result import CompiledModel


def grant_optional(
    app: App,
    board: Board,
    compiled: Sequence["CompiledModel"],
    lites: Sequence[LiteVariant | None],
) -> list["CompiledModel"]:
    """The models with the largest budgets that every mode is admitted with, at ends of ops.

    Where not even the mandatory parts are admitted they come back with nothing more, for the admission to say why.
    """

    def admitted(models: Sequence["CompiledModel"]) -> bool:
        timings = model_timings(app, board, models)
        modes = mode_timings(app, timings, lite_timings(timings, lites)).values()
        sets = [timings, *([timing for timing in mode if timing] for mode in modes)]
        return all(is_admitted(board, one) for one in sets)

    models = list(compiled)
    if admitted(models):
        return models
    stops = {
        index: _stops(model, lite)
        for index, (task, model, lite) in enumerate(zip(app.tasks, models, lites, strict=True))
        if is_free(task, model)
    }
    for index, ends in stops.items():
        models[index] = replace(models[index], granted_us=ends[0])
    if not admitted(models):
        return models
    for index, ends in stops.items():

        def refused(budget_us: int, index: int = index) -> bool:
            tried = [*models]
            tried[index] = replace(tried[index], granted_us=budget_us)
            return not admitted(tried)

        most = bisect_right(ends, False, key=refused) - 1
        models[index] = replace(models[index], granted_us=ends[most])
    return models


def _stops(model: "CompiledModel", lite: LiteVariant | None) -> list[int]:
    """Budgets to choose from, rising; none below the lite variant's."""
    least = max(model.mandatory_us, lite.model.budget_us if lite else 0)
    return [least, *(end for end in model.stops_us if end > least)]
