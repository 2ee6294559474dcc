"""Greedy plans: buffers in a fixed order, each at the lowest place that the earlier ones leave.

Orders by size, start, end and area, as in Pisarchyk & Lee, "Efficient Memory Management for Deep
Neural Net Inference" (2020), section 4, and by the op whose load is largest; the best plan wins.
"""

from collections.abc import Sequence
from random import Random

from host.compile.plan.problem import Problem

_RESTARTS = 3  # with the best order so far
_SECOND = 0.3  # how often two buffers move at once


def greedy_offsets(problem: Problem) -> tuple[int, ...]:
    """Offsets in units, the smallest peak of all orders."""
    neighbours = _neighbours(problem)
    plans = [tuple(_placed(problem, order, neighbours)) for order in _orders(problem)]
    return min(plans, key=problem.peak)


def rearranged_offsets(problem: Problem, moves: int) -> tuple[int, ...]:
    """The best of greedy plans whose order is changed bit by bit: a buffer moves to another place
    in it, and stays there unless the peak rises. Deterministic."""
    neighbours = _neighbours(problem)

    def peak(order: Sequence[int]) -> int:
        return problem.peak(_placed(problem, order, neighbours))

    dice = Random(0)
    best = min(_orders(problem), key=peak)
    least = peak(best)
    for _ in range(_RESTARTS):
        order, lowest = best, least
        for _ in range(moves):
            if least == problem.lower_bound:
                break
            changed = list(order)
            for _ in range(1 + (dice.random() < _SECOND)):
                moved = changed.pop(dice.randrange(len(order)))
                changed.insert(dice.randrange(len(order)), moved)
            reached = peak(changed)
            if reached <= lowest:
                order, lowest = changed, reached
        best, least = order, lowest
    return tuple(_placed(problem, best, neighbours))


def _orders(problem: Problem) -> list[list[int]]:
    rows = []
    for i, (buffer, size) in enumerate(zip(problem.buffers, problem.sizes, strict=True)):
        span = buffer.last - buffer.first + 1
        keys = (
            (-size, buffer.first),
            (-size, -buffer.last),
            (buffer.first, -size),
            (-buffer.last, -size),
            (-size * span, buffer.first),
            (-span, -size),
        )
        rows.append([(*key, i) for key in keys])
    return [[key[-1] for key in sorted(column)] for column in zip(*rows, strict=True)]


def _neighbours(problem: Problem) -> list[list[tuple[int, int, int]]]:
    """For each buffer: (other, other above it by at least, it above other by at least)."""
    found: list[list[tuple[int, int, int]]] = [[] for _ in problem.buffers]
    for pair in problem.pairs:
        found[pair.a].append((pair.b, pair.below, pair.above))
        found[pair.b].append((pair.a, pair.above, pair.below))
    return found


def _placed(
    problem: Problem, order: Sequence[int], neighbours: Sequence[Sequence[tuple[int, int, int]]]
) -> list[int]:
    offsets = [-1] * len(problem.sizes)
    for i in order:
        # Forbidden to i: offsets strictly between `at - other above` and `at + i above`.
        walls = sorted(
            (offsets[other] - below, offsets[other] + above)
            for other, below, above in neighbours[i]
            if offsets[other] >= 0 and above + below > 0
        )
        place = 0
        for low, high in walls:
            if low < place < high:
                place = high
        offsets[i] = place
    return offsets
