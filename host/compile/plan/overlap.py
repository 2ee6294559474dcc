"""How far an output may lie inside a dying input: distances that the kernels certify.

A kernel works in steps; all reads of a step end before its first write, and no byte is read again
after the last step that needs it. So input and output may share bytes as long as no write comes
before the last read of its byte:

  forward  in - out >= forward bytes: the writes follow the reads upwards;
  reverse  out - in >= reverse bytes: the mirror image, for kernels that can run last pixel first.

forward = max over steps k >= 1 of (first byte that k writes) - (lowest byte that k reads), reverse
likewise from the other end. Single-op overlap as in Blacker, Bridges & Hadfield, "Diagonal memory
optimisation" (2020); the loop orders are those of device/engine/kernel_*.c, layout 0 (layout 1:
overlap_packed.py), and a
distance is only as good as the tests that run these kernels at exactly that distance and one byte
closer (tests/parity/test_overlap.py).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from host.compile.graph import Fields, Kind, Op
from host.compile.plan.overlap_packed import packed_distances

REVERSE = 1  # bit 0 of tac_op_t.flags
_BLOCK = 4  # output channels a step of conv2d, dwconv2d and linear
_FLOAT = 4

_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Distance:
    """Certified distances of one input, bytes; None where that order is not certified."""

    forward: int | None
    reverse: int | None = None


def certified(op: Op, alignment: int = 1) -> tuple[Distance, ...]:
    """The distances of each input of an op; they hold for multiples of `alignment`."""
    f = op.fields
    if op.batch != 1 or op.parts:
        return tuple(Distance(None) for _ in op.inputs)
    if op.layout != 0 and op.kind != Kind.ADD:  # packed kernels step otherwise
        return (Distance(*packed_distances(op, alignment)),)
    match op.kind:
        case Kind.CONV2D:
            return (Distance(_conv2d(f)),)
        case Kind.DWCONV2D:
            return (_dwconv2d(f),)
        case Kind.MAXPOOL2D | Kind.AVGPOOL2D:
            return (Distance(_each_channel(f, f.in_c > 1)),)
        case Kind.LINEAR:
            return (Distance(_linear(f)),)
        case Kind.ADD:
            again = f.count - (f.in_c or f.count)  # where a repeated operand is read last
            each = Distance(_stream(f.count, 1, 1))
            return each, Distance(again) if again else each
        case Kind.CLAMP | Kind.LUT | Kind.SOFTMAX:
            return (Distance(_stream(f.count, 1, 1)),)
        case Kind.QUANTIZE:
            return (Distance(_stream(f.count, _FLOAT, 1)),)
        case Kind.DEQUANTIZE:
            return (Distance(_stream(f.count, 1, _FLOAT)),)
        case Kind.COPY:
            return (Distance(_anywhere(f.count, f.count)),)
        case Kind.PAD:
            return (Distance(_pad(f)),)
        case _:
            return tuple(Distance(None) for _ in op.inputs)


def _anywhere(in_bytes: int, out_bytes: int) -> int:
    """Every distance is safe: all reads come first."""
    return -(in_bytes + out_bytes)


def _stream(count: int, in_bytes: int, out_bytes: int) -> int:
    """Element k is read, then written."""
    if count == 1:
        return _anywhere(in_bytes, out_bytes)
    last = count - 1 if out_bytes > in_bytes else 1
    return last * (out_bytes - in_bytes)


def _last_block(channels: int) -> int:
    """First channel of the last step of a pixel: blocks of four, then the rest one by one."""
    return channels - 1 if channels % _BLOCK else channels - _BLOCK


def _blocks(channels: int) -> int:
    return channels // _BLOCK + channels % _BLOCK


def _axis(
    outputs: int, taps: int, stride: int, dilation: int, pad: int, inputs: int
) -> tuple[_Ints, _Ints]:
    """Lowest and highest input coordinate of each output's window; low > high where none is."""
    origin = np.arange(outputs, dtype=np.int64) * stride - pad
    first = np.maximum(0, -(origin // dilation))  # ceil(-origin / dilation)
    last = np.minimum(taps - 1, (inputs - 1 - origin) // dilation)
    low, high = origin + first * dilation, origin + last * dilation
    return np.where(first <= last, low, 1), np.where(first <= last, high, 0)


def _windows(f: Fields) -> tuple[_Ints, _Ints, _Ints]:
    """(pixel, lowest input pixel, highest input pixel) of all windows that touch the input."""
    top, bottom = _axis(f.out_h, f.k_h, f.stride_h, f.dil_h, f.pad_t, f.in_h)
    left, right = _axis(f.out_w, f.k_w, f.stride_w, f.dil_w, f.pad_l, f.in_w)
    touches = ((top <= bottom)[:, None] & (left <= right)[None, :]).ravel()
    low = (top[:, None] * f.in_w + left[None, :]).ravel()
    high = (bottom[:, None] * f.in_w + right[None, :]).ravel()
    pixel = np.arange(f.out_h * f.out_w, dtype=np.int64)
    return pixel[touches], low[touches], high[touches]


def _worst(starts: _Ints, lows: _Ints, f: Fields) -> int:
    """The forward distance, given each step's first written and lowest read byte."""
    later = starts > 0
    if not later.any():
        return _anywhere(f.in_h * f.in_w * f.in_c, f.out_h * f.out_w * f.out_c)
    return int((starts - lows)[later].max())


def _conv2d(f: Fields) -> int:
    # A pixel's window is read again for each block; a group reads only its own channels. Start and
    # low are linear in the group, so its ends decide; 1 stands for 0 where that one writes first.
    pixel, low, _ = _windows(f)
    groups = max(f.param0, 1)
    group_in, group_out = f.in_c // groups, f.out_c // groups
    worst = []
    for group in {0, min(1, groups - 1), groups - 1}:
        start = pixel * f.out_c + group * group_out + _last_block(group_out)
        worst.append(_worst(start, low * f.in_c + group * group_in, f))
    return max(worst)


def _dwconv2d(f: Fields) -> Distance:
    multiplier = f.out_c // f.in_c
    if multiplier == 1:
        blocks = _blocks(f.in_c)
        return Distance(_each_channel(f, blocks > 1), _each_channel_reverse(f, blocks > 1))
    pixel, low, _ = _windows(f)
    worst = []
    for channel in {0, min(1, f.in_c - 1), f.in_c - 1}:
        start = pixel * f.out_c + channel * multiplier + _last_block(multiplier)
        worst.append(_worst(start, low * f.in_c + channel, f))
    return Distance(max(worst))


def _each_channel(f: Fields, several: bool) -> int:
    """Channels of a pixel in steps that read and write the same channels; `several` of them."""
    pixel, low, _ = _windows(f)
    counted = pixel >= (0 if several else 1)
    if not counted.any():
        return _anywhere(f.in_h * f.in_w * f.in_c, f.out_h * f.out_w * f.out_c)
    return int((pixel - low)[counted].max()) * f.in_c


def _each_channel_reverse(f: Fields, several: bool) -> int:
    pixel, _, high = _windows(f)
    counted = pixel < f.out_h * f.out_w - (0 if several else 1)
    if not counted.any():
        return _anywhere(f.in_h * f.in_w * f.in_c, f.out_h * f.out_w * f.out_c)
    return int((high - pixel)[counted].max()) * f.in_c


def _linear(f: Fields) -> int:
    rows = np.arange(f.out_h, dtype=np.int64)
    starts = rows * f.out_c + _last_block(f.out_c)
    if f.out_h * f.out_c <= 1 or not (starts > 0).any():
        return _anywhere(f.in_h * f.in_c, f.out_h * f.out_c)
    return int((starts - rows * f.in_c)[starts > 0].max())


def _pad(f: Fields) -> int:
    first = min(max(f.pad_l, 0), f.out_w)
    last = min(max(f.pad_l + f.in_w, first), f.out_w)
    rows = np.arange(f.out_h, dtype=np.int64)
    source = rows - f.pad_t
    inside = (source >= 0) & (source < f.in_h)
    starts = (rows * f.out_w + first) * f.in_c
    lows = (source * f.in_w + first - f.pad_l) * f.in_c
    counted = inside & (starts > 0)
    if last == first or not counted.any():
        return _anywhere(f.in_h * f.in_w * f.in_c, f.out_h * f.out_w * f.out_c)
    return int((starts - lows)[counted].max())
