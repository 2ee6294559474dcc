"""Importers of the operators with weights: convolution, depthwise convolution, linear."""

from typing import Any

from host.compile.context import (
    U16_MAX,
    ImportContext,
    input_shape,
    map_fields,
    pair,
    shape_of,
)
from host.compile.graph import Constants, Fields, Kind, Op, memory_shape
from host.export.support import unsupported


def _conv2d(context: ImportContext, node: Any) -> Op:
    # input weight bias stride padding dilation input_offset output_offset multipliers shifts
    # activation_min activation_max scratch; weights are OHWI already
    weight = context.constant(node, 1)
    _, k_h, k_w, group_in = weight.shape
    in_c = input_shape(node)[1]
    groups = in_c // group_in
    return _convolution(context, node, Kind.CONV2D, (k_h, k_w), 6, groups if groups > 1 else 0)


def _depthwise(context: ImportContext, node: Any) -> Op:
    # as _conv2d with depth_multiplier before input_offset; weights are [1, KH, KW, OC]
    _, k_h, k_w, _ = context.constant(node, 1).shape
    return _convolution(context, node, Kind.DWCONV2D, (k_h, k_w), 7, 0)


def _convolution(
    context: ImportContext,
    node: Any,
    kind: Kind,
    kernel: tuple[int, int],
    offsets_at: int,
    param0: int,
) -> Op:
    stride, padding, dilation = (pair(node.args[index]) for index in (3, 4, 5))
    in_offset, out_offset, _, _, low, high = node.args[offsets_at : offsets_at + 6]
    fields = map_fields(
        node,
        k_h=kernel[0],
        k_w=kernel[1],
        stride_h=stride[0],
        stride_w=stride[1],
        dil_h=dilation[0],
        dil_w=dilation[1],
        pad_t=padding[0],
        pad_l=padding[1],
        in0_add=int(in_offset),
        out_add=int(out_offset),
        act_min=int(low),
        act_max=int(high),
        param0=param0,
    )
    constants = Constants(
        weights=context.constant(node, 1).astype("i1").tobytes(),
        bias=context.table(node, 2),
        mult=context.table(node, offsets_at + 2),
        shift=context.table(node, offsets_at + 3),
    )
    return context.op(node, kind, fields, constants)


def _linear(context: ImportContext, node: Any) -> Op:
    # input weights bias kernel_sum input_offset filter_offset output_offset [multiplier] [shift]
    # activation_max activation_min (in this order)
    if node.args[3] is not None or node.args[5] != 0:
        raise unsupported(node, "has asymmetric weights or a kernel sum, made for another core")
    before, after = input_shape(node), shape_of(node)
    if len(before) == 4:
        raise unsupported(node, "acts on a 4-D map", "use a 1x1 Conv2d, or flatten first")
    rows, _, in_c = memory_shape(before)
    _, _, out_c = memory_shape(after)
    if max(rows, in_c, out_c) > U16_MAX:
        raise unsupported(node, f"has a dimension of more than {U16_MAX}")
    fields = Fields(
        in_h=rows,
        in_c=in_c,
        out_h=rows,
        out_c=out_c,
        row_end=rows,
        in0_add=int(node.args[4]),
        out_add=int(node.args[6]),
        act_max=int(node.args[9]),
        act_min=int(node.args[10]),
        mult0=int(node.args[7][0]),
        shift0=int(node.args[8][0]),
    )
    constants = Constants(
        weights=context.constant(node, 1).astype("i1").tobytes(), bias=context.table(node, 2)
    )
    return context.op(node, Kind.LINEAR, fields, constants)


HANDLERS = {
    "cortex_m.quantized_conv2d.default": _conv2d,
    "cortex_m.quantized_depthwise_conv2d.default": _depthwise,
    "cortex_m.quantized_linear.default": _linear,
}
