"""Importers of pooling and padding."""

from collections.abc import Sequence
from math import ldexp, prod
from typing import Any

import numpy as np
import torch

from host.compile.context import (
    ImportContext,
    check_sizes,
    image_order,
    input_shape,
    map_fields,
    pair,
)
from host.compile.graph import Fields, Kind, Op
from host.compile.strides import Order
from host.export.lower import lies_channels_last
from host.export.support import short_name, source_line, unsupported


def _max_pool2d(context: ImportContext, node: Any) -> Op:
    # input kernel stride padding dilation ceil_mode in_zero_point out_zero_point act_min act_max
    dilation, ceil_mode = pair(node.args[4]), bool(node.args[5])
    if dilation != (1, 1) or ceil_mode or node.args[6] != node.args[7]:
        raise unsupported(node, "is dilated, rounds its shape up or changes the zero point")
    low, high = int(node.args[8]), int(node.args[9])
    return _pool(context, node, Kind.MAXPOOL2D, node.args[1:4], node, act_min=low, act_max=high)


def max_pool2d_of(context: ImportContext, node: Any, pool: Any) -> Op:
    """The values of max_pool2d_with_indices: input kernel stride padding dilation ceil_mode."""
    defaults = [[], [], [0, 0], [1, 1]]
    kernel, stride, padding, dilation = [*pool.args[1:5], *defaults[len(pool.args) - 1 :]][:4]
    if pair(dilation) != (1, 1) or node.meta["val"].dtype != torch.int8:
        raise unsupported(pool, "is dilated, or works in float32")
    window = (kernel, stride or kernel, padding)
    return _pool(context, node, Kind.MAXPOOL2D, window, pool, act_min=-128, act_max=127)


def _avg_pool2d(context: ImportContext, node: Any) -> Op:
    # input kernel stride padding ceil_mode zero_point multiplier shift scratch
    zero_point, multiplier, shift = (int(value) for value in node.args[5:8])
    scale = float(np.float32(ldexp(multiplier, shift) / 2**31))
    return _pool(
        context,
        node,
        Kind.AVGPOOL2D,
        node.args[1:4],
        node,
        act_min=-128,
        act_max=127,
        in0_add=-zero_point,
        out_add=zero_point,
        scale=scale,
    )


def _pool(
    context: ImportContext, node: Any, kind: Kind, window: Sequence[Any], source: Any, **others: Any
) -> Op:
    """A pool that reads argument 0 of `source`; window is kernel, stride and padding."""
    kernel, stride, padding = (pair(values) for values in window)
    fields = map_fields(
        node,
        source,
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
    order = image_order(node)
    inputs = (context.read(source, source.args[0], order),)
    return context.op(node, kind, fields, None, inputs, order, input_shape(source)[0])


def _pad(context: ImportContext, node: Any) -> Op:
    # input pre_pad post_pad pad_value; four numbers each for the last four axes, N H W C when the
    # input is channels last. A PAD record pads two neighbouring axes of memory.
    shape, rank = input_shape(node), len(input_shape(node))
    pads = [(int(a), int(b)) for a, b in zip(node.args[1], node.args[2], strict=True)]
    if lies_channels_last(node.args[0].meta["val"]):
        pads = [pads[at] for at in (0, 3, 1, 2)]
    name = context.read(node, node.args[0])
    order = context.order[name]
    extents = [1] * (4 - rank) + [shape[axis] for axis in order]
    along = [(0, 0)] * (4 - rank) + [pads[4 - rank + axis] for axis in order]
    padded = [at for at, pair_ in enumerate(along) if pair_ != (0, 0)]
    if not padded:
        return context.op(node, Kind.VIEW, Fields(), None, (name,), order)
    if padded[-1] - padded[0] <= 1:
        first = max(padded[-1] - 1, 0)
        return _pad_two(context, node, name, extents, along, first, order)
    inner = _pad_two(context, node, name, extents, along, 2, order, intermediate=True)
    context.ops.append(inner)
    extents = [
        *extents[:2],
        *(extents[at] + sum(along[at]) for at in (2, 3)),
    ]
    return _pad_two(context, node, inner.output, extents, along, 0, order)


def _pad_two(
    context: ImportContext,
    node: Any,
    name: str,
    extents: list[int],
    along: list[tuple[int, int]],
    first: int,
    order: Order,
    intermediate: bool = False,
) -> Op:
    """PAD of the memory axes `first` and `first + 1`."""
    height, width = extents[first : first + 2]
    channels = prod(extents[first + 2 :])
    out_h, out_w = height + sum(along[first]), width + sum(along[first + 1])
    check_sizes(node, height, width, channels, out_h, out_w)
    fields = Fields(
        in_h=height,
        in_w=width,
        in_c=channels,
        out_h=out_h,
        out_w=out_w,
        out_c=channels,
        pad_t=along[first][0],
        pad_l=along[first + 1][0],
        row_end=out_h,
        param0=int(node.args[3]),
    )
    batch = prod(extents[:first])
    if not intermediate:
        return context.op(node, Kind.PAD, fields, None, (name,), order, batch)
    output = f"{short_name(node)}_inner"
    context.declare(output, (batch * out_h * out_w * channels,), "int8", (0,))
    return Op(output, Kind.PAD, (name,), output, source_line(node), fields, batch=batch)


HANDLERS = {
    "cortex_m.quantized_max_pool2d.default": _max_pool2d,
    "cortex_m.quantized_max_pool2d_nhwc.default": _max_pool2d,
    "cortex_m.quantized_avg_pool2d.default": _avg_pool2d,
    "cortex_m.quantized_avg_pool2d_nhwc.default": _avg_pool2d,
    "cortex_m.pad.default": _pad,
}
