"""Ops that change no byte become aliases: views, zero padding, full-range clamps, identity tables."""

from dataclasses import replace

import numpy as np

from host.compile.graph import Constants, Fields, Graph, Kind, Op, rename_inputs

_IDENTITY = np.arange(-128, 128, dtype=np.int8).tobytes()


def drop_noops(graph: Graph) -> Graph:
    """Readers of a no-op read its input. An output that would become an input is copied instead."""
    renamed: dict[str, str] = {}
    kept: list[Op] = []
    for op in graph.ops:
        current = rename_inputs(op, renamed)
        if not _is_noop(current):
            kept.append(current)
        elif current.output in graph.outputs and current.inputs[0] in graph.inputs:
            kept.append(_copy(graph, current))
        else:
            renamed[current.output] = current.inputs[0]
    outputs = tuple(renamed.get(name, name) for name in graph.outputs)
    return graph.with_ops(kept, outputs)


def _is_noop(op: Op) -> bool:
    f = op.fields
    match op.kind:
        case Kind.VIEW:
            return True
        case Kind.PAD:
            same = (f.in_h, f.in_w, f.in_c) == (f.out_h, f.out_w, f.out_c)
            return same and (f.pad_t, f.pad_l) == (0, 0)
        case Kind.CLAMP:
            return (f.act_min, f.act_max) == (-128, 127)
        case Kind.LUT:
            return op.constants.weights == _IDENTITY
        case _:
            return False


def _copy(graph: Graph, op: Op) -> Op:
    count = graph.tensors[op.output].size_bytes
    return replace(op, kind=Kind.COPY, fields=Fields(count=count), constants=Constants())
