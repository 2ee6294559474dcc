"""An explicit PAD before a convolution becomes the convolution's own padding, where that is exact."""

from dataclasses import replace

from host.compile.graph import Graph, Kind, Op

PAD_MAX = 32767  # int16 in the record


def fold_pad(graph: Graph) -> Graph:
    """Fold PADs that write the zero point, which is what convolutions read outside their input."""
    pads = {op.output: op for op in graph.ops if op.kind is Kind.PAD}
    ops = [_folded(op, pads.get(op.inputs[0])) if op.inputs else op for op in graph.ops]
    read = {name for op in ops for name in op.inputs} | set(graph.outputs)
    return graph.with_ops(op for op in ops if op.kind is not Kind.PAD or op.output in read)


def _folded(op: Op, pad: Op | None) -> Op:
    if pad is None or op.kind not in (Kind.CONV2D, Kind.DWCONV2D):
        return op
    before, after = pad.fields, op.fields
    pad_t, pad_l = after.pad_t + before.pad_t, after.pad_l + before.pad_l
    # Rows and columns that the pad crops would come back: only growing pads fold.
    grows = (
        min(before.pad_t, before.pad_l) >= 0
        and before.in_h + before.pad_t <= before.out_h
        and before.in_w + before.pad_l <= before.out_w
    )
    rows_and_columns = (before.out_h, before.out_w) == (after.in_h, after.in_w)
    same = rows_and_columns and before.in_c == after.in_c and pad.batch == op.batch
    if before.param0 != -after.in0_add or not grows or not same or max(pad_t, pad_l) > PAD_MAX:
        return op
    fields = replace(after, in_h=before.in_h, in_w=before.in_w, pad_t=pad_t, pad_l=pad_l)
    return replace(op, inputs=(pad.inputs[0], *op.inputs[1:]), fields=fields)
