"""The loop orders of the kernels, step by step: the judge of overlapping plans.

Written from device/engine/kernel_*.c alone, byte by byte, without the formulas of overlap.py.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from host.compile.graph import Fields, Kind, Op
from host.compile.plan.walk_packed import Spans, packed_steps

Reads = list[tuple[int, int, int]]  # (input, first byte, end)
Writes = tuple[int, int]  # first byte, end
_Ints = npt.NDArray[np.int64]


def survives(op: Op, which: int, in_bytes: int, out_bytes: int, distance: int) -> bool:
    """Whether input `which` is read in full before it is overwritten.

    distance: start of the input minus start of the output, bytes, both in one arena.
    """
    if op.batch != 1 or op.parts:
        return False  # the steps are those of single records
    last_read = np.full(in_bytes, -1, np.int64)
    written = np.full(out_bytes, -1, np.int64)
    order = packed_steps(op) if op.layout != 0 and op.kind != Kind.ADD else _one_input(op, which)
    for step, (reads, writes) in enumerate(order):
        for first, stop in reads:
            last_read[first:stop] = step
        for first, stop in writes:
            new = written[first:stop]  # a view: the first write of a byte counts
            new[new < 0] = step
    first, stop = max(0, distance), min(out_bytes, distance + in_bytes)
    if first >= stop:
        return True
    return bool((written[first:stop] >= last_read[first - distance : stop - distance]).all())


def _one_input(op: Op, which: int) -> Iterator[tuple[Spans, Spans]]:
    for reads, write in steps(op):
        yield [(first, stop) for source, first, stop in reads if source == which], [write]


def steps(op: Op) -> Iterator[tuple[Reads, Writes]]:
    """What each step reads and then writes, in the kernel's order."""
    f = op.fields
    match op.kind:
        case Kind.CONV2D:
            yield from _conv2d(f)
        case Kind.DWCONV2D:
            order = list(_dwconv2d(f))
            yield from reversed(order) if f.flags & 1 else order
        case Kind.MAXPOOL2D | Kind.AVGPOOL2D:
            for pixel, taps in _pixels(f):
                for c in range(f.in_c):
                    at = pixel * f.in_c + c
                    yield [(0, t * f.in_c + c, t * f.in_c + c + 1) for t in taps], (at, at + 1)
        case Kind.LINEAR:
            for row in range(f.out_h):
                reads = [(0, row * f.in_c, (row + 1) * f.in_c)]
                for begin, end in _blocks(0, f.out_c):
                    yield reads, (row * f.out_c + begin, row * f.out_c + end)
        case Kind.ADD:
            run = f.in_c or f.count
            for i in range(f.count):
                yield [(0, i, i + 1), (1, i % run, i % run + 1)], (i, i + 1)
        case Kind.SOFTMAX:
            for i in range(f.count):
                begin = i // f.in_c * f.in_c
                # Two passes over the row come before its first write.
                yield [(0, begin if i == begin else i, begin + f.in_c)], (i, i + 1)
        case Kind.CLAMP | Kind.LUT:
            for i in range(f.count):
                yield [(0, i, i + 1)], (i, i + 1)
        case Kind.QUANTIZE:
            for i in range(f.count):
                yield [(0, 4 * i, 4 * i + 4)], (i, i + 1)
        case Kind.DEQUANTIZE:
            for i in range(f.count):
                yield [(0, i, i + 1)], (4 * i, 4 * i + 4)
        case Kind.COPY:
            yield [(0, 0, f.count)], (0, f.count)
        case Kind.PAD:
            yield from _pad(f)
        case _:
            raise ValueError(f"no kernel for {op.kind.name}")


def _blocks(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Four channels at a time, the rest one by one."""
    while begin + 4 <= end:
        yield begin, begin + 4
        begin += 4
    for channel in range(begin, end):
        yield channel, channel + 1


def _pixels(f: Fields) -> Iterator[tuple[int, list[int]]]:
    """Each output pixel and the input pixels under its window."""
    for oy in range(f.out_h):
        rows = [oy * f.stride_h - f.pad_t + k * f.dil_h for k in range(f.k_h)]
        for ox in range(f.out_w):
            columns = [ox * f.stride_w - f.pad_l + k * f.dil_w for k in range(f.k_w)]
            taps = [
                y * f.in_w + x for y in rows if 0 <= y < f.in_h for x in columns if 0 <= x < f.in_w
            ]
            yield oy * f.out_w + ox, taps


def _conv2d(f: Fields) -> Iterator[tuple[Reads, Writes]]:
    groups = max(f.param0, 1)
    width = f.in_c // groups
    for pixel, taps in _pixels(f):
        for group in range(groups):
            reads = [
                (0, t * f.in_c + group * width, t * f.in_c + (group + 1) * width) for t in taps
            ]
            begin = group * (f.out_c // groups)
            for first, end in _blocks(begin, begin + f.out_c // groups):
                yield reads, (pixel * f.out_c + first, pixel * f.out_c + end)


def _dwconv2d(f: Fields) -> Iterator[tuple[Reads, Writes]]:
    multiplier = f.out_c // f.in_c
    for pixel, taps in _pixels(f):
        if multiplier == 1:
            for first, end in _blocks(0, f.in_c):
                reads = [(0, t * f.in_c + first, t * f.in_c + end) for t in taps]
                yield reads, (pixel * f.out_c + first, pixel * f.out_c + end)
        else:
            for channel in range(f.in_c):
                reads = [(0, t * f.in_c + channel, t * f.in_c + channel + 1) for t in taps]
                for first, end in _blocks(channel * multiplier, (channel + 1) * multiplier):
                    yield reads, (pixel * f.out_c + first, pixel * f.out_c + end)


def _pad(f: Fields) -> Iterator[tuple[Reads, Writes]]:
    for oy in range(f.out_h):
        begin, iy = oy * f.out_w, oy - f.pad_t
        inside = [ox for ox in range(f.out_w) if 0 <= ox - f.pad_l < f.in_w]
        if not 0 <= iy < f.in_h or not inside:
            yield [], (begin * f.in_c, (begin + f.out_w) * f.in_c)
            continue
        left, right = inside[0], inside[-1] + 1
        source = iy * f.in_w - f.pad_l
        yield [], (begin * f.in_c, (begin + left) * f.in_c)
        yield (
            [(0, (source + left) * f.in_c, (source + right) * f.in_c)],
            ((begin + left) * f.in_c, (begin + right) * f.in_c),
        )
        yield [], ((begin + right) * f.in_c, (begin + f.out_w) * f.in_c)
