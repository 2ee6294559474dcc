"""What the importers of all operator families share."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from host.compile.graph import Constants, Fields, Kind, Op, memory_shape
from host.export.support import short_name, source_line, unsupported

U16_MAX = 65535


@dataclass(frozen=True, slots=True)
class ImportContext:
    """The program's constants by placeholder name, and helpers that read node arguments."""

    constants: dict[str, npt.NDArray[Any]]

    def constant(self, node: Any, argument: int) -> npt.NDArray[Any]:
        """A constant tensor argument."""
        given = node.args[argument]
        found = self.constants.get(getattr(given, "name", ""))
        if found is None:
            raise unsupported(node, f"argument {argument} must be a constant")
        return found

    def table(self, node: Any, argument: int) -> bytes:
        """A constant int32 vector argument as bytes; empty for None."""
        if node.args[argument] is None:
            return b""
        return self.constant(node, argument).astype("<i4").tobytes()

    def activation(self, node: Any, argument: int = 0) -> str:
        """Name of an activation argument."""
        given = node.args[argument]
        if given.name in self.constants:
            remedy = "add constants as the bias of a convolution or a linear layer"
            raise unsupported(node, f"operand {argument} is a constant, not an activation", remedy)
        return short_name(given)

    def op(
        self,
        node: Any,
        kind: Kind,
        fields: Fields,
        constants: Constants | None = None,
        inputs: tuple[str, ...] | None = None,
    ) -> Op:
        """An Op for a node; its only input is argument 0 unless `inputs` says otherwise."""
        name = short_name(node)
        return Op(
            name=name,
            kind=kind,
            inputs=(self.activation(node),) if inputs is None else inputs,
            output=name,
            source=source_line(node),
            fields=fields,
            constants=Constants() if constants is None else constants,
        )


def shape_of(node: Any) -> tuple[int, ...]:
    """Logical shape of a node's result."""
    return tuple(int(size) for size in node.meta["val"].shape)


def input_shape(node: Any, argument: int = 0) -> tuple[int, ...]:
    """Logical shape of an argument."""
    return shape_of(node.args[argument])


def elements(node: Any) -> int:
    """Number of elements of a node's result."""
    return prod(shape_of(node))


def pair(value: Any) -> tuple[int, int]:
    """A height and width from [h, w] or [both]."""
    items = [int(item) for item in value]
    return (items[0], items[-1])


def map_fields(node: Any, **others: Any) -> Fields:
    """Fields with both maps and all output rows of a 4-D operator, and what `others` adds."""
    before, after = input_shape(node), shape_of(node)
    if len(before) != 4 or len(after) != 4 or before[0] != 1:
        raise unsupported(node, f"works on {list(before)}, and devices run batch 1 of 4-D maps")
    in_h, in_w, in_c = memory_shape(before)
    out_h, out_w, out_c = memory_shape(after)
    for size in (in_h, in_w, in_c, out_h, out_w, out_c):
        if size > U16_MAX:
            raise unsupported(node, f"has a dimension of {size}, more than {U16_MAX}")
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


def permutation(before: tuple[int, ...], after: tuple[int, ...]) -> npt.NDArray[np.int32] | None:
    """Where each byte of a reshaped tensor comes from, None if all stay where they are.

    Both shapes hold the same logical elements in row-major order; 4-D ones lie in memory as NHWC.
    """
    source = _memory_order(before)
    position = np.empty_like(source)
    position[source] = np.arange(len(source), dtype=np.int32)
    moved: npt.NDArray[np.int32] = position[_memory_order(after)]
    return None if np.array_equal(moved, np.arange(len(moved))) else moved


def _memory_order(shape: tuple[int, ...]) -> npt.NDArray[np.int32]:
    logical = np.arange(prod(shape), dtype=np.int32).reshape(shape)
    return (logical.transpose(0, 2, 3, 1) if len(shape) == 4 else logical).reshape(-1)
