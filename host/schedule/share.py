"""Arena sharing: models whose jobs never interleave live in the same RAM.

Under EDF a job is preempted only by one with a shorter relative deadline. So tasks may share an arena when every one of
them but those of the shortest deadline runs whole: once begun, to its end. That is paid for with blocking, which
the admission test knows as an op as long as the budget. With modes this holds in each of them: modes change only when no
job is there, so jobs of two modes never meet.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from host.boards import Board
from host.schedule.admit import TaskTiming, is_admitted

ALIGN = 16


@dataclass(frozen=True, slots=True)
class Arenas:
    """Where each task's arena begins, which tasks run whole for it, its bytes, and those of all together."""

    offsets: tuple[int, ...]
    whole: tuple[bool, ...]
    sizes: tuple[int, ...]
    total_bytes: int


def share_arenas(
    board: Board,
    tasks: Sequence[TaskTiming],
    sizes: Sequence[int],
    modes: Sequence[Sequence[TaskTiming | None]] = (),
) -> Arenas:
    """The arrangement of least RAM that is admitted in every mode, and of those the one that makes the least time whole.

    `tasks`: the normal mode; `modes`: the others, one entry for each task, None where it is off; all of them admitted as
    they are. `sizes`: arena bytes of each task. Looks at every partition: 15 for four tasks.
    """
    found = []
    sets = [tasks, *modes]
    for groups in _partitions(range(len(tasks))):
        arenas = _arrange(sets, sizes, groups)
        if all(_admits(board, timings, arenas.whole) for timings in sets):
            cost = sum(task.budget_us for task, yes in zip(tasks, arenas.whole, strict=True) if yes)
            found.append((arenas.total_bytes, cost, arenas.offsets, arenas))
    return min(found)[-1] if found else lay_apart(tasks, sizes)


def lay_apart(tasks: Sequence[TaskTiming], sizes: Sequence[int]) -> Arenas:
    """One arena after the other; nothing runs whole."""
    return _arrange([tasks], sizes, [[index] for index in range(len(tasks))])


def run_whole(tasks: Sequence[TaskTiming], whole: Sequence[bool]) -> tuple[TaskTiming, ...]:
    """The tasks as the admission test has to see them."""
    return tuple(
        replace(task, longest_op_us=task.budget_us) if yes else task
        for task, yes in zip(tasks, whole, strict=True)
    )


def _admits(board: Board, timings: Sequence[TaskTiming | None], whole: Sequence[bool]) -> bool:
    running = [(task, yes) for task, yes in zip(timings, whole, strict=True) if task]
    return is_admitted(board, run_whole(*zip(*running, strict=True)))


def _arrange(
    sets: Sequence[Sequence[TaskTiming | None]],
    sizes: Sequence[int],
    groups: Sequence[Sequence[int]],
) -> Arenas:
    """One arena for each group. Who has not the shortest deadline of its group in some mode runs whole, in all."""
    offsets, whole = [0] * len(sizes), [False] * len(sizes)
    total = 0
    for group in groups:
        for timings in sets:
            deadlines = {index: task.deadline_us for index in group if (task := timings[index])}
            for index, deadline_us in deadlines.items():
                whole[index] |= deadline_us > min(deadlines.values())
        for index in group:
            offsets[index] = total
        total += -(-max(sizes[index] for index in group) // ALIGN) * ALIGN
    return Arenas(tuple(offsets), tuple(whole), tuple(sizes), total)


def _partitions(items: Sequence[int]) -> Iterator[list[list[int]]]:
    """Every way to put the items into groups; each on its own first."""
    if not items:
        yield []
        return
    first, rest = items[0], items[1:]
    for groups in _partitions(rest):
        yield [[first], *groups]
        for at, group in enumerate(groups):
            yield [*groups[:at], [first, *group], *groups[at + 1 :]]
