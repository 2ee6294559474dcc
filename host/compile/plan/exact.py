"""Exact plans by branch and bound: which of two buffers that meet lies above the other.

A capacity is tried by deciding pairs one by one. Each decision is a difference constraint, and
propagating the ranges of offsets decides further pairs or refutes the capacity, as in disjunctive
job-shop scheduling (Carlier & Pinson 1989). When all pairs are decided the lowest offsets are a
plan. The smallest feasible capacity lies between the lower bound and the best plan: bisection.
"""

from dataclasses import dataclass

from host.compile.plan.greedy import greedy_offsets, rearranged_offsets
from host.compile.plan.problem import Problem

NODES = 2000  # of one capacity; about a second of this code for 30 buffers
MOVES = 300  # of a search for a better plan before the exact one; about 30 ms for 30 buffers


@dataclass(frozen=True, slots=True)
class Solution:
    """Offsets in units, their peak, and the largest capacity known to be needed."""

    offsets: tuple[int, ...]
    peak: int
    lower_bound: int

    @property
    def optimal(self) -> bool:
        """Whether no plan is smaller."""
        return self.peak == self.lower_bound


def solve(problem: Problem, nodes: int = NODES) -> Solution:
    """The best plan found and what is proved about it. Deterministic: effort is counted, not timed."""
    best = greedy_offsets(problem)
    proved, peak = problem.lower_bound, problem.peak(best)
    if peak > proved:
        best = min(best, rearranged_offsets(problem, MOVES), key=problem.peak)
        peak = problem.peak(best)
    unknown = proved  # capacities below this one need no further trial
    while unknown < peak:
        capacity = unknown if unknown == problem.lower_bound else (unknown + peak - 1) // 2
        search = _Search(problem, capacity, nodes)
        found = search.run()
        if found is not None:
            best, peak = found, problem.peak(found)
        else:
            if search.exhausted:
                proved = capacity + 1
            unknown = capacity + 1
    return Solution(best, peak, proved)


class _Search:
    """One capacity: decides pairs until all offsets fit or none can."""

    def __init__(self, problem: Problem, capacity: int, nodes: int) -> None:
        self.pairs = [(p.a, p.b, p.above, p.below) for p in problem.pairs if p.above + p.below > 0]
        self.touching: list[list[int]] = [[] for _ in problem.sizes]
        for number, (a, b, _, _) in enumerate(self.pairs):
            self.touching[a].append(number)
            self.touching[b].append(number)
        self.low = [0] * len(problem.sizes)
        self.high = [capacity - size for size in problem.sizes]
        self.state = [0] * len(self.pairs)  # 1 = a above b, 2 = b above a
        self.nodes = nodes
        self.exhausted = False  # whether the absence of a plan is proved

    def run(self) -> tuple[int, ...] | None:
        """Offsets that fit, or None."""
        fits = min(self.high, default=0) >= 0 and self._settle(range(len(self.low)))
        stack: list[tuple[list[int], list[int], list[int], int, int]] = []
        while True:
            if fits:
                pair = self._choose()
                if pair < 0:
                    return tuple(self.low)
                if self.nodes == 0:
                    return None
                self.nodes -= 1
                a, b, above, below = self.pairs[pair]
                first = (
                    1
                    if self.high[a] - self.low[b] - above >= (self.high[b] - self.low[a] - below)
                    else 2
                )
                stack.append((self.low[:], self.high[:], self.state[:], pair, 3 - first))
                fits = self._decide(pair, first)
            elif stack:
                self.low, self.high, self.state, pair, way = stack.pop()
                fits = self._decide(pair, way)
            else:
                self.exhausted = True
                return None

    def _choose(self) -> int:
        """The undecided pair with the least room, -1 when all are decided."""
        chosen, least = -1, 0
        low, high = self.low, self.high
        for number, (a, b, above, below) in enumerate(self.pairs):
            if self.state[number] == 0:
                room = min(high[a] - low[b] - above, high[b] - low[a] - below)
                if chosen < 0 or room < least:
                    chosen, least = number, room
        return chosen

    def _decide(self, pair: int, way: int) -> bool:
        self.state[pair] = way
        a, b, _, _ = self.pairs[pair]
        return self._settle((a, b))

    def _settle(self, changed: "range | tuple[int, int]") -> bool:
        """Propagate to a fixed point. False when some pair fits neither way."""
        low, high, state, pairs = self.low, self.high, self.state, self.pairs
        waiting = list(changed)
        queued = set(waiting)
        while waiting:
            buffer = waiting.pop()
            queued.discard(buffer)
            for number in self.touching[buffer]:
                a, b, above, below = pairs[number]
                way = state[number]
                if way == 0:
                    up = low[b] + above <= high[a]
                    down = low[a] + below <= high[b]
                    if up and down:
                        continue
                    if not up and not down:
                        return False
                    way = state[number] = 1 if up else 2
                over, under, gap = (a, b, above) if way == 1 else (b, a, below)
                if low[under] + gap > low[over]:
                    low[over] = low[under] + gap
                    if low[over] > high[over]:
                        return False
                    if over not in queued:
                        waiting.append(over)
                        queued.add(over)
                if high[over] - gap < high[under]:
                    high[under] = high[over] - gap
                    if low[under] > high[under]:
                        return False
                    if under not in queued:
                        waiting.append(under)
                        queued.add(under)
        return True
