"""Dialect program -> Graph. One handler per operator; families live in import_*.py."""

from collections.abc import Callable
from math import prod
from typing import Any

import torch

from host.compile import import_convolution, import_elementwise, import_pooling
from host.compile.context import ImportContext
from host.compile.graph import Graph, Op, Tensor
from host.export.reference import constants
from host.export.support import is_compute, operator_name, short_name, unsupported

Handler = Callable[[ImportContext, Any], Op]

HANDLERS: dict[str, Handler] = {
    **import_convolution.HANDLERS,
    **import_pooling.HANDLERS,
    **import_elementwise.HANDLERS,
}

_DTYPES = {torch.int8: "int8", torch.float32: "float32"}


def import_program(program: Any) -> Graph:
    """The graph of an exported program. Raises UnsupportedOperatorError for what no kernel runs."""
    held = {name: tensor.numpy() for name, tensor in constants(program).items()}
    context = ImportContext(held)
    tensors: dict[str, Tensor] = {}
    inputs: list[str] = []
    outputs: list[str] = []
    ops: list[Op] = []
    for node in program.graph.nodes:
        if node.op == "placeholder":
            if node.name not in held:
                tensors[short_name(node)] = _tensor(node)
                inputs.append(short_name(node))
        elif node.op == "output":
            outputs += [short_name(result) for result in node.args[0]]
        elif is_compute(node):
            handler = HANDLERS.get(operator_name(node.target))
            if handler is None:
                raise unsupported(node, "has no kernel on any board")
            tensors[short_name(node)] = _tensor(node)
            ops.append(handler(context, node))
    return Graph(tensors, tuple(ops), tuple(inputs), tuple(outputs))


def _tensor(node: Any) -> Tensor:
    value = node.meta["val"]
    if value.dtype not in _DTYPES:
        raise unsupported(node, f"gives {value.dtype}, and devices hold int8 (or float32)")
    return Tensor(short_name(node), prod(value.shape), _DTYPES[value.dtype])
