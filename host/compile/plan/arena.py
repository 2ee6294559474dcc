"""plan_arena: ordered ops -> offsets of all tensors, with what is proved about the peak."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from host.compile.graph import Graph, Op
from host.compile.plan.exact import solve
from host.compile.plan.lifetimes import lifetimes
from host.compile.plan.overlap import REVERSE
from host.compile.plan.problem import Overlap, make_problem, overlaps
from host.compile.result import BufferPlan


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


def plan_arena(graph: Graph, ops: Sequence[Op], keep_input: bool = False) -> ArenaPlan:
    """Place all tensors; outputs may lie in dying inputs at the distances kernels certify."""
    buffers = lifetimes(graph, ops, keep_input)
    shared = overlaps(ops, buffers)
    problem = make_problem(buffers, shared)
    forward = [replace(one, distance=replace(one.distance, reverse=None)) for one in shared]
    solution = solve(make_problem(buffers, forward))
    proved = problem.lower_bound
    if solution.peak > proved:  # reverse order only where it pays
        freer = solve(problem)
        proved = freer.lower_bound
        solution = min(solution, freer, key=lambda one: one.peak)
    at = {
        buffer.name: offset * problem.alignment
        for buffer, offset in zip(buffers, solution.offsets, strict=True)
    }
    reverse = {one.op for one in shared if _needs_reverse(one, at, graph)}
    return ArenaPlan(
        tuple(
            replace(op, fields=replace(op.fields, flags=REVERSE if index in reverse else 0))
            for index, op in enumerate(ops)
        ),
        tuple(BufferPlan(b.name, b.size_bytes, b.first, b.last, at[b.name]) for b in buffers),
        solution.peak * problem.alignment,
        proved * problem.alignment,
    )


def _needs_reverse(one: Overlap, at: dict[str, int], graph: Graph) -> bool:
    distance = at[one.input] - at[one.output]
    apart = (
        distance >= graph.tensors[one.output].size_bytes
        or -distance >= graph.tensors[one.input].size_bytes
    )
    return not apart and (one.distance.forward is None or distance < one.distance.forward)
