"""plan_arena: ordered ops -> offsets of all tensors, with what is proved about the peak."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from host.compile.graph import Graph, Op
from host.compile.plan.exact import solve
from host.compile.plan.lifetimes import ALIGNMENT, Buffer, aligned, lifetimes
from host.compile.plan.overlap import REVERSE
from host.compile.plan.overlap_packed import aligns
from host.compile.plan.problem import Overlap, make_problem, overlaps
from host.compile.result import BufferPlan

COARSER = (32, 64)  # bytes


@dataclass(frozen=True, slots=True)
class ArenaPlan:
    """Placed buffers, and the ops, of which some now run in reverse. Bytes."""

    ops: tuple[Op, ...]
    buffers: tuple[BufferPlan, ...]
    arena_bytes: int
    lower_bound_bytes: int

    @property
    def optimal(self) -> bool:
        """Whether no plan of these ops in this order is smaller."""
        return self.arena_bytes == self.lower_bound_bytes


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A plan at one alignment, bytes; lower_bound holds for plans of that alignment."""

    shared: tuple[Overlap, ...]
    offsets: tuple[int, ...]
    peak: int
    lower_bound: int


def plan_arena(graph: Graph, ops: Sequence[Op], keep_input: bool = False) -> ArenaPlan:
    """Place all tensors; outputs may lie in dying inputs at the distances kernels certify."""
    buffers = lifetimes(graph, ops, keep_input)
    candidates = [_solved(ops, buffers, alignment) for alignment in _alignments(ops)]
    best = min(candidates, key=lambda one: one.peak)
    proved = best.lower_bound
    if len(candidates) > 1:  # what holds for any mixture of alignments
        proved = make_problem(buffers, overlaps(ops, buffers, COARSER[-1])).lower_bound * ALIGNMENT
    at = {buffer.name: offset for buffer, offset in zip(buffers, best.offsets, strict=True)}
    reverse = {one.op for one in best.shared if _needs_reverse(one, at, graph)}
    return ArenaPlan(
        tuple(
            replace(op, fields=replace(op.fields, flags=REVERSE if index in reverse else 0))
            for index, op in enumerate(ops)
        ),
        tuple(BufferPlan(b.name, b.size_bytes, b.first, b.last, at[b.name]) for b in buffers),
        best.peak,
        proved,
    )


def _alignments(ops: Sequence[Op]) -> list[int]:
    """The usual alignment, and coarser ones at which some kernel certifies smaller distances."""
    found = [ALIGNMENT]
    for alignment in COARSER:
        if any(aligns(op, alignment) and not aligns(op, found[-1]) for op in ops):
            found.append(alignment)
    return found


def _solved(ops: Sequence[Op], buffers: Sequence[Buffer], alignment: int) -> _Candidate:
    """The best plan whose offsets are multiples of `alignment`."""
    shared = overlaps(ops, buffers, alignment)
    problem = make_problem(buffers, shared, alignment)
    forward = [replace(one, distance=replace(one.distance, reverse=None)) for one in shared]
    solution = solve(make_problem(buffers, forward, alignment))
    proved = problem.lower_bound
    if solution.peak > proved:  # reverse order only where it pays
        freer = solve(problem)
        proved = freer.lower_bound
        solution = min(solution, freer, key=lambda one: one.peak)
    offsets = tuple(offset * alignment for offset in solution.offsets)
    ends = (at + aligned(b.size_bytes) for at, b in zip(offsets, buffers, strict=True))
    return _Candidate(shared, offsets, max(ends, default=0), proved * alignment)


def _needs_reverse(one: Overlap, at: dict[str, int], graph: Graph) -> bool:
    distance = at[one.input] - at[one.output]
    apart = (
        distance >= graph.tensors[one.output].size_bytes
        or -distance >= graph.tensors[one.input].size_bytes
    )
    return not apart and (one.distance.forward is None or distance < one.distance.forward)
