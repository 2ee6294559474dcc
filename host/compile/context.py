"""What the importers of all operator families share."""

from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from host.compile.graph import DTYPE_BYTES, Constants, Fields, Kind, Op, Tensor
from host.compile.strides import (
    Order,
    Shape,
    Walk,
    element_strides,
    natural,
    rearranged,
    row_major,
    same_memory,
)
from host.export.support import short_name, source_line, unsupported

U16_MAX = 65535
DTYPES = {torch.int8: "int8", torch.float32: "float32"}


@dataclass(slots=True)
class ImportContext:
    """The program's constants by placeholder name, and the graph as far as it is imported.

    `order` tells how each tensor lies in memory; who needs another order asks for it in read(),
    which adds the copy. Views and permutations are thus renamings wherever memory allows it.
    """

    constants: dict[str, npt.NDArray[Any]]
    tensors: dict[str, Tensor] = field(default_factory=dict)
    order: dict[str, Order] = field(default_factory=dict)
    shape: dict[str, Shape] = field(default_factory=dict)
    ops: list[Op] = field(default_factory=list)

    def constant(self, node: Any, argument: int) -> npt.NDArray[Any]:
        """A constant tensor argument."""
        found = self.constant_or_none(node.args[argument])
        if found is None:
            raise unsupported(node, f"argument {argument} must be a constant")
        return found

    def constant_or_none(self, given: Any) -> npt.NDArray[Any] | None:
        """The value of an argument if it is known now."""
        return self.constants.get(getattr(given, "name", ""))

    def table(self, node: Any, argument: int) -> bytes:
        """A constant int32 vector argument as bytes; empty for None."""
        if node.args[argument] is None:
            return b""
        return self.constant(node, argument).astype("<i4").tobytes()

    def declare(self, name: str, shape: Shape, dtype: str, order: Order) -> str:
        """Make a tensor known; gives its name."""
        self.tensors[name] = Tensor(name, prod(shape), dtype)
        self.shape[name], self.order[name] = shape, order
        return name

    def result(self, node: Any, order: Order | None = None) -> str:
        """Make a node's result known, in `order` (default: the one of the border)."""
        dtype = DTYPES.get(node.meta["val"].dtype)
        if dtype is None:
            kind = node.meta["val"].dtype
            raise unsupported(node, f"gives {kind}, and devices hold int8 (or float32)")
        shape = shape_of(node)
        return self.declare(
            short_name(node), shape, dtype, natural(shape) if order is None else order
        )

    def read(self, node: Any, given: Any, order: Order | None = None) -> str:
        """Name of an activation that `node` reads, lying in `order` (default: as it lies)."""
        name = short_name(given)
        if name not in self.tensors:
            self._load(node, given, name, order)
        return name if order is None else self.arranged(node, name, order)

    def arranged(self, node: Any, name: str, order: Order) -> str:
        """A tensor in another order, copied if memory differs."""
        shape, have = self.shape[name], self.order[name]
        if same_memory(shape, have, order):
            return name
        copied = f"{name}_{''.join(map(str, order))}"
        if copied not in self.tensors:
            self.declare(copied, shape, self.tensors[name].dtype, order)
            walk = rearranged(shape, have, order)
            self.ops.append(self.walk_op(node, Kind.PERMUTE, (name,), copied, walk))
        return copied

    def walk_op(
        self, node: Any, kind: Kind, inputs: tuple[str, ...], output: str, walk: Walk
    ) -> Op:
        """An op that moves elements as `walk` says."""
        try:
            table = walk.table()
        except ValueError:
            raise unsupported(node, "needs a copy with too many axes") from None
        size = DTYPE_BYTES[self.tensors[output].dtype]
        fields = Fields(count=walk.count, param0=size)
        return Op(output, kind, inputs, output, source_line(node), fields, Constants(table))

    def expanded(self, node: Any, name: str, shape: Shape, order: Order) -> str:
        """A tensor repeated to a broadcast shape, dense in `order`."""
        own = self.shape[name]
        missing = len(shape) - len(own)
        steps = [0] * missing + list(element_strides(own, self.order[name]))
        for axis, extent in enumerate([1] * missing + list(own)):
            if extent == 1:
                steps[axis] = 0
        writes = element_strides(shape, order)
        walk = Walk(
            tuple(shape[axis] for axis in order),
            tuple(steps[axis] for axis in order),
            tuple(writes[axis] for axis in order),
        )
        output = self.declare(
            f"{name}_for_{short_name(node)}", shape, self.tensors[name].dtype, order
        )
        self.ops.append(self.walk_op(node, Kind.STRIDED, (name,), output, walk))
        return output

    def _load(self, node: Any, given: Any, name: str, order: Order | None) -> None:
        """A constant that a kernel reads as an activation is copied into the arena."""
        value = self.constant_or_none(given)
        if value is None or str(value.dtype) not in DTYPE_BYTES:
            raise unsupported(node, f"operand {given} is neither an activation nor a constant")
        shape = tuple(value.shape)
        order = natural(shape) if order is None else order
        data = np.ascontiguousarray(value.transpose(order)).tobytes()
        self.declare(name, shape, str(value.dtype), order)
        fields = Fields(count=len(data))
        self.ops.append(
            Op(name, Kind.CONST, (), name, source_line(node), fields, Constants(weights=data))
        )

    def op(
        self,
        node: Any,
        kind: Kind,
        fields: Fields,
        constants: Constants | None = None,
        inputs: tuple[str, ...] = (),
        order: Order | None = None,
        batch: int = 1,
    ) -> Op:
        """An Op for a node, whose result lies in `order`."""
        output = self.result(node, order)
        return Op(
            name=output,
            kind=kind,
            inputs=inputs,
            output=output,
            source=source_line(node),
            fields=fields,
            constants=Constants() if constants is None else constants,
            batch=batch,
        )

    def elementwise(
        self, node: Any, kind: Kind, fields: Fields, constants: Constants | None = None
    ) -> Op:
        """An Op on argument 0 that works in any order."""
        name = self.read(node, node.args[0])
        fields = replace(fields, count=elements(node))
        return self.op(node, kind, fields, constants, (name,), self.order[name])


