"""Importers of what works element by element, and of softmax."""

from math import ldexp
from typing import Any

import numpy as np
import torch

from host.compile.context import ImportContext, elements, shape_of
from host.compile.graph import Constants, Fields, Kind, Op
from host.compile.import_float import clamp

SOFTMAX_INPUT_INTEGER_BITS = 5


def _clamp(context: ImportContext, node: Any) -> Op:
    # input min max, already in the quantized domain if the tensor is int8
    if node.meta["val"].dtype == torch.float32:
        return clamp(context, node)
    bounds = [*node.args[1:3], None, None][:2]
    low = -128 if bounds[0] is None else max(-128, int(bounds[0]))
    high = 127 if bounds[1] is None else min(127, int(bounds[1]))
    return context.elementwise(node, Kind.CLAMP, Fields(act_min=low, act_max=high))


def _softmax(context: ImportContext, node: Any) -> Op:
    # input dim in_zero_point out_zero_point in_multiplier in_shift diff_min; the input's scale is
    # multiplier * 2^(shift - 31) / 2^26. exp() takes 256 values only: the image brings them.
    shape = shape_of(node)
    axis = int(node.args[1]) % len(shape)
    name = context.read(node, node.args[0])
    order = (*(other for other in context.order[name] if other != axis), axis)
    name = context.arranged(node, name, order)
    multiplier, shift = int(node.args[4]), int(node.args[5])
    step = ldexp(multiplier, shift - 31 - (31 - SOFTMAX_INPUT_INTEGER_BITS))
    distances = np.arange(256, dtype=np.float64) * float(np.float32(step))
    fields = Fields(in_c=shape[axis], out_add=int(node.args[3]), count=elements(node))
    constants = Constants(weights=np.exp(-distances).astype("<f4").tobytes())
    return context.op(node, Kind.SOFTMAX, fields, constants, (name,), order)


def _lut(context: ImportContext, node: Any) -> Op:
    table = context.constant(node, 1).astype("i1").tobytes()
    return context.elementwise(node, Kind.LUT, Fields(), Constants(weights=table))


def _quantize(context: ImportContext, node: Any) -> Op:
    # input scale zero_point quant_min quant_max dtype
    fields = Fields(
        scale=float(np.float32(1.0 / node.args[1])),
        out_add=int(node.args[2]),
        act_min=int(node.args[3]),
        act_max=int(node.args[4]),
    )
    return context.elementwise(node, Kind.QUANTIZE, fields)


def _dequantize(context: ImportContext, node: Any) -> Op:
    scale = float(np.float32(node.args[1]))
    fields = Fields(scale=scale, in0_add=-int(node.args[2]))
    return context.elementwise(node, Kind.DEQUANTIZE, fields)


HANDLERS = {
    "cortex_m.softmax.default": _softmax,
    "cortex_m.quantized_activation.default": _lut,
    "cortex_m.quantize_per_tensor.default": _quantize,
    "cortex_m.dequantize_per_tensor.default": _dequantize,
    "aten.clamp.default": _clamp,
}
