"""Which kernel each op gets on a target: the packed one where it is proved exact, else plain C.

One file a kind, each a pure function op -> packed op, or the reason why not. Layouts: engine/packed.h.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from host.boards import Board
from host.compile.graph import Graph, Kind, Op
from host.compile.packing.convolution import pack_convolution
from host.compile.packing.depthwise import pack_depthwise
from host.compile.packing.elementwise import pack_add, pack_average, pack_maximum
from host.compile.packing.linear import pack_linear
from host.compile.packing.refusal import NotPackedError

PACKERS: Mapping[Kind, Callable[[Op], Op]] = {
    Kind.CONV2D: pack_convolution,
    Kind.DWCONV2D: pack_depthwise,
    Kind.LINEAR: pack_linear,
    Kind.ADD: pack_add,
    Kind.MAXPOOL2D: pack_maximum,
    Kind.AVGPOOL2D: pack_average,
}

# Feature of a core -> the packers of its layout, the first that the board has. MVE, layout 2, goes above.
LAYOUTS: Mapping[str, Mapping[Kind, Callable[[Op], Op]]] = {"dsp": PACKERS}


def pack_op(op: Op, packers: Mapping[Kind, Callable[[Op], Op]] = PACKERS) -> Op:
    """The op for an Armv7E-M core with DSP. `kernel` names what runs it, and why if it is plain C."""
    packer = packers.get(op.kind)
    if packer is None or op.batch != 1:
        return op
    try:
        return packer(op)
    except NotPackedError as refusal:
        return replace(op, kernel=f"{op.kernel} ({refusal})")


def pack_graph(graph: Graph, board: Board) -> Graph:
    """The graph with the kernels of the board's core."""
    packers = next((LAYOUTS[name] for name in LAYOUTS if name in board.features), None)
    if packers is None:
        return graph
    return graph.with_ops(pack_op(op, packers) for op in graph.ops)
