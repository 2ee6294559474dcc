"""Flattening an NHWC map reorders elements; a linear layer takes its weights in that order instead."""

from dataclasses import replace

import numpy as np

from host.compile.graph import Graph, Kind, Op, rename_inputs
from host.export.support import UnsupportedOperatorError


def fold_permute(graph: Graph) -> Graph:
    """Remove each PERMUTE. Raises UnsupportedOperatorError where its reader is not one linear row."""
    permutes = {op.output: op for op in graph.ops if op.kind is Kind.PERMUTE}
    if not permutes:
        return graph
    ops: list[Op] = []
    for op in graph.ops:
        permute = permutes.get(op.inputs[0])
        if op.kind is Kind.PERMUTE:
            _check_readers(graph, op)
        elif permute is not None:
            ops.append(_reordered(rename_inputs(op, {permute.output: permute.inputs[0]}), permute))
        else:
            ops.append(op)
    return graph.with_ops(ops)


def _check_readers(graph: Graph, permute: Op) -> None:
    readers = graph.consumers(permute.output)
    foldable = all(op.kind is Kind.LINEAR and op.fields.in_h == 1 for op in readers)
    if not foldable or permute.output in graph.outputs:
        raise UnsupportedOperatorError(
            f"reshape {permute.name}",
            permute.source,
            "reorders a channels-last map in memory, and no linear layer follows that could take it",
            "flatten right before a Linear, or pool to 1x1 before reshaping",
        )


def _reordered(op: Op, permute: Op) -> Op:
    source = np.frombuffer(permute.constants.weights, dtype="<i4")
    weights = np.frombuffer(op.constants.weights, dtype=np.int8).reshape(-1, len(source))
    moved = np.empty_like(weights)
    moved[:, source] = weights
    return replace(op, constants=replace(op.constants, weights=moved.tobytes()))
