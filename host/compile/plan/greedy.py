"""Greedy plans: buffers in a fixed order, each at the lowest place that the earlier ones leave.

Orders by size, start, end and area, as in Pisarchyk & Lee, "Efficient Memory Management for Deep
Neural Net Inference" (2020), section 4, and by the op whose load is largest; the best plan wins.
"""

from collections.abc import Sequence

from host.compile.plan.problem import Problem


def greedy_offsets(problem: Problem) -> tuple[int, ...]:
    """Offsets in units, the smallest peak of all orders."""
    neighbours = _neighbours(problem)
    plans = [tuple(_placed(problem, order, neighbours)) for order in _orders(problem)]
    return min(plans, key=problem.peak)


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
