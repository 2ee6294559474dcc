"""Instructions of a packed op that makes only some of its rows, by the same counts (cost.py)."""

from dataclasses import replace

from host.compile.graph import Kind, Op
from host.compile.packing import cost
from host.compile.packing.convolution import padded_taps
from host.compile.packing.depthwise import tile_of
from host.compile.packing.requantize import form_of


def instructions_of_rows(op: Op, rows: int, elements: int) -> int:
    """At most, for any `rows` output rows of `elements` elements in all; 0 = unknown."""
    if not op.instructions:
        return 0
    f = replace(op.fields, row_begin=0, row_end=rows)
    match op.kind:
        case Kind.CONV2D:
            return cost.convolution(f, padded_taps(f), f.count, form_of(f))
        case Kind.DWCONV2D:
            return cost.depthwise(f, f.count, tile_of(f), form_of(f))
        case Kind.ADD:
            return cost.addition(replace(f, count=elements, in_c=0), 0 in (f.shift0, f.shift1))
        case Kind.MAXPOOL2D:
            return cost.maximum(f)
        case _:
            return 0
