"""int8 -> float -> int8 at another scale is one table of 256 bytes."""

from dataclasses import replace

import numpy as np

from host.compile.graph import Constants, Fields, Graph, Kind, Op


def fold_requantize(graph: Graph) -> Graph:
    """Replace QUANTIZE after DEQUANTIZE by LUT, computed with the same float32 operations."""
    folded: list[Op] = []
    for op in graph.ops:
        before = graph.producer(op.inputs[0]) if op.kind is Kind.QUANTIZE else None
        if before is not None and before.kind is Kind.DEQUANTIZE:
            op = replace(
                op,
                kind=Kind.LUT,
                inputs=before.inputs,
                fields=Fields(count=op.fields.count),
                constants=Constants(weights=_table(before.fields, op.fields)),
            )
        folded.append(op)
    read = {name for op in folded for name in op.inputs} | set(graph.outputs)
    return graph.with_ops(
        op for op in folded if op.kind is not Kind.DEQUANTIZE or op.output in read
    )


def _table(before: Fields, after: Fields) -> bytes:
    steps = np.arange(-128, 128, dtype=np.int32) + before.in0_add
    values = steps.astype(np.float32) * np.float32(before.scale)
    rounded = np.rint(values * np.float32(after.scale)) + after.out_add
    return bytes(np.clip(rounded, after.act_min, after.act_max).astype(np.int8))
