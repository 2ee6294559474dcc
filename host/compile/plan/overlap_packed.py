"""Certified distances of the packed kernels (layout 1, device/engine/packed.h).

Steps as in the opening comments of kernel_gemm.c, kernel_gemv.c, kernel_dwconv3x3.c and
kernel_pool.c, each with the bytes that it reads and writes:

  forward  the most that the end of what earlier steps wrote is above the lowest byte of a step;
  reverse  the most that the end of what a step reads is above the lowest byte written earlier.

At these distances and beyond no step finds a byte overwritten; one byte closer one does.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from host.compile.graph import Fields, Kind, Op
from host.compile.packing.depthwise import tile_of
from host.compile.packing.linear import places_of, wide_of

_GROUP = 3  # pixels of a conv2d step
_BLOCK = 4  # channels of a dwconv2d or pool step
_NOWHERE = np.int64(1) << 40  # of a step that reads nothing

_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Steps:
    """What each step reads and writes, in order: [low, high) of the input, [first, end) of the output."""

    low: _Ints
    high: _Ints
    first: _Ints
    end: _Ints

    def forward(self, unbound: int) -> int:
        """Smallest in - out from which on the order is safe; `unbound` if all is."""
        if len(self.low) < 2:
            return unbound
        written = np.maximum.accumulate(self.end)[:-1]
        return max(unbound, int((written - self.low[1:]).max()))

    def reverse(self, unbound: int) -> int:
        """Smallest out - in from which on the order is safe; `unbound` if all is."""
        if len(self.low) < 2:
            return unbound
        written = np.minimum.accumulate(self.first)[:-1]
        return max(unbound, int((self.high[1:] - written).max()))


def aligns(op: Op, alignment: int) -> bool:
    """Whether a multiple of `alignment` keeps apart channels that different steps work on."""
    f = op.fields
    packed = op.layout == 1 and op.kind == Kind.DWCONV2D
    return packed and f.in_c % _BLOCK == 0 and alignment % f.in_c == 0


def packed_distances(op: Op, alignment: int = 1) -> tuple[int | None, int | None]:
    """Forward and reverse distance of the one input of a packed op; None where there is none.

    They hold for multiples of `alignment`.
    """
    f = op.fields
    if (f.row_begin, f.row_end) != (0, f.out_h):
        return None, None
    match op.kind:
        case Kind.CONV2D:
            unbound = -(f.in_h * f.in_w * f.in_c + f.out_h * f.out_w * f.out_c)
            return _conv2d(f, False).forward(unbound), _conv2d(f, True).reverse(unbound)
        case Kind.DWCONV2D:
            unbound = -(f.in_h * f.in_w * f.in_c + f.out_h * f.out_w * f.out_c)
            lone = aligns(op, alignment)
            return (
                _dwconv2d(f, lone, False).forward(unbound),
                _dwconv2d(f, lone, True).reverse(unbound),
            )
        case Kind.LINEAR:
            return _linear(op).forward(-f.out_h * (f.in_c + f.out_c)), None
        case Kind.MAXPOOL2D:
            return _pool(f, _BLOCK), None
        case Kind.AVGPOOL2D:  # a tie is read again, channel by channel
            return _pool(f, 1), None
        case _:
            return None, None


def _axis(outputs: int, taps: int, stride: int, dilation: int, pad: int, inputs: int) -> _Ints:
    """[2, outputs]: first input coordinate of each window, and one above the last; equal if none."""
    taken = (
        np.arange(outputs, dtype=np.int64)[:, None] * stride
        - pad
        + np.arange(taps, dtype=np.int64) * dilation
    )
    inside = (taken >= 0) & (taken < inputs)
    low = np.where(inside, taken, _NOWHERE).min(axis=1)
    high = np.where(inside, taken, -_NOWHERE).max(axis=1) + 1
    return np.stack([low, high])


def _pixels(f: Fields) -> tuple[_Ints, _Ints]:
    """First input pixel of each output's window and one above the last; far off where none is."""
    rows = _axis(f.out_h, f.k_h, f.stride_h, f.dil_h, f.pad_t, f.in_h)
    columns = _axis(f.out_w, f.k_w, f.stride_w, f.dil_w, f.pad_l, f.in_w)
    reads = (rows[0] < rows[1])[:, None] & (columns[0] < columns[1])[None, :]
    low = np.where(reads, rows[0][:, None] * f.in_w + columns[0], _NOWHERE)
    high = np.where(reads, (rows[1][:, None] - 1) * f.in_w + columns[1], -_NOWHERE)
    return low.ravel(), high.ravel()


