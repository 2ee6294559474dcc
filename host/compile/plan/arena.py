"""plan_arena: ordered ops -> offsets of all tensors, with what is proved about the peak."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from host.compile.graph import Graph, Op
from host.compile.plan.bound import stack_bound
from host.compile.plan.exact import NODES, solve
from host.compile.plan.lifetimes import ALIGNMENT, Buffer, aligned, lifetimes
from host.compile.plan.live import stream_buffers
from host.compile.plan.overlap import REVERSE
from host.compile.plan.overlap_packed import aligns
from host.compile.plan.problem import Node, Overlap, Problem, make_problem, ops_of, overlaps
from host.compile.plan.steps import Segment
from host.compile.result import BufferPlan

COARSER = (32, 64)  # bytes


@dataclass(frozen=True, slots=True)
class ArenaPlan:
    """Placed buffers, and the nodes, of which some ops now run in reverse. Bytes.

    Lifetimes of buffers count ops, those inside a segment too.
    """

    nodes: tuple[Node, ...]
    buffers: tuple[BufferPlan, ...]
    arena_bytes: int
    lower_bound_bytes: int

    @property
    def ops(self) -> tuple[Op, ...]:
        """All ops in order."""
        return tuple(op for node in self.nodes for op in ops_of(node))

    @property
    def optimal(self) -> bool:
        """Whether no plan of these nodes in this order is smaller."""
        return self.arena_bytes == self.lower_bound_bytes


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A plan at one alignment, bytes; lower_bound holds for plans of that alignment."""

    shared: tuple[Overlap, ...]
    offsets: tuple[int, ...]
    peak: int
    lower_bound: int


def plan_arena(
    graph: Graph, nodes: Sequence[Node], keep_input: bool = False, effort: int = NODES
) -> ArenaPlan:
    """Place all tensors and rings; outputs may lie in dying inputs at the distances kernels certify.

    effort: of the exact search for one capacity, in nodes of its tree.
    """
    buffers = lifetimes(graph, nodes, keep_input)
    candidates = [
        _solved(graph, nodes, buffers, alignment, effort) for alignment in _alignments(nodes)
    ]
    best = min(candidates, key=lambda one: one.peak)
    proved = best.lower_bound
    if len(candidates) > 1:  # what holds for any mixture of alignments
        shared = overlaps(nodes, buffers, COARSER[-1])
        finest = node_problem(graph, nodes, buffers, shared, ALIGNMENT, COARSER[-1])
        proved = finest.lower_bound * ALIGNMENT
        if proved < best.peak:
            proved = min(solve(finest, effort).lower_bound * ALIGNMENT, best.peak)
    at = {buffer.name: offset for buffer, offset in zip(buffers, best.offsets, strict=True)}
    reverse = {one.op for one in best.shared if _needs_reverse(one, at, graph)}
    return ArenaPlan(
        tuple(
            node
            if isinstance(node, Segment)
            else replace(node, fields=replace(node.fields, flags=REVERSE * (index in reverse)))
            for index, node in enumerate(nodes)
        ),
        tuple(_placed(nodes, buffer, at[buffer.name]) for buffer in buffers),
        best.peak,
        proved,
    )


def node_problem(
    graph: Graph,
    nodes: Sequence[Node],
    buffers: Sequence[Buffer],
    shared: Sequence[Overlap],
    alignment: int = ALIGNMENT,
    certified_at: int = 0,
) -> Problem:
    """The problem of nodes: gaps of ops from `shared`, of segments from their steps.

    certified_at: the multiple that distances of steps may count on, if not the alignment.
    """
    last = {buffer.name: buffer.last for buffer in buffers}
    streams = {
        index: stream_buffers(
            graph,
            node,
            {name for name in node.inputs if last[name] == index},
            certified_at or alignment,
            alignment,
        )
        for index, node in enumerate(nodes)
        if isinstance(node, Segment)
    }
    problem = make_problem(buffers, shared, alignment, streams)
    if not streams:
        return problem  # the largest load is the best stack
    return replace(problem, lower_bound=max(problem.lower_bound, stack_bound(problem)))


def _placed(nodes: Sequence[Node], buffer: Buffer, offset: int) -> BufferPlan:
    counts = [len(ops_of(node)) for node in nodes]
    before = [0, *accumulate(counts)]
    node = nodes[buffer.first]
    ring = 0
    if isinstance(node, Segment):
        made = [op.output for op in node.ops]
        ring = node.ring_rows[made.index(buffer.name)] if buffer.name in made else 0
    first, last = before[buffer.first], before[buffer.last + 1] - 1
    return BufferPlan(buffer.name, buffer.size_bytes, first, last, offset, ring)


def _alignments(nodes: Sequence[Node]) -> list[int]:
    """The usual alignment, and coarser ones at which some kernel certifies smaller distances."""
    ops = [op for node in nodes for op in ops_of(node)]
    found = [ALIGNMENT]
    for alignment in COARSER:
        if any(aligns(op, alignment) and not aligns(op, found[-1]) for op in ops):
            found.append(alignment)
    return found


def _solved(
    graph: Graph, nodes: Sequence[Node], buffers: Sequence[Buffer], alignment: int, effort: int
) -> _Candidate:
    """The best plan whose offsets are multiples of `alignment`."""
    shared = overlaps(nodes, buffers, alignment)
    problem = node_problem(graph, nodes, buffers, shared, alignment)
    forward = [replace(one, distance=replace(one.distance, reverse=None)) for one in shared]
    solution = solve(node_problem(graph, nodes, buffers, forward, alignment), effort)
    proved = problem.lower_bound
    if solution.peak > proved and shared:  # reverse order only where it pays
        freer = solve(problem, effort)
        proved = freer.lower_bound
        solution = min(solution, freer, key=lambda one: one.peak)
    else:
        proved = max(proved, solution.lower_bound) if not shared else proved
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
