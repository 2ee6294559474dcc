"""Dialect program -> Graph. One handler per operator; families live in import_*.py."""

from collections.abc import Callable, Iterable
from typing import Any

import torch

from host.compile import (
    import_binary,
    import_convolution,
    import_elementwise,
    import_float,
    import_layout,
    import_pieces,
    import_pooling,
)
from host.compile.context import DTYPES, ImportContext, shape_of
from host.compile.graph import Fields, Graph, Kind, Op
from host.compile.strides import natural, same_memory
from host.export.reference import constants, user_outputs
from host.export.support import is_compute, operator_name, short_name, source_line, unsupported

Handler = Callable[[ImportContext, Any], Op]

HANDLERS: dict[str, Handler] = {
    **import_convolution.HANDLERS,
    **import_pooling.HANDLERS,
    **import_elementwise.HANDLERS,
    **import_binary.HANDLERS,
    **import_layout.HANDLERS,
    **import_float.HANDLERS,
    "getitem": import_pieces.piece,
}


def import_program(program: Any) -> Graph:
    """The graph of an exported program. Raises UnsupportedOperatorError for what no kernel runs."""
    held = {name: tensor.numpy() for name, tensor in constants(program).items()}
    context = ImportContext(held)
    results = user_outputs(program)
    needed = _ancestors(results)
    inputs: list[str] = []
    for node in program.graph.nodes:
        if node.op == "placeholder":
            if node.name not in held and node in needed and not _is_scratch(node):
                inputs.append(_input(context, node))
        elif is_compute(node) and node in needed:
            if _known(context, node) or operator_name(node.target) in import_pieces.SPLIT:
                continue
            handler = HANDLERS.get(operator_name(node.target))
            if handler is None:
                raise unsupported(node, "has no kernel on any board")
            context.ops.append(handler(context, node))
    outputs = tuple(_output(context, node) for node in results)
    return Graph(context.tensors, tuple(context.ops), tuple(inputs), outputs)


def _is_scratch(node: Any) -> bool:
    """Working memory that ExecuTorch's kernels want; those of the engine need none."""
    return getattr(node.meta["val"], "dtype", None) is torch.uint8


def _known(context: ImportContext, node: Any) -> bool:
    """Whether a node depends on nothing but constants; then it is one itself."""
    if any(source.name not in context.constants for source in node.all_input_nodes):
        return False
    given = torch.fx.node.map_arg(
        (node.args, node.kwargs), lambda source: torch.from_numpy(context.constants[source.name])
    )
    with torch.no_grad():
        value = node.target(*given[0], **given[1])
    if not torch.is_tensor(value):
        return False
    context.constants[node.name] = value.numpy()
    return True


def _ancestors(results: Iterable[Any]) -> set[Any]:
    """The nodes that the outputs depend on; an export also updates buffers that no device has."""
    needed: set[Any] = set()
    waiting = list(results)
    while waiting:
        node = waiting.pop()
        if node not in needed:
            needed.add(node)
            if is_compute(node):
                waiting += node.all_input_nodes
    return needed


def _input(context: ImportContext, node: Any) -> str:
    dtype = DTYPES.get(node.meta["val"].dtype)
    if dtype is None:
        raise unsupported(node, "is an input that is neither int8 nor float32")
    shape = shape_of(node)
    return context.declare(short_name(node), shape, dtype, natural(shape))


def _output(context: ImportContext, node: Any) -> str:
    """Name of an output, in the order of the border; an input or a constant becomes a view of it."""
    name = context.read(node, node)
    order = natural(context.shape[name])
    if not same_memory(context.shape[name], context.order[name], order):
        return context.arranged(node, name, order)
    if node.op == "placeholder":
        tensor = context.tensors[name]
        output = context.declare(f"{name}_out", context.shape[name], tensor.dtype, order)
        fields = Fields(count=tensor.size_bytes)
        context.ops.append(Op(output, Kind.VIEW, (name,), output, source_line(node), fields))
        return output
    return name
