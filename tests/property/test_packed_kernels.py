"""Packed kernels against the plain-C kernels, bit for bit, over random shapes and extreme values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from engine_library import Engine
from hypothesis import given, settings
from hypothesis import strategies as st
from packed_ops import activation, conv, int8, linear, run, tiles

from host.compile.graph import Fields, Kind, Op
from host.compile.packing import pack_op

seeds = st.integers(0, 2**32 - 1)
small = st.integers(1, 7)
channels = st.one_of(st.integers(1, 9), st.sampled_from([4, 8, 12, 16, 20]))


@st.composite
def windows(draw: st.DrawFn) -> Fields:
    """Shapes of a window op with any kernel, stride, dilation and padding; at least one output."""
    axes = []
    for _ in "hw":
        size, taps, stride = draw(small), draw(st.integers(1, 5)), draw(st.integers(1, 3))
        dilation, pad = draw(st.sampled_from([1, 1, 2])), draw(st.integers(0, 3))
        after = draw(st.integers(0, 3))
        reach = dilation * (taps - 1) + 1
        size += max(0, reach - size - pad - after)
        axes.append((size, taps, stride, dilation, pad, (size + pad + after - reach) // stride + 1))
    (in_h, k_h, sh, dh, pt, out_h), (in_w, k_w, sw, dw, pl, out_w) = axes
    return Fields(
        in_h=in_h, in_w=in_w, in_c=draw(channels), out_h=out_h, out_w=out_w, out_c=draw(channels),
        k_h=k_h, k_w=k_w, stride_h=sh, stride_w=sw, dil_h=dh, dil_w=dw, pad_t=pt, pad_l=pl,
        row_end=out_h,
    )  # fmt: skip


@settings(max_examples=600, deadline=None)
@given(windows(), seeds)
def test_conv2d(engine: Engine, fields: Fields, seed: int) -> None:
    rng = np.random.default_rng(seed)
    plain = conv(rng, fields)
    packed = pack_op(plain)
    assert packed.layout == 1, packed.kernel
    f = packed.fields
    x, size = int8(rng, f.in_h, f.in_w, f.in_c), f.out_h * f.out_w * f.out_c
    want = run(engine, plain, [x], size)
    np.testing.assert_array_equal(run(engine, packed, [x], size, tiles(rng, f.out_h)), want)
    mirrored = replace(packed, fields=replace(packed.fields, flags=1))
    np.testing.assert_array_equal(run(engine, mirrored, [x], size, tiles(rng, f.out_h)), want)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 4), st.integers(1, 70) | st.integers(120, 420), st.integers(1, 20), seeds)
def test_linear(engine: Engine, rows: int, in_c: int, out_c: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    plain = linear(rng, rows, in_c, out_c)
    packed = pack_op(plain)
    assert packed.layout == 1, packed.kernel
    x, size = int8(rng, rows, in_c), rows * out_c
    want = run(engine, plain, [x], size)
    np.testing.assert_array_equal(run(engine, packed, [x], size, tiles(rng, rows)), want)


@st.composite
def depthwise(draw: st.DrawFn) -> Fields:
    """A 3x3 depthwise convolution of any stride and padding, or a stem of one input channel."""
    f = draw(windows())
    stem = draw(st.booleans())
    axes = []
    for _ in "hw":
        size, stride = draw(st.integers(1, 80)), draw(st.integers(1, 3))
        before, after = draw(st.integers(0, 3)), draw(st.integers(0, 3))
        size += max(0, 3 - size - before - after)
        axes.append((size, stride, before, (size + before + after - 3) // stride + 1))
    if stem:
        return replace(f, in_c=1)
    (in_h, sh, pt, out_h), (in_w, sw, pl, out_w) = axes
    in_h, out_h = min(in_h, 9), min(out_h, max(1, (min(in_h, 9) + pt - 3) // sh + 1))
    count = draw(st.integers(4, 13))
    return Fields(
        in_h=in_h, in_w=in_w, in_c=count, out_h=out_h, out_w=out_w, out_c=count, k_h=3, k_w=3,
        stride_h=sh, stride_w=sw, dil_h=1, dil_w=1, pad_t=pt, pad_l=pl, row_end=out_h,
    )  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(depthwise(), seeds)
def test_dwconv2d(engine: Engine, fields: Fields, seed: int) -> None:
    rng = np.random.default_rng(seed)
    plain = conv(rng, fields, Kind.DWCONV2D)
    packed = pack_op(plain)
    assert packed.layout == 1, packed.kernel
    f = packed.fields
    x, size = int8(rng, f.in_h, f.in_w, f.in_c), f.out_h * f.out_w * f.out_c
    want = run(engine, plain, [x], size)
    np.testing.assert_array_equal(run(engine, packed, [x], size, tiles(rng, f.out_h)), want)
    mirrored = replace(packed, fields=replace(packed.fields, flags=1))
    np.testing.assert_array_equal(run(engine, mirrored, [x], size, tiles(rng, f.out_h)), want)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 9), st.integers(1, 40), st.booleans(), seeds)
def test_add(engine: Engine, rows: int, columns: int, broadcast: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mult = rng.integers(2**30, 2**31, 3)
    shift = np.array([*-rng.integers(1, 8, 2), -rng.integers(15, 22)])
    if rng.integers(4) == 0:
        mult = rng.choice(np.array([0, 1, 2**30, 2**31 - 1]), 3)
        shift = np.array([*-rng.integers(1, 31, 2), -rng.integers(1, 22)])
    for side in range(2):
        if rng.integers(3) == 0:
            mult[side], shift[side] = 2**30, 0
    (m0, m1, m2), (s0, s1, s2) = mult.tolist(), shift.tolist()
    fields = Fields(
        in_c=columns if broadcast else 0, mult0=m0, shift0=s0, mult1=m1, shift1=s1, mult2=m2,
        shift2=s2, in1_add=int(rng.integers(-127, 129)), param0=20, count=rows * columns,
        **activation(rng),
    )  # fmt: skip
    plain = Op("op", Kind.ADD, ("a", "b"), "y", fields=fields)
    packed = pack_op(plain)
    assert packed.layout == 1, packed.kernel
    inputs = [int8(rng, rows, columns), int8(rng, 1 if broadcast else rows, columns)]
    want = run(engine, plain, inputs, rows * columns)
    np.testing.assert_array_equal(run(engine, packed, inputs, rows * columns), want)
    for over in ("a",) if broadcast else ("a", "b"):
        got = run(engine, packed, inputs, rows * columns, over=over)
        np.testing.assert_array_equal(got, want)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([Kind.AVGPOOL2D, Kind.MAXPOOL2D]), windows(), st.integers(1, 4), st.booleans(),
    seeds,
)  # fmt: skip
def test_pool(
    engine: Engine, kind: Kind, window: Fields, quads: int, whole: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    in_h, in_w = (int(rng.integers(1, 14)), int(rng.integers(1, 14))) if whole else (9, 9)
    k_h, k_w = (in_h, in_w) if whole else (window.k_h, window.k_w)
    f = Fields(
        in_h=in_h, in_w=in_w, in_c=4 * quads, out_c=4 * quads, k_h=k_h, k_w=k_w,
        stride_h=window.stride_h, stride_w=window.stride_w, dil_h=1, dil_w=1,
        out_h=(in_h - k_h) // window.stride_h + 1, out_w=(in_w - k_w) // window.stride_w + 1,
        row_end=(in_h - k_h) // window.stride_h + 1,
        **activation(rng),
    )  # fmt: skip
    if kind is Kind.AVGPOOL2D:
        f = replace(f, scale=float(np.float32(rng.uniform(1e-4, 2))))
    else:
        f = replace(f, in0_add=0, out_add=0)
    plain = Op("op", kind, ("x",), "y", fields=f)
    packed = pack_op(plain)
    assert packed.layout == 1, packed.kernel
    x, size = int8(rng, in_h, in_w, f.in_c), f.out_h * f.out_w * f.out_c
    if rng.integers(2):  # a narrow range makes many means lie half-way
        x = (x & 3).astype(np.int8)
    want = run(engine, plain, [x], size)
    np.testing.assert_array_equal(run(engine, packed, [x], size, tiles(rng, f.out_h)), want)
