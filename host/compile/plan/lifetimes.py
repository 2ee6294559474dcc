"""When each buffer is alive, in op indices."""

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


def lifetimes(graph: Graph, ops: Sequence[Op], keep_input: bool = False) -> tuple[Buffer, ...]:
    """A buffer for each tensor and each scratch.

    Inputs live from op 0 on (to the end if kept), outputs to the end.
    """
    first = dict.fromkeys(graph.inputs, 0)
    last = dict.fromkeys(graph.inputs, 0)
    for index, op in enumerate(ops):
        first[op.output] = last[op.output] = index
        for name in op.inputs:
            last[name] = index
    for name in (*graph.outputs, *(graph.inputs if keep_input else ())):
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
