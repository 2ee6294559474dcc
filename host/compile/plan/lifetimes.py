"""When each buffer is alive, in op indices."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from host.compile.graph import Graph, Op
from host.compile.plan.steps import Segment

ALIGNMENT = 16  # TAC_PLAN_ALIGN


@dataclass(frozen=True, slots=True)
class Buffer:
    """Bytes that must not move or be overwritten while ops first..last (inclusive) run."""

    name: str
    size_bytes: int
    first: int
    last: int

    def meets(self, other: "Buffer") -> bool:
        """Whether both are alive at the same time."""
        return self.first <= other.last and other.first <= self.last


def aligned(size_bytes: int, alignment: int = ALIGNMENT) -> int:
    """Rounded up to a multiple."""
    return -(-size_bytes // alignment) * alignment


def lifetimes(
    graph: Graph, nodes: Sequence[Op | Segment], keep_input: bool = False
) -> tuple[Buffer, ...]:
    """A buffer for each tensor, ring and scratch, alive in nodes: ops, or segments as one.

    Inputs live from node 0 on (to the end if kept), outputs to the end.
    """
    first = dict.fromkeys(graph.inputs, 0)
    last = dict.fromkeys(graph.inputs, 0)
    for index, node in enumerate(nodes):
        first[node.output] = last[node.output] = index
        for name in node.inputs:
            last[name] = index
    for name in (*graph.outputs, *(graph.inputs if keep_input else ())):
        last[name] = len(nodes) - 1
    tensors = (
        Buffer(name, graph.tensors[name].size_bytes, first[name], last[name]) for name in first
    )
    parts = (
        Buffer(name, size, index, index)
        for index, node in enumerate(nodes)
        for name, size in _parts(node)
    )
    return (*tensors, *parts)


def _parts(node: Op | Segment) -> Iterator[tuple[str, int]]:
    """What a node needs besides its tensors: rings and scratch."""
    if not isinstance(node, Segment):
        if node.scratch_bytes:
            yield node.scratch, node.scratch_bytes
        return
    for index, op in enumerate(node.ops):
        if node.ring_rows[index]:
            yield op.output, node.ring_rows[index] * node.rows[index].row_bytes
        if node.scratch_bytes(index):
            yield op.scratch, node.scratch_bytes(index)
