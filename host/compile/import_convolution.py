"""Importers of the operators with weights: convolutions and linear, and matrix products."""

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from host.compile.context import (
    ImportContext,
    check_sizes,
    image_order,
    input_shape,
    map_fields,
    pair,
    shape_of,
)
from host.compile.graph import Constants, Fields, Kind, Op
from host.compile.strides import row_major
from host.export.support import unsupported


def _conv2d(context: ImportContext, node: Any) -> Op:
    # input weight bias stride padding dilation input_offset output_offset multipliers shifts
    # activation_min activation_max scratch; weights are OHWI already
    weight = context.constant(node, 1)
    _, k_h, k_w, group_in = weight.shape
    in_c = input_shape(node)[image_order(node)[3]]
    groups = in_c // group_in
    return _convolution(context, node, Kind.CONV2D, (k_h, k_w), 6, groups if groups > 1 else 0)


def _depthwise(context: ImportContext, node: Any) -> Op:
    # as _conv2d with depth_multiplier before input_offset; weights are [1, KH, KW, OC]
    _, k_h, k_w, _ = context.constant(node, 1).shape
    return _convolution(context, node, Kind.DWCONV2D, (k_h, k_w), 7, 0)


def _transpose_conv2d(context: ImportContext, node: Any) -> Op:
    # input weight bias stride padding output_padding dilation input_offset output_offset
    # multipliers shifts activation_min activation_max scratch output_scratch; weights OHWI
    _, k_h, k_w, group_in = context.constant(node, 1).shape
    if group_in != input_shape(node)[image_order(node)[3]]:
        raise unsupported(node, "is a transposed convolution with groups")
    return _convolution(context, node, Kind.TCONV2D, (k_h, k_w), 7, 0, dilation_at=6)


def _convolution(
    context: ImportContext,
    node: Any,
    kind: Kind,
    kernel: tuple[int, int],
    offsets_at: int,
    param0: int,
    dilation_at: int = 5,
) -> Op:
    stride, padding, dilation = (pair(node.args[index]) for index in (3, 4, dilation_at))
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
    order = image_order(node)
    inputs = (context.read(node, node.args[0], order),)
    return context.op(node, kind, fields, constants, inputs, order, input_shape(node)[0])


def _linear(context: ImportContext, node: Any) -> Op:
    # input weights bias kernel_sum input_offset filter_offset output_offset [multiplier] [shift]
    # activation_max activation_min (in this order)
    before, after = input_shape(node), shape_of(node)
    rows, in_c, out_c = prod(before[:-1]), before[-1], after[-1]
    check_sizes(node, rows, in_c, out_c)
    if node.args[5] != 0:
        raise unsupported(node, "has asymmetric weights")
    # A kernel sum is the bias with the input's zero point multiplied in, which some cores want.
    summed = node.args[3] is not None
    fields = Fields(
        in_h=rows,
        in_c=in_c,
        out_h=rows,
        out_c=out_c,
        row_end=rows,
        in0_add=0 if summed else int(node.args[4]),
        out_add=int(node.args[6]),
        act_max=int(node.args[9]),
        act_min=int(node.args[10]),
        mult0=int(node.args[7][0]),
        shift0=int(node.args[8][0]),
    )
    constants = Constants(
        weights=context.constant(node, 1).astype("i1").tobytes(),
        bias=context.table(node, 3 if summed else 2),
    )
    inputs = (context.read(node, node.args[0], row_major(before)),)
    return context.op(node, Kind.LINEAR, fields, constants, inputs, row_major(after))


def _batch_matmul(context: ImportContext, node: Any) -> Op:
    # lhs lhs_offset rhs_transposed rhs_offset output_offset multiplier shift scratch
    batch, rows, inner = input_shape(node, 0)
    columns = input_shape(node, 2)[1]
    check_sizes(node, rows, inner, columns)
    shared = {
        "out_add": int(node.args[4]),
        "act_min": -128,
        "act_max": 127,
        "mult0": int(node.args[5]),
        "shift0": int(node.args[6]),
    }
    left = context.read(node, node.args[0], (0, 1, 2))
    weights = context.constant_or_none(node.args[2])
    geometry = Fields(in_h=rows, in_c=inner, out_h=rows, out_c=columns, row_end=rows)
    if weights is not None and batch == 1 and int(node.args[3]) == 0:
        # The right side is known: a linear layer, whose weights stay in flash.
        fields = replace(geometry, in0_add=int(node.args[1]), **shared)
        constants = Constants(weights=np.ascontiguousarray(weights, dtype="i1").tobytes())
        return context.op(node, Kind.LINEAR, fields, constants, (left,), (0, 1, 2))
    right = context.read(node, node.args[2], (0, 1, 2))
    fields = replace(geometry, in0_add=int(node.args[1]), in1_add=int(node.args[3]), **shared)
    return context.op(node, Kind.MATMUL, fields, None, (left, right), (0, 1, 2), batch)


HANDLERS = {
    "cortex_m.quantized_conv2d.default": _conv2d,
    "cortex_m.quantized_conv2d_nhwc.default": _conv2d,
    "cortex_m.quantized_depthwise_conv2d.default": _depthwise,
    "cortex_m.quantized_depthwise_conv2d_nhwc.default": _depthwise,
    "cortex_m.quantized_transpose_conv2d.default": _transpose_conv2d,
    "cortex_m.quantized_transpose_conv2d_nhwc.default": _transpose_conv2d,
    "cortex_m.quantized_linear.default": _linear,
    "cortex_m.quantized_batch_matmul.default": _batch_matmul,
}
