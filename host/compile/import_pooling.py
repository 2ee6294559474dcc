"""Importers of pooling and padding."""

from math import ldexp
from typing import Any

import numpy as np

from host.compile.context import ImportContext, input_shape, map_fields, pair
from host.compile.graph import Fields, Kind, Op
from host.export.lower import lies_channels_last
from host.export.support import unsupported


def _max_pool2d(context: ImportContext, node: Any) -> Op:
    # input kernel stride padding dilation ceil_mode in_zero_point out_zero_point act_min act_max
    dilation, ceil_mode = pair(node.args[4]), bool(node.args[5])
    if dilation != (1, 1) or ceil_mode or node.args[6] != node.args[7]:
        raise unsupported(node, "is dilated, rounds its shape up or changes the zero point")
    low, high = int(node.args[8]), int(node.args[9])
    return context.op(node, Kind.MAXPOOL2D, _pool_fields(node, act_min=low, act_max=high))


def _avg_pool2d(context: ImportContext, node: Any) -> Op:
    # input kernel stride padding ceil_mode zero_point multiplier shift scratch
    zero_point, multiplier, shift = (int(value) for value in node.args[5:8])
    scale = float(np.float32(ldexp(multiplier, shift) / 2**31))
    fields = _pool_fields(
        node, act_min=-128, act_max=127, in0_add=-zero_point, out_add=zero_point, scale=scale
    )
    return context.op(node, Kind.AVGPOOL2D, fields)


def _pool_fields(node: Any, **others: Any) -> Fields:
    kernel, stride, padding = (pair(node.args[index]) for index in (1, 2, 3))
    return map_fields(
        node,
        k_h=kernel[0],
        k_w=kernel[1],
        stride_h=stride[0],
        stride_w=stride[1],
        dil_h=1,
        dil_w=1,
        pad_t=padding[0],
        pad_l=padding[1],
        **others,
    )


def _pad(context: ImportContext, node: Any) -> Op:
    # input pre_pad post_pad pad_value; four numbers each, N H W C when the input is channels last
    before, after = list(node.args[1]), list(node.args[2])
    if len(input_shape(node)) != 4:
        raise unsupported(node, "pads a tensor that is not a 4-D map")
    if not lies_channels_last(node.args[0].meta["val"]):
        before, after = ([sizes[axis] for axis in (0, 2, 3, 1)] for sizes in (before, after))
    if before[0] or after[0] or before[3] or after[3]:
        raise unsupported(node, "pads batches or channels, and devices pad rows and columns")
    fields = map_fields(node, pad_t=int(before[1]), pad_l=int(before[2]), param0=int(node.args[3]))
    return context.op(node, Kind.PAD, fields)


HANDLERS = {
    "cortex_m.quantized_max_pool2d.default": _max_pool2d,
    "cortex_m.quantized_avg_pool2d.default": _avg_pool2d,
    "cortex_m.pad.default": _pad,
}
