"""When each buffer is alive, in op indices, and what no plan can undercut."""

from collections.abc import Sequence
from dataclasses import dataclass

from host.compile.graph import Graph, Op

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


def lifetimes(graph: Graph, ops: Sequence[Op]) -> tuple[Buffer, ...]:
    """A buffer for each tensor and each scratch. Inputs live from op 0 on, outputs to the end."""
    first = dict.fromkeys(graph.inputs, 0)
    last = dict.fromkeys(graph.inputs, 0)
    for index, op in enumerate(ops):
        first[op.output] = last[op.output] = index
        for name in op.inputs:
            last[name] = index
    for name in graph.outputs:
        last[name] = len(ops) - 1
    tensors = (
        Buffer(name, graph.tensors[name].size_bytes, first[name], last[name]) for name in first
    )
    scratch = (
        Buffer(op.scratch, op.scratch_bytes, index, index)
        for index, op in enumerate(ops)
        if op.scratch_bytes
    )
    return (*tensors, *scratch)


def lower_bound_bytes(buffers: Sequence[Buffer]) -> int:
    """The largest sum of aligned sizes alive in one op: no arena without overlap is smaller."""
    return max(
        (
            sum(aligned(other.size_bytes) for other in buffers if other.first <= at <= other.last)
            for at in {buffer.first for buffer in buffers}
        ),
        default=0,
    )
