"""Fitting an application into a board's time and RAM."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from host.appfile import App
from host.boards import Board
from host.errors import DoesNotFitError
from host.package.write import LiteVariant
from host.schedule.admit import TaskTiming, Verdict, admit_tasks, is_admitted
from host.schedule.arenas import choose_arenas
from host.schedule.modes import admit_modes, mode_timings
from host.schedule.op_lengths import compile_admitted, model_timings, shorter_ops
from host.schedule.optional import grant_optional
from host.schedule.share import Arenas, run_whole
from host.schedule.variants import lite_timings, lite_variants
from host.schedule.wcet_table import WcetTable
from protocol.manifest import NORMAL

if TYPE_CHECKING:
    from host.compile.result import CompiledModel
    from host.export.program import ExportedModel


@dataclass(frozen=True, slots=True)
class Fit:
    """What was found, by task; the verdicts by mode, the normal one first."""

    compiled: list["CompiledModel"]
    tables: list[WcetTable | None]
    lites: list[LiteVariant | None]
    timings: list[TaskTiming]
    arenas: Arenas
    verdicts: dict[str, Verdict]


def fit_application(app: App, board: Board, exported: list["ExportedModel"]) -> Fit:
    """Compile for time first; where the arenas are then too large together, once more for RAM alone.

    Raises DoesNotFitError, UsageError.
    """
    found = _fit(app, board, exported, smallest=False)
    if found.arenas.total_bytes > board.arena_bytes:
        try:
            found = _fit(app, board, exported, smallest=True)
        except DoesNotFitError as error:  # what takes less RAM takes more time
            raise too_large(board, app, found.arenas) from error
    if found.arenas.total_bytes > board.arena_bytes:
        raise too_large(board, app, found.arenas)
    return found


def _fit(app: App, board: Board, exported: list["ExportedModel"], smallest: bool) -> Fit:
    longest: list[int | None] | None = [None] * len(exported)
    while longest is not None:
        compiled, tables, reached = compile_admitted(app, board, exported, longest, smallest)
        lites = lite_variants(app, board, compiled, smallest)
        compiled = grant_optional(app, board, compiled, lites)
        timings = model_timings(app, board, compiled)
        longest = _shorter_in_modes(app, board, timings, lites, reached)
    admit_modes(board, app, timings, lite_timings(timings, lites))
    arenas = choose_arenas(app, board, timings, compiled, lites)
    timings = list(run_whole(timings, arenas.whole))
    verdicts = {NORMAL: admit_tasks(board, timings)}
    verdicts |= admit_modes(board, app, timings, lite_timings(timings, lites))
    return Fit(compiled, tables, lites, timings, arenas, verdicts)


def _shorter_in_modes(
    app: App,
    board: Board,
    timings: list[TaskTiming],
    lites: list[LiteVariant | None],
    longest: list[int | None],
) -> list[int | None] | None:
    """The op lengths that the first mode not admitted asks for; None when all are, or none would help."""
    for runs in mode_timings(app, timings, lite_timings(timings, lites)).values():
        running = [(index, timing) for index, timing in enumerate(runs) if timing]
        own = [timing for _, timing in running]
        if is_admitted(board, own):
            continue
        shorter = shorter_ops(board, own, [longest[index] for index, _ in running])
        if shorter is None:
            return None
        asked = list(longest)
        for (index, _), limit in zip(running, shorter, strict=True):
            asked[index] = limit
        return asked
    return None


def too_large(board: Board, app: App, arenas: Arenas) -> DoesNotFitError:
    """The error for arenas that are larger together than the board's RAM for them."""
    needs = ", ".join(
        f"{task.name} {size}" for task, size in zip(app.tasks, arenas.sizes, strict=True)
    )
    over = arenas.total_bytes - board.arena_bytes
    return DoesNotFitError(
        f"the arenas need {arenas.total_bytes} bytes of RAM ({needs}), "
        f"{board.name} gives {board.arena_bytes}",
        f"make the models smaller by {over} bytes of activations, or drop a task",
    )
