"""The loop orders of the packed kernels, step by step; the part of walk.py for layout 1.

Written from device/engine/kernel_*.c alone, byte by byte, without the formulas of overlap_packed.py.
"""

import struct
from collections.abc import Iterator

from host.compile.graph import Fields, Kind, Op

_COLUMNS, _COLUMNS_STRIDED = 34, 15  # TAC_PACKED_DW_COLUMNS, TAC_PACKED_DW_COLUMNS_STRIDED
_WIDE = 128  # TAC_PACKED_LINEAR_WIDE

Spans = list[tuple[int, int]]  # first byte, end


def packed_steps(op: Op) -> Iterator[tuple[Spans, Spans]]:
    """What each step reads from its input and then writes, in the kernel's order."""
    f = op.fields
    match op.kind:
        case Kind.CONV2D:
            yield from _conv2d(f)
        case Kind.DWCONV2D:
            yield from _dwconv2d(f)
        case Kind.LINEAR:
            yield from _linear(f, op.constants.weights)
        case Kind.MAXPOOL2D:
            for oy in range(f.row_begin, f.row_end):
                for ox in range(f.out_w):
                    for c in range(0, f.in_c, 4):
                        at = (oy * f.out_w + ox) * f.in_c + c
                        yield _window(f, oy, ox, c, c + 4), [(at, at + 4)]
        case Kind.AVGPOOL2D:
            for oy in range(f.row_begin, f.row_end):
                for ox in range(f.out_w):
                    for c in range(f.in_c):
                        # Four sums at once; half-way, a channel is summed again before its store.
                        reads = _window(f, oy, ox, c, c + 4 if c % 4 == 0 else c + 1)
                        at = (oy * f.out_w + ox) * f.in_c + c
                        yield reads, [(at, at + 1)]
        case _:
            raise ValueError(f"no packed kernel with steps of its own for {op.kind.name}")


def _linear(f: Fields, stream: bytes) -> Iterator[tuple[Spans, Spans]]:
    wide = f.in_c  # taps that are read once a row
    while wide > _WIDE:
        wide -= 32
    quad_bytes = len(stream) // f.count
    for row in range(f.row_begin, f.row_end):
        first = row * f.in_c
        for quad in range(f.count):
            heads = struct.unpack_from("<4H", stream, quad * quad_bytes)
            writes = [(row * f.out_c + place, row * f.out_c + place + 1) for place in heads]
            yield [(first, row * f.in_c + f.in_c)], writes
            first = row * f.in_c + wide


def _window(f: Fields, oy: int, ox: int, begin: int, end: int) -> Spans:
    """The channels begin..end of the input pixels under a window."""
    spans = []
    for ky in range(f.k_h):
        y = oy * f.stride_h - f.pad_t + ky * f.dil_h
        for kx in range(f.k_w):
            x = ox * f.stride_w - f.pad_l + kx * f.dil_w
            if 0 <= y < f.in_h and 0 <= x < f.in_w:
                pixel = (y * f.in_w + x) * f.in_c
                spans.append((pixel + begin, pixel + end))
    return spans


def _conv2d(f: Fields) -> Iterator[tuple[Spans, Spans]]:
    left = (f.row_end - f.row_begin) * f.out_w
    pixel, step = f.row_begin * f.out_w, 1
    if f.flags & 1:
        pixel, step = f.row_end * f.out_w - 1, -1
    while left > 0:
        size = 3 if left == 3 or left > 4 else min(2, left)
        group = [pixel + i * step for i in range(size)]
        reads = [span for p in group for span in _window(f, p // f.out_w, p % f.out_w, 0, f.in_c)]
        yield reads, [(p * f.out_c, (p + 1) * f.out_c) for p in group]
        pixel += step * len(group)
        left -= len(group)


def _dwconv2d(f: Fields) -> Iterator[tuple[Spans, Spans]]:
    height = 2 if f.stride_h == 1 and f.stride_w == 1 else 1
    most = ((_COLUMNS if f.stride_w == 1 else _COLUMNS_STRIDED) - 3) // f.stride_w + 1
    tiles = (f.out_w + most - 1) // most
    tile = (f.out_w + tiles - 1) // tiles
    tiles = (f.out_w + tile - 1) // tile
    steps = (f.row_end - f.row_begin + height - 1) // height
    for i in range(steps):
        oy = f.row_begin + (steps - 1 - i if f.flags & 1 else i) * height
        rows = range(oy, min(oy + height, f.row_end))
        for j in range(tiles):
            ox = (tiles - 1 - j if f.flags & 1 else j) * tile
            columns = range(ox, min(ox + tile, f.out_w))
            c = 0
            while True:
                reads = [s for y in rows for x in columns for s in _window(f, y, x, c, c + 4)]
                at = [(y * f.out_w + x) * f.out_c + c for y in rows for x in columns]
                yield reads, [(p, p + 4) for p in at]
                if c + 4 == f.out_c:
                    break
                c += 4 if c + 8 <= f.out_c else f.out_c - 4 - c
