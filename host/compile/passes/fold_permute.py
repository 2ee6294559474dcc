"""Flattening an NHWC map reorders elements; a linear layer takes its weights in that order instead."""

from dataclasses import replace

import numpy as np

from host.compile.graph import Graph, Kind, Op
from host.compile.strides import read_positions


def fold_permute(graph: Graph) -> Graph:
    """Fold PERMUTEs into the weights of LINEARs of one row; the others are copied by STRIDED."""
    permutes = {op.output: op for op in graph.ops if op.kind is Kind.PERMUTE}
    ops = [_reordered(op, permutes.get(op.inputs[0])) if op.inputs else op for op in graph.ops]
    read = {name for op in ops for name in op.inputs} | set(graph.outputs)
    return graph.with_ops(
        replace(op, kind=Kind.STRIDED) if op.kind is Kind.PERMUTE else op
        for op in ops
        if op.kind is not Kind.PERMUTE or op.output in read
    )


def _reordered(op: Op, permute: Op | None) -> Op:
    if permute is None or op.kind is not Kind.LINEAR or op.fields.in_h != 1:
        return op
    source = read_positions(permute.constants.weights)
    weights = np.frombuffer(op.constants.weights, dtype=np.int8).reshape(-1, len(source))
    moved = np.empty_like(weights)
    moved[:, source] = weights
    constants = replace(op.constants, weights=moved.tobytes())
    return replace(op, inputs=(permute.inputs[0], *op.inputs[1:]), constants=constants)
