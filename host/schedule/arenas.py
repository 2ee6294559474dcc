"""Where the arenas of an application's models lie: shared where its jobs never interleave."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from host.appfile import App
from host.boards import Board
from host.package.write import LiteVariant
from host.schedule.admit import TaskTiming
from host.schedule.share import Arenas, lay_apart, share_arenas

if TYPE_CHECKING:
    from host.compile.result import CompiledModel


def choose_arenas(
    app: App,
    board: Board,
    timings: Sequence[TaskTiming],
    compiled: Sequence["CompiledModel"],
    lites: Sequence[LiteVariant | None],
) -> Arenas:
    """Where the arenas lie; an application with modes shares none: an order of deadlines need not hold in all."""
    sizes = [
        max(full.arena_bytes, lite.model.arena_bytes if lite else 0)
        for full, lite in zip(compiled, lites, strict=True)
    ]
    return lay_apart(timings, sizes) if app.modes else share_arenas(board, timings, sizes)
