"""Importers of what only renames or moves elements: views, permutations, slices, cat, expand."""

from dataclasses import replace
from math import prod
from typing import Any

from host.compile.context import ImportContext, shape_of
from host.compile.graph import DTYPE_BYTES, Fields, Kind, Op, Part
from host.compile.strides import Order, Shape, Walk, element_strides, row_major
from host.export.support import unsupported


def _view(context: ImportContext, node: Any, name: str, order: Order) -> Op:
    fields = Fields(count=context.tensors[name].size_bytes)
    return context.op(node, Kind.VIEW, fields, None, (name,), order)


def _reshape(context: ImportContext, node: Any) -> Op:
    before, after = shape_of(node.args[0]), shape_of(node)
    name = context.read(node, node.args[0])
    kept = _same_axes(before, after, context.order[name])
    if kept is not None:
        return _view(context, node, name, kept)
    name = context.arranged(node, name, row_major(before))
    return _view(context, node, name, row_major(after))


def _same_axes(before: Shape, after: Shape, order: Order) -> Order | None:
    """The order after a view that only adds or removes axes of extent 1; None for other views."""
    real_before = [axis for axis, extent in enumerate(before) if extent > 1]
    real_after = [axis for axis, extent in enumerate(after) if extent > 1]
    if [before[axis] for axis in real_before] != [after[axis] for axis in real_after]:
        return None
    renamed = dict(zip(real_before, real_after, strict=True))
    ones = [axis for axis, extent in enumerate(after) if extent == 1]
    return (*ones, *(renamed[axis] for axis in order if axis in renamed))


def _permute(context: ImportContext, node: Any) -> Op:
    name = context.read(node, node.args[0])
    rank = len(shape_of(node))
    source = [axis % rank for axis in node.args[1]]
    return _view(context, node, name, tuple(source.index(axis) for axis in context.order[name]))


def _clone(context: ImportContext, node: Any) -> Op:
    # Another dim order is another order of strides; the compiler has its own.
    name = context.read(node, node.args[0])
    return _view(context, node, name, context.order[name])


def _as_strided(context: ImportContext, node: Any) -> Op:
    # ExecuTorch writes a global average pool as a mean and one of these, which moves nothing.
    shape, steps = shape_of(node), node.args[2]
    moving = [steps[axis] for axis, extent in enumerate(shape) if extent > 1]
    if shape != shape_of(node.args[0]) or moving not in ([], [1]) or any(node.args[3:]):
        raise unsupported(node, "picks elements by strides")
    return _clone(context, node)


def _expand(context: ImportContext, node: Any) -> Op:
    name = context.read(node, node.args[0])
    shape = shape_of(node)
    expanded = context.expanded(node, name, shape, row_major(shape))
    return _view(context, node, expanded, row_major(shape))


def _cut(
    context: ImportContext, node: Any, given: Any, axis: int, start: int, step: int, drop: bool
) -> Op:
    """Every step-th index of one axis from `start` on; `drop` removes the axis."""
    name = context.read(node, given)
    before, order, after = context.shape[name], context.order[name], shape_of(node)
    kept = list(order)
    extents = dict(enumerate(before))
    extents[axis] = 1 if drop else after[axis]
    reads = element_strides(before, order)
    cut = tuple(extents[index] for index in range(len(before)))
    writes = element_strides(cut, order)
    walk = Walk(
        tuple(cut[index] for index in order),
        tuple(reads[index] * (step if index == axis else 1) for index in order),
        tuple(writes[index] for index in order),
    )
    if drop:
        kept = [index - (index > axis) for index in order if index != axis]
    op = context.op(node, Kind.STRIDED, Fields(), None, (name,), tuple(kept))
    size = DTYPE_BYTES[context.tensors[name].dtype]
    filled = context.walk_op(node, Kind.STRIDED, (name,), op.output, walk)
    part = Part(0, start * reads[axis] * size, 0, walk.count, filled.constants.weights)
    return replace(filled, parts=(part,))


def _slice(context: ImportContext, node: Any) -> Op:
    arguments = [*node.args, *[None] * 5][:5]
    shape = shape_of(node.args[0])
    axis = int(arguments[1] or 0) % max(len(shape), 1)
    start = int(arguments[2] or 0)
    start = max(0, start + shape[axis] if start < 0 else start)
    step = int(arguments[4] or 1)
    return _cut(context, node, node.args[0], axis, start, step, drop=False)


def _select(context: ImportContext, node: Any) -> Op:
    shape = shape_of(node.args[0])
    axis = int(node.args[1]) % len(shape)
    return _cut(context, node, node.args[0], axis, int(node.args[2]) % shape[axis], 1, drop=True)


def cut_piece(context: ImportContext, node: Any, split: Any, piece: int) -> Op:
    """Piece number `piece` of a split_with_sizes_copy."""
    sizes = [int(size) for size in split.args[1]]
    axis = int(split.args[2] if len(split.args) > 2 else 0) % len(shape_of(split.args[0]))
    return _cut(context, node, split.args[0], axis, sum(sizes[:piece]), 1, drop=False)


def _cat(context: ImportContext, node: Any) -> Op:
    axis = int(node.args[1] if len(node.args) > 1 else 0) % len(shape_of(node))
    givens = [given for given in node.args[0] if prod(shape_of(given))]
    names = [context.read(node, given) for given in givens]
    order = context.order[names[0]]
    names = [context.arranged(node, name, order) for name in names]
    op = context.op(node, Kind.STRIDED, Fields(), None, tuple(names), order)
    writes = element_strides(shape_of(node), order)
    size = DTYPE_BYTES[context.tensors[op.output].dtype]
    parts, start = [], 0
    for index, name in enumerate(names):
        shape = context.shape[name]
        reads = element_strides(shape, order)
        walk = Walk(
            tuple(shape[at] for at in order),
            tuple(reads[at] for at in order),
            tuple(writes[at] for at in order),
        )
        table = context.walk_op(node, Kind.STRIDED, (name,), op.output, walk).constants.weights
        parts.append(Part(index, 0, start * writes[axis] * size, walk.count, table))
        start += shape[axis]
    total = sum(part.count for part in parts)
    return replace(op, fields=Fields(count=total, param0=size), parts=tuple(parts))


HANDLERS = {
    "aten.view_copy.default": _reshape,
    "aten.squeeze_copy.dims": _reshape,
    "aten.squeeze_copy.dim": _reshape,
    "aten.unsqueeze_copy.default": _reshape,
    "aten.permute_copy.default": _permute,
    "cortex_m.transpose.default": _permute,
    "aten.expand_copy.default": _expand,
    "aten.slice_copy.Tensor": _slice,
    "aten.select_copy.int": _select,
    "aten.cat.default": _cat,
    "aten.as_strided_copy.default": _as_strided,
    "dim_order_ops._clone_dim_order.default": _clone,
    "dim_order_ops._to_dim_order_copy.default": _clone,
}
