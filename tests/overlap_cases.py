"""Random ops for the tests of overlapping plans, with parameters that do not saturate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from host.compile.graph import Constants, Fields, Kind, Op
from host.compile.packing import pack_op

WINDOWED = (Kind.CONV2D, Kind.DWCONV2D, Kind.MAXPOOL2D, Kind.AVGPOOL2D)
STREAMED = (
    Kind.ADD, Kind.CLAMP, Kind.LUT, Kind.SOFTMAX, Kind.QUANTIZE, Kind.DEQUANTIZE, Kind.COPY,
)  # fmt: skip


def random_op(kind: Kind, rng: np.random.Generator, reverse: bool = False) -> Op:
    """An op of small random shape; `reverse` makes a depthwise op that may run in reverse."""

    def number(low: int, high: int) -> int:
        return int(rng.integers(low, high + 1))

    constants = Constants()
    if kind in WINDOWED:
        fields = _window(kind, number, reverse)
        constants = _weights(kind, fields, rng)
    elif kind == Kind.LINEAR:
        rows, n, m = number(1, 4), number(1, 24), number(1, 24)
        fields = Fields(
            in_h=rows, in_c=n, out_h=rows, out_c=m, row_end=rows, mult0=2**30 + 12345, shift0=-6
        )
        constants = Constants(weights=_int8(rng, n * m))
    elif kind == Kind.PAD:
        h, w, c = number(1, 5), number(1, 5), number(1, 4)
        oh, ow = number(1, 8), number(1, 8)
        fields = Fields(
            in_h=h, in_w=w, in_c=c, out_h=oh, out_w=ow, out_c=c, pad_t=number(-3, 3),
            pad_l=number(-3, 3), row_end=oh, param0=number(-128, 127),
        )  # fmt: skip
    else:
        columns = number(1, 9)
        count = columns * number(1, 5)
        fields = Fields(count=count, scale=0.5)
        if kind == Kind.ADD:
            half = {"mult0": 2**30, "mult1": 2**30, "mult2": 2**30, "shift2": -18, "param0": 20}
            fields = replace(fields, scale=0.0, in_c=columns if number(0, 1) else 0, **half)
        elif kind == Kind.SOFTMAX:
            table = np.exp(-np.arange(256) / 40).astype("<f4").tobytes()
            fields, constants = Fields(count=count, in_c=columns, out_add=-128), Constants(table)
        elif kind == Kind.LUT:
            constants = Constants(rng.permutation(256).astype(np.uint8).tobytes())
        if kind in (Kind.CLAMP, Kind.LUT, Kind.COPY):
            fields = Fields(count=count)
    if kind not in (Kind.DEQUANTIZE, Kind.COPY, Kind.LUT, Kind.PAD, Kind.SOFTMAX):
        fields = replace(fields, act_min=-128, act_max=127)
    inputs = ("in0", "in1") if kind == Kind.ADD else ("in0",)
    return Op(kind.name.lower(), kind, inputs, "out", fields=fields, constants=constants)


PACKED = (Kind.CONV2D, Kind.DWCONV2D, Kind.LINEAR, Kind.ADD, Kind.MAXPOOL2D, Kind.AVGPOOL2D)


def packed_op(kind: Kind, rng: np.random.Generator, channels: int = 0) -> Op:
    """A random op with the packed kernel of its kind; weights have no zeros, outputs rarely saturate.

    channels: of a depthwise op; 0 = any number.
    """
    while True:
        op = random_op(kind, rng)
        f = op.fields
        if kind == Kind.CONV2D:
            f = replace(f, param0=0)
        if kind in (Kind.MAXPOOL2D, Kind.AVGPOOL2D):
            f = replace(f, in_c=4 * f.in_c, out_c=4 * f.in_c)
        if kind == Kind.DWCONV2D:
            f = _three_by_three(rng, channels)
        constants = _weights(kind, f, rng) if kind in (Kind.CONV2D, Kind.DWCONV2D) else op.constants
        if kind == Kind.LINEAR and rng.integers(2):  # rows whose last taps are read again
            f = replace(f, in_c=int(rng.integers(129, 200)), shift0=-9)
            constants = Constants(weights=_int8(rng, f.in_c * f.out_c))
        if kind == Kind.ADD:
            f = replace(f, shift0=-1, shift1=-1)
        if constants.weights:
            weights = np.frombuffer(constants.weights, np.int8).copy()
            weights[weights == 0] = 1
            constants = replace(constants, weights=weights.tobytes())
        packed = pack_op(replace(op, fields=f, constants=constants))
        if packed.layout == 1:
            return packed


def _three_by_three(rng: np.random.Generator, channels: int) -> Fields:
    channels = channels or int(rng.integers(4, 14))
    (h, w, sh, sw, pt, pl), wide = (
        rng.integers([1, 1, 1, 1, 0, 0], [8, 8, 4, 4, 3, 3]),
        rng.integers(4),
    )
    if rng.integers(2):
        sh = sw = 1
    h, w = max(h, 3 - pt), max(w + 40 * (wide == 0), 3 - pl)
    below, right = rng.integers(0, 3, 2)
    oh, ow = (h + pt + below - 3) // sh + 1, (w + pl + right - 3) // sw + 1
    numbers = [h, w, channels, oh, ow, channels, 3, 3, sh, sw, 1, 1, pt, pl, 0, oh]
    return Fields(*map(int, numbers), act_min=-128, act_max=127)


def sizes(op: Op) -> tuple[list[int], int]:
    """Bytes of the inputs and of the output."""
    f = op.fields
    if op.kind in WINDOWED or op.kind == Kind.PAD:
        return [f.in_h * f.in_w * f.in_c], f.out_h * f.out_w * f.out_c
    if op.kind == Kind.LINEAR:
        return [f.in_h * f.in_c], f.out_h * f.out_c
    if op.kind == Kind.ADD:
        return [f.count, f.in_c or f.count], f.count
    wide_in, wide_out = op.kind == Kind.QUANTIZE, op.kind == Kind.DEQUANTIZE
    return [f.count * (4 if wide_in else 1)], f.count * (4 if wide_out else 1)


def _int8(rng: np.random.Generator, count: int) -> bytes:
    return rng.integers(-127, 128, count, np.int8).tobytes()


def _window(kind, number, reverse: bool) -> Fields:
    pool = kind in (Kind.MAXPOOL2D, Kind.AVGPOOL2D)
    groups = number(1, 3) if kind == Kind.CONV2D else 1
    in_c = number(1, 9 if kind == Kind.DWCONV2D else 4) * groups
    out_c = in_c
    if kind == Kind.CONV2D:
        out_c = number(1, 6) * groups
    elif kind == Kind.DWCONV2D and not reverse:
        out_c = in_c * number(1, 6)
    axes = []
    for _ in range(2):
        k, stride, dilation = number(1, 4), number(1, 3), 1 if pool else number(1, 2)
        pad = number(0, k // 2 if pool else k + 1)
        extent = number(max(1, dilation * (k - 1) + 1 - 2 * pad), 8)
        axes.append((extent, k, stride, dilation, pad))
    (h, kh, sh, dh, pt), (w, kw, sw, dw, pl) = axes
    oh = (h + 2 * pt - dh * (kh - 1) - 1) // sh + 1
    ow = (w + 2 * pl - dw * (kw - 1) - 1) // sw + 1
    return Fields(
        in_h=h, in_w=w, in_c=in_c, out_h=oh, out_w=ow, out_c=out_c, k_h=kh, k_w=kw, stride_h=sh,
        stride_w=sw, dil_h=dh, dil_w=dw, pad_t=pt, pad_l=pl, row_end=oh,
        param0=groups if groups > 1 else 0, scale=0.125 if kind == Kind.AVGPOOL2D else 0.0,
        flags=1 if reverse else 0,
    )  # fmt: skip


def _weights(kind: Kind, f: Fields, rng: np.random.Generator) -> Constants:
    if kind not in (Kind.CONV2D, Kind.DWCONV2D):
        return Constants()
    depth = f.in_c // max(f.param0, 1) if kind == Kind.CONV2D else 1
    return Constants(
        weights=_int8(rng, f.k_h * f.k_w * depth * f.out_c),
        mult=rng.integers(2**30, 2**31 - 1, f.out_c).astype("<i4").tobytes(),
        shift=np.full(f.out_c, -7, "<i4").tobytes(),
    )
