"""Importers of operators on two activations: add, mul, div, minimum, maximum.

An operand that is a single known number leaves a function of one int8: a clamp or a table.
"""

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from host.compile.context import ImportContext, elements, shape_of
from host.compile.graph import Constants, Fields, Kind, Op
from host.compile.strides import Order, row_major
from host.export.support import unsupported

ADD_LEFT_SHIFT = 20  # SHIFT_INT8 of the dialect


def _add(context: ImportContext, node: Any) -> Op:
    # self zero_point multiplier shift other zero_point multiplier shift
    # out_zero_point multiplier shift activation_min activation_max
    fields = Fields(
        in0_add=-int(node.args[1]),
        in1_add=-int(node.args[5]),
        out_add=int(node.args[8]),
        act_min=int(node.args[11]),
        act_max=int(node.args[12]),
        mult0=int(node.args[2]),
        shift0=int(node.args[3]),
        mult1=int(node.args[6]),
        shift1=int(node.args[7]),
        mult2=int(node.args[9]),
        shift2=int(node.args[10]),
        param0=ADD_LEFT_SHIFT,
    )
    return _binary(context, node, Kind.ADD, fields, 4)


def _mul(context: ImportContext, node: Any) -> Op:
    # self zero_point other zero_point out_zero_point multiplier shift
    fields = Fields(
        in0_add=-int(node.args[1]),
        in1_add=-int(node.args[3]),
        out_add=int(node.args[4]),
        act_min=-128,
        act_max=127,
        mult0=int(node.args[5]),
        shift0=int(node.args[6]),
    )
    return _binary(context, node, Kind.MUL, fields, 2)


def _div(context: ImportContext, node: Any) -> Op:
    # self zero_point other zero_point out_zero_point output_scale
    fields = Fields(
        in0_add=-int(node.args[1]),
        in1_add=-int(node.args[3]),
        out_add=int(node.args[4]),
        act_min=-128,
        act_max=127,
        scale=float(np.float32(node.args[5])),
    )
    return _binary(context, node, Kind.DIV, fields, 2)


def _minimum(context: ImportContext, node: Any) -> Op:
    return _binary(context, node, Kind.MINIMUM, Fields(), 1)


def _maximum(context: ImportContext, node: Any) -> Op:
    return _binary(context, node, Kind.MAXIMUM, Fields(), 1)


def _binary(context: ImportContext, node: Any, kind: Kind, fields: Fields, second: int) -> Op:
    values = [context.constant_or_none(node.args[at]) for at in (0, second)]
    for at, value in zip((second, 0), values, strict=True):
        if value is not None and value.size == 1 and values[at == second] is None:
            return _with_number(context, node, kind, at, value)
    return binary(context, node, kind, fields, second, kind is not Kind.DIV)


def binary(
    context: ImportContext, node: Any, kind: Kind, fields: Fields, second: int, commutes: bool
) -> Op:
    """An op on arguments 0 and `second`, repeated to one shape as torch does it."""
    shape = shape_of(node)
    wide, narrow = 0, second
    if commutes and prod(shape_of(node.args[0])) < prod(shape_of(node.args[second])):
        wide, narrow = second, 0  # what repeats is the second operand
        fields = _swapped(fields)
    one = context.read(node, node.args[wide])
    if shape_of(node.args[wide]) != shape:
        one = context.expanded(node, one, shape, row_major(shape))
    order = context.order[one]
    fields = replace(fields, count=elements(node))
    narrow_shape = shape_of(node.args[narrow])
    if narrow_shape == shape:
        other = context.read(node, node.args[narrow], order)
    else:
        other = context.read(node, node.args[narrow])
        period = _period(shape, order, narrow_shape)
        if period:
            fields = replace(fields, in_c=period)
        else:
            other = context.expanded(node, other, shape, order)
    return context.op(node, kind, fields, None, (one, other), order)


def _swapped(fields: Fields) -> Fields:
    return replace(
        fields,
        in0_add=fields.in1_add,
        in1_add=fields.in0_add,
        **(
            {
                "mult0": fields.mult1,
                "shift0": fields.shift1,
                "mult1": fields.mult0,
                "shift1": fields.shift0,
            }
            if fields.mult1
            else {}
        ),
    )


def _period(shape: tuple[int, ...], order: Order, narrow: tuple[int, ...]) -> int:
    """Elements after which a narrow operand repeats in memory; 0 if it does in another way."""
    padded = (1,) * (len(shape) - len(narrow)) + narrow
    if prod(narrow) == 1:
        return 1
    innermost = next((axis for axis in reversed(order) if shape[axis] > 1), order[-1])
    return padded[innermost] if prod(padded) == padded[innermost] == shape[innermost] else 0


def _with_number(
    context: ImportContext, node: Any, kind: Kind, at: int, value: npt.NDArray[Any]
) -> Op:
    """The op with a known number beside activation `at`: all its 256 results."""
    number = int(value.reshape(-1)[0])
    name = context.read(node, node.args[at])
    if prod(context.shape[name]) != elements(node):
        raise unsupported(node, "repeats an activation against a constant")
    if kind in (Kind.MINIMUM, Kind.MAXIMUM):
        low, high = (-128, number) if kind is Kind.MINIMUM else (number, 127)
        fields = Fields(act_min=low, act_max=high, count=elements(node))
        return context.op(node, Kind.CLAMP, fields, None, (name,), context.order[name])
    inputs = torch.arange(-128, 128, dtype=torch.int8)
    arguments = list(node.args)
    for index, argument in enumerate(arguments):
        if hasattr(argument, "meta"):
            constant = context.constant_or_none(argument)
            arguments[index] = inputs if constant is None else torch.full((256,), number).char()
    table = node.target(*arguments).numpy().astype("i1").tobytes()
    fields = Fields(count=elements(node))
    constants = Constants(weights=table)
    return context.op(node, Kind.LUT, fields, constants, (name,), context.order[name])


HANDLERS = {
    "cortex_m.quantized_add.default": _add,
    "cortex_m.quantized_mul.default": _mul,
    "cortex_m.quantized_div.default": _div,
    "cortex_m.minimum.default": _minimum,
    "cortex_m.maximum.default": _maximum,
}