def _conv2d(f: Fields, reverse: bool) -> Steps:
    low, high = _pixels(f)
    pixels = len(low)
    ends = [*range(_GROUP, pixels - 1, _GROUP), pixels]
    if pixels % _GROUP == 1 and pixels > 1:  # the last four are two groups
        ends.insert(-1, pixels - 2)
    stops = np.array(ends, dtype=np.int64)
    starts = np.concatenate([[0], stops[:-1]])
    if reverse:
        starts, stops = pixels - stops, pixels - starts
    # The pixels of a group; one of two repeats its first here, which changes nothing.
    group = starts[:, None] + np.arange(_GROUP)
    group = np.where(group < stops[:, None], group, starts[:, None])
    return Steps(
        low[group].min(axis=1) * f.in_c,
        high[group].max(axis=1) * f.in_c,
        starts * f.out_c,
        stops * f.out_c,
    )


def _dwconv2d(f: Fields, lone: bool, reverse: bool) -> Steps:
    """`lone`: a step only meets those of its own channels, so that one block stands for all."""
    height, tile = (2 if f.stride_h == f.stride_w == 1 else 1), tile_of(f)
    order = -1 if reverse else 1
    rows = [(top, min(top + height, f.out_h)) for top in range(0, f.out_h, height)][::order]
    tiles = [(left, min(left + tile, f.out_w)) for left in range(0, f.out_w, tile)][::order]
    blocks = list(range(0, f.in_c - _BLOCK + 1, _BLOCK))
    if f.in_c % _BLOCK:
        blocks.append(f.in_c - _BLOCK)
    width = f.in_c if lone else _BLOCK
    channel = np.array([0] if lone else blocks, dtype=np.int64)
    low, high = _pixels(f)
    low, high = low.reshape(f.out_h, f.out_w), high.reshape(f.out_h, f.out_w)
    table = []
    for top, bottom in rows:
        for left, right in tiles:
            table.append((
                low[top:bottom, left:right].min() * f.in_c + channel,
                (high[top:bottom, left:right].max() - 1) * f.in_c + channel + width,
                (top * f.out_w + left) * f.out_c + channel,
                ((bottom - 1) * f.out_w + right - 1) * f.out_c + channel + width,
            ))  # fmt: skip
    return Steps(*(np.concatenate(column) for column in zip(*table, strict=True)))


def _linear(op: Op) -> Steps:
    """Where two quads of outputs follow each other in a row, the second reads the later taps again."""
    f = op.fields
    places, wide = places_of(op), wide_of(f.in_c)
    quads = len(places)
    row = np.repeat(np.arange(f.out_h, dtype=np.int64), quads)
    again = np.tile(np.arange(quads) > 0, f.out_h)
    low = row * f.in_c + np.where(again, wide, 0)
    if wide == f.in_c:  # nothing
        low = np.where(again, _NOWHERE, low)
    first = row * f.out_c + np.tile(places.min(axis=1), f.out_h)
    end = row * f.out_c + np.tile(places.max(axis=1) + 1, f.out_h)
    return Steps(low, np.where(low < _NOWHERE, (row + 1) * f.in_c, -_NOWHERE), first, end)


def _pool(f: Fields, block: int) -> int:
    low, high = _pixels(f)
    channel = np.arange(0, f.in_c, block, dtype=np.int64)
    at = np.arange(len(low), dtype=np.int64)[:, None] * f.out_c + channel
    steps = Steps(
        (low[:, None] * f.in_c + channel).ravel(),
        ((high[:, None] - 1) * f.in_c + channel + block).ravel(),
        at.ravel(),
        (at + block).ravel(),
    )
    return steps.forward(-(f.in_h * f.in_w * f.in_c + f.out_h * f.out_w * f.out_c))