def shape_of(node: Any) -> Shape:
    """Logical shape of a node's result."""
    return tuple(int(size) for size in node.meta["val"].shape)


def input_shape(node: Any, argument: int = 0) -> Shape:
    """Logical shape of an argument."""
    return shape_of(node.args[argument])


def elements(node: Any) -> int:
    """Number of elements of a node's result."""
    return prod(shape_of(node))


def pair(value: Any) -> tuple[int, int]:
    """A height and width from [h, w] or [both]."""
    items = [int(item) for item in value]
    return (items[0], items[-1])


def image_order(node: Any) -> Order:
    """The order of the maps of a 4-D operator: the *_nhwc forms show logical N H W C already."""
    return row_major((0, 0, 0, 0)) if "_nhwc" in str(node.target) else (0, 2, 3, 1)


def map_fields(node: Any, source: Any = None, **others: Any) -> Fields:
    """Fields with both maps and all output rows of a 4-D operator, and what `others` adds.

    The input is argument 0 of `source` (default: of the node itself).
    """
    before, after = input_shape(node if source is None else source), shape_of(node)
    if len(before) != 4 or len(after) != 4:
        raise unsupported(node, f"works on {list(before)}, and devices run 4-D maps")
    order = image_order(node)
    _, in_h, in_w, in_c = (before[axis] for axis in order)
    _, out_h, out_w, out_c = (after[axis] for axis in order)
    check_sizes(node, in_h, in_w, in_c, out_h, out_w, out_c)
    return Fields(
        in_h=in_h,
        in_w=in_w,
        in_c=in_c,
        out_h=out_h,
        out_w=out_w,
        out_c=out_c,
        row_end=out_h,
        **others,
    )


def check_sizes(node: Any, *sizes: int) -> None:
    """Raise UnsupportedOperatorError for a dimension that a record cannot hold."""
    for size in sizes:
        if size > U16_MAX:
            raise unsupported(node, f"has a dimension of {size}, more than {U16_MAX}")
