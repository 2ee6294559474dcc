"""Importers of what stays float32: the few operators that ExecuTorch's quantizer leaves alone."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from host.compile.context import (
    ImportContext,
    check_sizes,
    elements,
    input_shape,
    map_fields,
    pair,
    shape_of,
)
from host.compile.graph import Constants, Fields, Kind, Op
from host.compile.import_binary import binary
from host.compile.strides import row_major
from host.export.support import operator_name, unsupported

Handler = Callable[[ImportContext, Any], Op]

NHWC = (0, 2, 3, 1)
ADD, SUBTRACT, MULTIPLY, DIVIDE = range(4)  # param0 of F32_BINARY
SIGMOID, TANH = range(2)  # param0 of F32_UNARY


def _floats(values: Any) -> bytes:
    return np.ascontiguousarray(values, dtype="<f4").tobytes()


def _arithmetic(context: ImportContext, node: Any) -> Op:
    # self other, with a factor of other in `alpha`
    name = operator_name(node.target).split(".")[1]
    code = {"add": ADD, "sub": SUBTRACT, "mul": MULTIPLY, "div": DIVIDE}[name]
    alpha = float(node.kwargs.get("alpha", 1))
    if alpha < 0 and code in (ADD, SUBTRACT):
        code, alpha = ADD + SUBTRACT - code, -alpha
    if alpha == 0:
        raise unsupported(node, "has an alpha of 0")
    commutes = code in (ADD, MULTIPLY) and alpha == 1
    fields = Fields(param0=code, scale=float(np.float32(alpha)))
    return binary(context, node, Kind.F32_BINARY, fields, 1, commutes)


def _sigmoid(context: ImportContext, node: Any) -> Op:
    return context.elementwise(node, Kind.F32_UNARY, Fields(param0=SIGMOID))


def _tanh(context: ImportContext, node: Any) -> Op:
    return context.elementwise(node, Kind.F32_UNARY, Fields(param0=TANH))


def _relu(context: ImportContext, node: Any) -> Op:
    return _bounded(context, node, 0.0, np.inf)


def _hardtanh(context: ImportContext, node: Any) -> Op:
    bounds = [-1.0, 1.0]
    for index, given in enumerate(node.args[1:3]):
        bounds[index] = float(given)
    return _bounded(context, node, *bounds)


def clamp(context: ImportContext, node: Any) -> Op:
    """aten.clamp of a float32 tensor: input min max."""
    given = [*node.args[1:3], None, None][:2]
    low, high = (
        float(end) if value is None else float(value)
        for value, end in zip(given, (-np.inf, np.inf), strict=True)
    )
    return _bounded(context, node, low, high)


def _bounded(context: ImportContext, node: Any, low: float, high: float) -> Op:
    return context.elementwise(node, Kind.F32_CLAMP, Fields(), Constants(_floats([low, high])))


def _convolution(context: ImportContext, node: Any) -> Op:
    # input weight bias stride padding dilation transposed output_padding groups
    if len(input_shape(node)) != 4:
        raise unsupported(node, f"works on {list(input_shape(node))}, and devices run 4-D maps")
    weight = context.constant(node, 1)
    transposed, groups = bool(node.args[6]), int(node.args[8])
    if transposed:  # [I, O / groups, KH, KW] -> [O, I / groups, KH, KW]
        split = weight.reshape(groups, -1, *weight.shape[1:])
        weight = split.swapaxes(1, 2).reshape(-1, split.shape[1], *weight.shape[2:])
    bias = None if node.args[2] is None else context.constant(node, 2)
    kind = Kind.F32_TCONV2D if transposed else Kind.F32_CONV2D
    return _windowed(context, node, kind, weight, bias, node.args[3:6], groups)


def _windowed(
    context: ImportContext,
    node: Any,
    kind: Kind,
    weight: npt.NDArray[Any],
    bias: npt.NDArray[Any] | None,
    window: Sequence[Any],
    groups: int,
) -> Op:
    """`weight` is [O, I / groups, KH, KW], `window` stride, padding and dilation."""
    stride, padding, dilation = (pair(values) for values in window)
    fields = map_fields(
        node,
        k_h=weight.shape[2],
        k_w=weight.shape[3],
        stride_h=stride[0],
        stride_w=stride[1],
        dil_h=dilation[0],
        dil_w=dilation[1],
        pad_t=padding[0],
        pad_l=padding[1],
        param0=groups if groups > 1 else 0,
    )
    constants = Constants(
        weights=_floats(weight.transpose(0, 2, 3, 1)), bias=b"" if bias is None else _floats(bias)
    )
    inputs = (context.read(node, node.args[0], NHWC),)
    return context.op(node, kind, fields, constants, inputs, NHWC, input_shape(node)[0])


def _avg_pool2d(context: ImportContext, node: Any) -> Op:
    # input kernel stride padding ceil_mode count_include_pad divisor_override; as a depthwise
    # convolution with equal weights
    defaults: list[Any] = [[], [], [0, 0], False, True, None]
    given = [*node.args[1:], *defaults[len(node.args) - 1 :]]
    kernel, stride, padding, ceil_mode, counted, divisor = given
    if ceil_mode or (not counted and any(padding)) or len(input_shape(node)) != 4:
        raise unsupported(node, "rounds its shape up, or counts taps, in float32")
    kernel = pair(kernel)
    channels = input_shape(node)[1]
    weight = np.full((channels, 1, *kernel), 1 / (divisor or prod(kernel)), dtype=np.float32)
    window = (stride or kernel, padding, (1, 1))
    return _windowed(context, node, Kind.F32_CONV2D, weight, None, window, channels)


def _linear(context: ImportContext, node: Any) -> Op:
    # input weight bias; as a 1x1 convolution over rows
    before, after = input_shape(node), shape_of(node)
    rows, in_c, out_c = prod(before[:-1]), before[-1], after[-1]
    check_sizes(node, rows, in_c, out_c)
    fields = Fields(
        in_h=rows,
        in_w=1,
        in_c=in_c,
        out_h=rows,
        out_w=1,
        out_c=out_c,
        k_h=1,
        k_w=1,
        stride_h=1,
        stride_w=1,
        dil_h=1,
        dil_w=1,
        row_end=rows,
    )
    bias = len(node.args) > 2 and node.args[2] is not None
    constants = Constants(
        weights=_floats(context.constant(node, 1)),
        bias=_floats(context.constant(node, 2)) if bias else b"",
    )
    inputs = (context.read(node, node.args[0], row_major(before)),)
    return context.op(node, Kind.F32_CONV2D, fields, constants, inputs, row_major(after))


def _bmm(context: ImportContext, node: Any) -> Op:
    batch, rows, inner = input_shape(node, 0)
    columns = shape_of(node)[2]
    check_sizes(node, rows, inner, columns)
    inputs = (
        context.read(node, node.args[0], (0, 1, 2)),
        context.read(node, node.args[1], (0, 2, 1)),  # the kernel takes it transposed
    )
    fields = Fields(in_h=rows, in_c=inner, out_h=rows, out_c=columns, row_end=rows)
    return context.op(node, Kind.F32_MATMUL, fields, None, inputs, (0, 1, 2), batch)


def _mean(context: ImportContext, node: Any) -> Op:
    # input dims keepdim; the reduced axes are made the innermost ones
    shape = input_shape(node)
    dims = node.args[1] if len(node.args) > 1 and node.args[1] else range(len(shape))
    reduced = sorted(int(axis) % len(shape) for axis in dims)
    keepdim = bool(node.args[2]) if len(node.args) > 2 else False
    name = context.read(node, node.args[0])
    kept = [axis for axis in context.order[name] if axis not in reduced]
    name = context.arranged(node, name, (*kept, *reduced))
    columns = prod(shape[axis] for axis in reduced)
    check_sizes(node, columns)
    if keepdim:
        order = (*kept, *reduced)
    else:
        order = tuple(axis - sum(gone < axis for gone in reduced) for axis in kept)
    fields = Fields(in_c=columns, scale=float(columns), count=prod(shape))
    return context.op(node, Kind.F32_MEAN, fields, None, (name,), order)


def _softmax(context: ImportContext, node: Any) -> Op:
    # input dim half_to_float
    shape = shape_of(node)
    axis = int(node.args[1]) % len(shape)
    check_sizes(node, shape[axis])
    name = context.read(node, node.args[0])
    order = (*(other for other in context.order[name] if other != axis), axis)
    name = context.arranged(node, name, order)
    fields = Fields(in_c=shape[axis], count=elements(node))
    return context.op(node, Kind.F32_SOFTMAX, fields, None, (name,), order)


def _in_float(handler: Handler) -> Handler:
    """The handler, for float32 nodes only: torch's arithmetic on int8 wraps around."""

    def checked(context: ImportContext, node: Any) -> Op:
        tensors = [source.meta["val"].dtype for source in node.all_input_nodes]
        if {node.meta["val"].dtype, *tensors} != {torch.float32}:
            raise unsupported(
                node, "was lowered to integers without their scales, which wrap around", _REMEDY
            )
        return handler(context, node)

    return checked


_REMEDY = "report it to ExecuTorch, or write this line so that its quantizer sees one operator"

HANDLERS = {
    name: _in_float(handler)
    for name, handler in {
        "aten.add.Tensor": _arithmetic,
        "aten.sub.Tensor": _arithmetic,
        "aten.mul.Tensor": _arithmetic,
        "aten.div.Tensor": _arithmetic,
        "aten.sigmoid.default": _sigmoid,
        "aten.tanh.default": _tanh,
        "aten.relu.default": _relu,
        "aten.hardtanh.default": _hardtanh,
        "aten.convolution.default": _convolution,
        "aten.avg_pool2d.default": _avg_pool2d,
        "aten.linear.default": _linear,
        "aten.bmm.default": _bmm,
        "aten.mean.dim": _mean,
        "aten._softmax.default": _softmax,
    }.items()
}
