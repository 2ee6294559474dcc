"""Where the arenas of an application's models lie: shared where its jobs never interleave, in no mode."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from host.appfile import App
from host.boards import Board
from host.package.write import LiteVariant
from host.schedule.admit import TaskTiming
from host.schedule.modes import mode_timings
from host.schedule.share import Arenas, share_arenas
from host.schedule.variants import lite_timings

if TYPE_CHECKING:
    from host.compile.result import CompiledModel


def choose_arenas(
    app: App,
    board: Board,
    timings: Sequence[TaskTiming],
    compiled: Sequence["CompiledModel"],
    lites: Sequence[LiteVariant | None],
) -> Arenas:
    """Where the arenas lie; the variants of a task take turns in one."""
    sizes = [
        max(full.arena_bytes, lite.model.arena_bytes if lite else 0)
        for full, lite in zip(compiled, lites, strict=True)
    ]
    modes = mode_timings(app, timings, lite_timings(timings, lites))
    return share_arenas(board, timings, sizes, list(modes.values()))
