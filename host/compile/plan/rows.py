"""Operators by rows: which input rows an output row needs, and the record that computes some rows.

The record of a step is the one that the executor builds (device/engine/segment.c): the op as if its
tensors were just the rows at hand.
"""

from dataclasses import dataclass, replace
from typing import Any

from host.compile.graph import Kind, Op

ELEMENTWISE = (Kind.ADD, Kind.MUL, Kind.CLAMP, Kind.LUT)
WINDOWED = (Kind.CONV2D, Kind.DWCONV2D, Kind.MAXPOOL2D, Kind.AVGPOOL2D)
_SUM_BYTES = 4  # of a fed pool, for each channel
FED = 2  # TAC_OP_FED of tac_op_t.flags


@dataclass(frozen=True, slots=True)
class Rows:
    """A tensor as `count` rows of `row_bytes` each."""

    count: int
    row_bytes: int


def by_rows(op: Op) -> bool:
    """Whether an op can run row by row: each output row needs a window of input rows."""
    f = op.fields
    if op.batch != 1 or op.parts or op.input_offsets or op.output_offset:
        return False
    if op.kind in ELEMENTWISE:
        return f.in_c in (0, f.count)
    if op.kind not in WINDOWED or (f.row_begin, f.row_end) != (0, f.out_h):
        return False
    reach = (f.k_h - 1) * f.dil_h
    # No window lies beside the input: a step without an input row has no record.
    return all(
        y * f.stride_h - f.pad_t + reach >= 0 and y * f.stride_h - f.pad_t < f.in_h
        for y in (0, f.out_h - 1)
    )


def fed(op: Op) -> bool:
    """Whether an op takes its input by rows and gives its only pixel with the last of them."""
    f = op.fields
    return op.kind == Kind.AVGPOOL2D and f.out_h == f.out_w == 1 and f.pad_t == f.pad_l == 0


def fed_scratch(op: Op) -> int:
    """Bytes of the partial sums of a fed pool."""
    return _SUM_BYTES * op.fields.in_c


def input_rows(op: Op) -> Rows | None:
    """Rows of the inputs; None for ops on elements, which have the rows of their neighbours."""
    f = op.fields
    return None if op.kind in ELEMENTWISE else Rows(f.in_h, f.in_w * f.in_c)


def output_rows(op: Op) -> Rows | None:
    """Rows of the output; None for ops on elements."""
    f = op.fields
    return None if op.kind in ELEMENTWISE else Rows(f.out_h, f.out_w * f.out_c)


def needed(op: Op, first: int, count: int) -> tuple[int, int]:
    """Input rows [begin, end) of `count` output rows; of a fed pool, of `count` rows to feed."""
    return int(needed_from(op, first)), int(needed_to(op, first + count - 1))


def needed_from(op: Op, first: Any) -> Any:
    """The first input row of the output rows from `first` on; integers or arrays of them."""
    if op.kind in ELEMENTWISE or fed(op):
        return first
    top = first * op.fields.stride_h - op.fields.pad_t
    return top * (top > 0)


def needed_to(op: Op, last: Any) -> Any:
    """One above the last input row of the output rows up to `last`; integers or arrays of them."""
    if op.kind in ELEMENTWISE or fed(op):
        return last + 1
    f = op.fields
    end = last * f.stride_h - f.pad_t + (f.k_h - 1) * f.dil_h + 1
    return end - (end - f.in_h) * (end > f.in_h)


def record_of(op: Op, rows: Rows, first: int, count: int) -> Op:
    """The op of one step: output rows [first, first + count) of an output of `rows`."""
    f = op.fields
    if op.kind in ELEMENTWISE:
        elements = count * rows.row_bytes
        return replace(op, fields=replace(f, in_c=0, count=elements, out_h=0))
    if fed(op):
        return replace(op, fields=replace(f, in_h=count, k_h=count))
    begin, end = needed(op, first, count)
    pad = max(0, f.pad_t - first * f.stride_h)
    return replace(
        op,
        fields=replace(
            f, in_h=end - begin, out_h=count, pad_t=pad, row_begin=0, row_end=count
        ),
    )  # fmt: skip
