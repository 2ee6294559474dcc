"""Importers of what works element by element or only renames memory."""

from math import ldexp, prod
from typing import Any

import numpy as np

from host.compile.context import (
    ImportContext,
    elements,
    input_shape,
    permutation,
    shape_of,
)
from host.compile.graph import Constants, Fields, Kind, Op
from host.export.support import unsupported

ADD_LEFT_SHIFT = 20  # SHIFT_INT8 of the dialect
SOFTMAX_INPUT_INTEGER_BITS = 5


def _add(context: ImportContext, node: Any) -> Op:
    # self zero_point multiplier shift other zero_point multiplier shift
    # out_zero_point multiplier shift activation_min activation_max
    sides = [(0, node.args[1:4]), (4, node.args[5:8])]
    if prod(input_shape(node, 0)) < prod(input_shape(node, 4)):
        sides.reverse()  # the vector that repeats over the channels is the second operand
    (wide, (zero0, mult0, shift0)), (narrow, (zero1, mult1, shift1)) = sides
    repeated = prod(input_shape(node, narrow))
    count = elements(node)
    fields = Fields(
        in_c=repeated if repeated < count else 0,
        in0_add=-int(zero0),
        in1_add=-int(zero1),
        out_add=int(node.args[8]),
        act_min=int(node.args[11]),
        act_max=int(node.args[12]),
        mult0=int(mult0),
        shift0=int(shift0),
        mult1=int(mult1),
        shift1=int(shift1),
        mult2=int(node.args[9]),
        shift2=int(node.args[10]),
        param0=ADD_LEFT_SHIFT,
        count=count,
    )
    inputs = (context.activation(node, wide), context.activation(node, narrow))
    return context.op(node, Kind.ADD, fields, inputs=inputs)


def _clamp(context: ImportContext, node: Any) -> Op:
    # input min max, already in the quantized domain
    bounds = [*node.args[1:3], None, None][:2]
    low = -128 if bounds[0] is None else max(-128, int(bounds[0]))
    high = 127 if bounds[1] is None else min(127, int(bounds[1]))
    fields = Fields(act_min=low, act_max=high, count=elements(node))
    return context.op(node, Kind.CLAMP, fields)


def _softmax(context: ImportContext, node: Any) -> Op:
    # input dim in_zero_point out_zero_point in_multiplier in_shift diff_min; the input's scale is
    # multiplier * 2^(shift - 31) / 2^26. exp() takes 256 values only: the image brings them.
    shape = shape_of(node)
    innermost = 1 if len(shape) == 4 else len(shape) - 1
    if node.args[1] % len(shape) != innermost:
        raise unsupported(node, f"works along axis {node.args[1]}", "put the classes last")
    multiplier, shift = int(node.args[4]), int(node.args[5])
    step = ldexp(multiplier, shift - 31 - (31 - SOFTMAX_INPUT_INTEGER_BITS))
    distances = np.arange(256, dtype=np.float64) * float(np.float32(step))
    fields = Fields(in_c=shape[innermost], out_add=int(node.args[3]), count=elements(node))
    constants = Constants(weights=np.exp(-distances).astype("<f4").tobytes())
    return context.op(node, Kind.SOFTMAX, fields, constants)


def _lut(context: ImportContext, node: Any) -> Op:
    table = context.constant(node, 1).astype("i1").tobytes()
    return context.op(node, Kind.LUT, Fields(count=elements(node)), Constants(weights=table))


def _quantize(context: ImportContext, node: Any) -> Op:
    # input scale zero_point quant_min quant_max dtype
    fields = Fields(
        scale=float(np.float32(1.0 / node.args[1])),
        out_add=int(node.args[2]),
        act_min=int(node.args[3]),
        act_max=int(node.args[4]),
        count=elements(node),
    )
    return context.op(node, Kind.QUANTIZE, fields)


def _dequantize(context: ImportContext, node: Any) -> Op:
    scale = float(np.float32(node.args[1]))
    fields = Fields(scale=scale, in0_add=-int(node.args[2]), count=elements(node))
    return context.op(node, Kind.DEQUANTIZE, fields)


def _reshape(context: ImportContext, node: Any) -> Op:
    moved = permutation(input_shape(node), shape_of(node))
    fields = Fields(count=elements(node))
    if moved is None:
        return context.op(node, Kind.VIEW, fields)
    return context.op(node, Kind.PERMUTE, fields, Constants(weights=moved.astype("<i4").tobytes()))


def _clone(context: ImportContext, node: Any) -> Op:
    # Another dim order is another order of strides; devices keep NHWC throughout.
    return context.op(node, Kind.VIEW, Fields(count=elements(node)))


HANDLERS = {
    "cortex_m.quantized_add.default": _add,
    "cortex_m.softmax.default": _softmax,
    "cortex_m.quantized_activation.default": _lut,
    "cortex_m.quantize_per_tensor.default": _quantize,
    "cortex_m.dequantize_per_tensor.default": _dequantize,
    "aten.clamp.default": _clamp,
    "aten.view_copy.default": _reshape,
    "aten.squeeze_copy.dims": _reshape,
    "aten.unsqueeze_copy.default": _reshape,
    "dim_order_ops._clone_dim_order.default": _clone,
    "dim_order_ops._to_dim_order_copy.default": _clone,
}
