"""A lower bound from buffers of which each two must lie apart: the shortest way to stack them.

Stacked from the bottom up, each buffer is at least its gap above the one before it. The least sum
of gaps over all orders, plus the size of the topmost, is a shortest Hamiltonian path: dynamic
programming over sets, Bellman (1962), Held & Karp (1962). With gaps that depend on who lies below,
as those of rings do, it is above the largest load.
"""

import numpy as np
import numpy.typing as npt

from host.compile.plan.problem import Problem

STACKED = 11  # buffers of a stack; sets are 2^11
_SEEDS = 6  # buffers that a stack is grown around
_FAR = 1 << 40


def stack_bound(problem: Problem) -> int:
    """Units that no plan is below; the best of some sets of buffers."""
    count = len(problem.sizes)
    above = np.zeros((count, count), np.int64)
    for pair in problem.pairs:
        above[pair.a, pair.b], above[pair.b, pair.a] = pair.above, pair.below
    apart = (above > 0) & (above.T > 0)
    by_size = sorted(range(count), key=lambda i: -problem.sizes[i])
    stacks = {_grown(seed, by_size, apart) for seed in by_size[:_SEEDS]}
    return max((_shortest(stack, above, problem.sizes) for stack in sorted(stacks)), default=0)


def _grown(seed: int, by_size: list[int], apart: npt.NDArray[np.bool_]) -> tuple[int, ...]:
    """Buffers that all must be apart, the largest first that fit to the seed."""
    stack = [seed]
    for other in by_size:
        if len(stack) < STACKED and other != seed and all(apart[other, one] for one in stack):
            stack.append(other)
    return tuple(sorted(stack))


def _shortest(stack: tuple[int, ...], above: npt.NDArray[np.int64], sizes: tuple[int, ...]) -> int:
    count = len(stack)
    gap = above[np.ix_(stack, stack)]  # [upper, lower]
    best = np.full((1 << count, count), _FAR, np.int64)  # [set, topmost]: offset of the topmost
    for one in range(count):
        best[1 << one, one] = 0
    bits = 1 << np.arange(count)
    for done in range(1, 1 << count):
        offsets = (best[done][None, :] + gap).min(axis=1)
        following = done | bits
        free = (done & bits) == 0
        new = following[free]
        tops = np.flatnonzero(free)
        best[new, tops] = np.minimum(best[new, tops], offsets[free])
    return int((best[-1] + np.array([sizes[one] for one in stack])).min())
