"""Times that are in force while a board runs faster than real time."""

from collections.abc import Iterable
from dataclasses import replace

from host.boards import load_board
from host.errors import UsageError
from host.link.tactus_group import BoardInfo, TaskInfo


def tasks_at_speed(info: BoardInfo, tasks: Iterable[TaskInfo]) -> tuple[TaskInfo, ...]:
    """The tasks with the periods and deadlines that the board keeps at its present speed.

    A board tells them as its package states them. One that scales with speed (board.toml, `time`)
    divides them by it; the others only shorten idle waiting. A board this checkout does not know is
    taken as one of those.
    """
    divisor = info.speed if info.speed > 1 and _scales(info.board) else 1
    return tuple(
        replace(task, period_us=task.period_us // divisor, deadline_us=task.deadline_us // divisor)
        for task in tasks
    )


def _scales(board: str) -> bool:
    try:
        return load_board(board).time.scales_with_speed
    except UsageError:
        return False
