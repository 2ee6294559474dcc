"""The plain-C kernels against ExecuTorch's cortex_m Python reference ops, bit for bit.

Every example draws a shape, parameters and a seed; the data come from that seed. A failure prints
the example and the @reproduce_failure line that replays it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from engine_library import Engine
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_builder import Kind, op, single

# ops.operators registers torch.ops.cortex_m; it must be imported after the pass manager.
pytest.importorskip("executorch.backends.cortex_m.passes.cortex_m_pass_manager")
pytest.importorskip("executorch.backends.cortex_m.ops.operators")
from executorch.backends.cortex_m.passes.aten_to_cortex_m_pass import (
    _compute_softmax_params,
)

CORTEX_M = torch.ops.cortex_m
EMPTY = torch.empty(0, dtype=torch.uint8)

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 9)
zero_points = st.integers(-128, 127)
clamps = st.one_of(
    st.just((-128, 127)), st.tuples(zero_points, zero_points).map(lambda ab: (min(ab), max(ab)))
)


def int8(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Random bytes; for one seed in three only the extremes."""
    if rng.integers(3) == 0:
        return rng.choice(np.array([-128, 127], np.int8), shape)
    return rng.integers(-128, 128, shape, np.int8)


def scaling(rng: np.random.Generator, count: int, turns: int) -> tuple[np.ndarray, np.ndarray]:
    """Multipliers and shifts that spread sums of `turns` products over int8; rarely any at all."""
    mult = rng.integers(2**30, 2**31, count)
    if rng.integers(8) == 0:
        mult = rng.integers(-(2**31) + 1, 2**31, count)
    shift = rng.integers(-8, 1, count) - round(math.log2(turns + 1) / 2)
    if rng.integers(8) == 0:
        shift = rng.integers(-31, 31, count)
    return mult.astype(np.int32), shift.astype(np.int32)


def biases(rng: np.random.Generator, count: int) -> np.ndarray | None:
    choice = rng.integers(8)
    if choice == 0:
        return None
    limit = 2**31 if choice == 1 else 20000
    return rng.integers(-limit, limit, count).astype(np.int32)


def tiles(rng: np.random.Generator, rows: int) -> list[int]:
    """Ends of one to three row tiles."""
    return sorted({*rng.integers(1, rows + 1, rng.integers(0, 3)).tolist(), rows})


def nchw(nhwc: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(nhwc[None]).permute(0, 3, 1, 2)


def nhwc(result: torch.Tensor) -> np.ndarray:
    return result.permute(0, 2, 3, 1)[0].contiguous().numpy()


def tensor(array: np.ndarray | None) -> torch.Tensor | None:
    return None if array is None else torch.from_numpy(array)


def run_op(
    engine: Engine,
    fields: dict[str, Any],
    inputs: list[np.ndarray],
    expected: np.ndarray,
    **how: Any,
) -> None:
    """Runs one operator (maybe in row tiles, maybe in place) and compares its output."""
    plan = single(fields, [x.nbytes for x in inputs], expected.nbytes, **how)
    (data,) = engine.run(plan.image(), [x.tobytes() for x in inputs], plan.arena_bytes)
    np.testing.assert_array_equal(np.frombuffer(data, expected.dtype), expected.ravel())


def window_fields(
    x: np.ndarray,
    out: np.ndarray,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int] = (1, 1),
) -> dict[str, int]:
    names = (
        "in_h", "in_w", "in_c", "out_h", "out_w", "out_c", "k_h", "k_w", "stride_h", "stride_w",
        "pad_t", "pad_l", "dil_h", "dil_w",
    )  # fmt: skip
    values = (*x.shape, *out.shape, *kernel, *stride, *padding, *dilation)
    return dict(zip(names, values, strict=True))


def spread(weights: np.ndarray, dilation: tuple[int, int]) -> torch.Tensor:
    """The same dilated convolution without dilation: zeros between the taps of [.., KH, KW, ..].

    torch has no dilated convolution of int32 tensors, so the reference cannot be asked directly.
    """
    first, kh, kw, last = weights.shape
    dh, dw = dilation
    wide = np.zeros((first, dh * (kh - 1) + 1, dw * (kw - 1) + 1, last), np.int8)
    wide[:, ::dh, ::dw] = weights
    return torch.from_numpy(wide)


pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))
strides = st.tuples(st.integers(1, 3), st.integers(1, 3))
paddings = st.tuples(st.integers(0, 5), st.integers(0, 5))


@st.composite
def windows(draw: st.DrawFn) -> tuple[tuple[int, int], ...]:
    """(input, kernel, stride, padding, dilation), each (h, w), with at least one output."""
    size, kernel, stride = draw(st.tuples(sizes, sizes)), draw(pairs), draw(strides)
    padding, dilation = draw(paddings), draw(strides)
    missing = [
        max(0, d * (k - 1) + 1 - n - 2 * p)
        for n, k, p, d in zip(size, kernel, padding, dilation, strict=True)
    ]
    return (size[0] + missing[0], size[1] + missing[1]), kernel, stride, padding, dilation


@settings(max_examples=150)
@given(windows(), sizes, sizes, st.sampled_from([1, 1, 1, 2, 3]), zero_points, zero_points, clamps,
       seeds)  # fmt: skip
def test_conv2d_equals_the_reference(engine, window, in_c, out_c, groups, in_zp, out_zp, act, seed):
    size, kernel, stride, padding, dilation = window
    rng = np.random.default_rng(seed)
    in_c, out_c = in_c * groups, out_c * groups
    x, w = int8(rng, *size, in_c), int8(rng, out_c, *kernel, in_c // groups)
    mult, shift = scaling(rng, out_c, w[0].size)
    bias = biases(rng, out_c)
    expected = nhwc(
        CORTEX_M.quantized_conv2d(
            nchw(x), spread(w, dilation), tensor(bias), stride, padding, (1, 1), -in_zp, out_zp,
            tensor(mult), tensor(shift), *act, EMPTY,
        )
    )  # fmt: skip
    fields = op(
        Kind.CONV2D,
        **window_fields(x, expected, kernel, stride, padding, dilation),
        in0_add=-in_zp, out_add=out_zp, act_min=act[0], act_max=act[1],
        weights=w, bias=0 if bias is None else bias, mult=mult, shift=shift,
        param0=groups if groups > 1 else 0,
    )  # fmt: skip
    run_op(engine, fields, [x], expected, rows=tiles(rng, expected.shape[0]))


@settings(max_examples=150)
@given(windows(), sizes, st.integers(1, 6), zero_points, zero_points, clamps, seeds)
def test_dwconv2d_equals_the_reference(engine, window, in_c, multiplier, in_zp, out_zp, act, seed):
    size, kernel, stride, padding, dilation = window
    rng = np.random.default_rng(seed)
    out_c = in_c * multiplier
    x, w = int8(rng, *size, in_c), int8(rng, 1, *kernel, out_c)
    mult, shift = scaling(rng, out_c, kernel[0] * kernel[1])
    bias = biases(rng, out_c)
    expected = nhwc(
        CORTEX_M.quantized_depthwise_conv2d(
            nchw(x), spread(w, dilation), tensor(bias), stride, padding, (1, 1), multiplier,
            -in_zp, out_zp, tensor(mult), tensor(shift), *act, EMPTY,
        )
    )  # fmt: skip
    fields = op(
        Kind.DWCONV2D,
        **window_fields(x, expected, kernel, stride, padding, dilation),
        in0_add=-in_zp, out_add=out_zp, act_min=act[0], act_max=act[1],
        weights=w, bias=0 if bias is None else bias, mult=mult, shift=shift,
    )  # fmt: skip
    run_op(engine, fields, [x], expected, rows=tiles(rng, expected.shape[0]))


@settings(max_examples=150)
@given(st.integers(1, 4), st.integers(1, 70), st.integers(1, 20), zero_points, zero_points, clamps,
       seeds)  # fmt: skip
def test_linear_equals_the_reference(engine, rows, in_c, out_c, in_zp, out_zp, act, seed):
    rng = np.random.default_rng(seed)
    x, w = int8(rng, rows, in_c), int8(rng, out_c, in_c)
    mult, shift = scaling(rng, 1, in_c)
    bias = biases(rng, out_c)
    expected = CORTEX_M.quantized_linear(
        tensor(x), tensor(w), tensor(bias), None, -in_zp, 0, out_zp, mult.tolist(), shift.tolist(),
        act[1], act[0],
    ).numpy()  # fmt: skip
    fields = op(
        Kind.LINEAR, in_h=rows, in_c=in_c, out_h=rows, out_c=out_c, in0_add=-in_zp, out_add=out_zp,
        act_min=act[0], act_max=act[1], weights=w, bias=0 if bias is None else bias,
        mult0=int(mult[0]), shift0=int(shift[0]),
    )  # fmt: skip
    run_op(engine, fields, [x], expected, rows=tiles(rng, rows))


@settings(max_examples=150)
@given(sizes, sizes, sizes, st.tuples(zero_points, zero_points, zero_points), clamps,
       st.booleans(), st.booleans(), seeds)  # fmt: skip
def test_add_equals_the_reference(engine, h, w, c, zps, act, broadcast, in_place, seed):
    rng = np.random.default_rng(seed)
    a = int8(rng, h, w, c)
    b = int8(rng, *((1, 1) if broadcast else (h, w)), c)
    # Scales as the export writes them: inputs halved against the larger one, then 20 bits up.
    mult, shift = scaling(rng, 3, 1)
    shift[:2] = rng.integers(-7, 1, 2)
    shift[2] = rng.integers(-22, -14)
    if rng.integers(8) == 0:
        shift = rng.integers(-31, 31, 3).astype(np.int32)
    m, s = mult.tolist(), shift.tolist()
    expected = nhwc(
        CORTEX_M.quantized_add(
            nchw(a), zps[0], m[0], s[0], nchw(b), zps[1], m[1], s[1], zps[2], m[2], s[2], *act
        )
    )
    fields = op(
        Kind.ADD, in0_add=-zps[0], in1_add=-zps[1], out_add=zps[2], act_min=act[0], act_max=act[1],
        mult0=m[0], shift0=s[0], mult1=m[1], shift1=s[1], mult2=m[2], shift2=s[2], param0=20,
        count=a.size, in_c=c if broadcast else 0,
    )  # fmt: skip
    run_op(engine, fields, [a, b], expected, in_place=in_place)


@st.composite
def pools(draw: st.DrawFn) -> tuple[tuple[int, int], ...]:
    """(input, kernel, stride, padding); padding at most half the kernel, as torch demands."""
    size, kernel, stride = draw(st.tuples(sizes, sizes)), draw(pairs), draw(strides)
    padding = (draw(st.integers(0, kernel[0] // 2)), draw(st.integers(0, kernel[1] // 2)))
    short = [max(0, k - n - 2 * p) for n, k, p in zip(size, kernel, padding, strict=True)]
    return (size[0] + short[0], size[1] + short[1]), kernel, stride, padding


@settings(max_examples=100)
@given(pools(), sizes, zero_points, clamps, seeds)
def test_maxpool2d_equals_the_reference(engine, pool, channels, zp, act, seed):
    size, kernel, stride, padding = pool
    rng = np.random.default_rng(seed)
    x = int8(rng, *size, channels)
    expected = nhwc(
        CORTEX_M.quantized_max_pool2d(nchw(x), kernel, stride, padding, (1, 1), False, zp, zp, *act)
    )
    fields = op(
        Kind.MAXPOOL2D, **window_fields(x, expected, kernel, stride, padding),
        act_min=act[0], act_max=act[1],
    )  # fmt: skip
    run_op(engine, fields, [x], expected, rows=tiles(rng, expected.shape[0]))


@settings(max_examples=200)
@given(pools(), sizes, zero_points, st.integers(2**30, 2**31 - 1), st.integers(-12, 2),
       st.booleans(), seeds)  # fmt: skip
def test_avgpool2d_equals_the_reference(engine, pool, channels, zp, mult, shift, ceil_mode, seed):
    size, kernel, stride, padding = pool
    rng = np.random.default_rng(seed)
    x = int8(rng, *size, channels)
    expected = nhwc(
        CORTEX_M.quantized_avg_pool2d(
            nchw(x), kernel, stride, padding, ceil_mode, zp, mult, shift, EMPTY
        )
    )
    fields = op(
        Kind.AVGPOOL2D, **window_fields(x, expected, kernel, stride, padding),
        in0_add=-zp, out_add=zp, act_min=-128, act_max=127, scale=mult * 2.0**shift / 2**31,
    )  # fmt: skip
    run_op(engine, fields, [x], expected, rows=tiles(rng, expected.shape[0]))


@pytest.mark.parametrize("shape", [(25, 5, 64), (8, 8, 64), (16, 1, 3)])
def test_global_average_pool_equals_the_reference(engine, shape):
    rng = np.random.default_rng(7)
    for zp in (-128, -7, 127):
        x = int8(rng, *shape)
        mult, shift = int(rng.integers(2**30, 2**31)), -5
        expected = nhwc(
            CORTEX_M.quantized_avg_pool2d(
                nchw(x), shape[:2], (1, 1), (0, 0), False, zp, mult, shift, EMPTY
            )
        )
        fields = op(
            Kind.AVGPOOL2D, **window_fields(x, expected, shape[:2], (1, 1), (0, 0)),
            in0_add=-zp, out_add=zp, act_min=-128, act_max=127, scale=mult * 2.0**shift / 2**31,
        )  # fmt: skip
        run_op(engine, fields, [x], expected, rows=[1])


floats = st.floats(width=32)
scales = st.floats(2.0**-20, 2.0**12)


@settings(max_examples=150)
@given(st.lists(floats, min_size=1, max_size=40), scales, zero_points, clamps, st.booleans(), seeds)
def test_quantize_equals_the_reference(engine, values, scale, zp, act, in_place, seed):
    rng = np.random.default_rng(seed)
    ties = (rng.integers(-300, 300, 20) + 0.5) * scale
    x = np.concatenate([values, ties, rng.normal(0, 60 * scale, 40)]).astype(np.float32)
    expected = CORTEX_M.quantize_per_tensor(tensor(x), scale, zp, *act, torch.int8).numpy()
    fields = op(
        Kind.QUANTIZE, out_add=zp, act_min=act[0], act_max=act[1], scale=np.float32(1.0 / scale),
        count=x.size,
    )  # fmt: skip
    run_op(engine, fields, [x], expected, in_place=in_place)


@given(scales, zero_points)
def test_dequantize_equals_the_reference(engine, scale, zp):
    x = np.arange(-128, 128).astype(np.int8)
    expected = CORTEX_M.dequantize_per_tensor(tensor(x), scale, zp, -128, 127, torch.int8).numpy()
    fields = op(Kind.DEQUANTIZE, in0_add=-zp, scale=np.float32(scale), count=x.size)
    run_op(engine, fields, [x], expected)


@given(st.floats(2.0**-15, 1.0, width=32), st.floats(2.0**-12, 4.0, width=32), zero_points)
def test_quantize_i16_equals_the_reference_for_every_count(engine, lsb, scale, zp):
    counts = np.arange(-(2**15), 2**15).astype(np.int16)
    values = tensor(counts).float() * lsb
    expected = CORTEX_M.quantize_per_tensor(values, scale, zp, -128, 127, torch.int8).numpy()
    inv_scale = np.float32(1.0) / np.float32(scale)
    np.testing.assert_array_equal(
        engine.quantize_i16(counts, np.float32(lsb), inv_scale, zp), expected
    )


@given(sizes, sizes, clamps, st.booleans(), seeds)
def test_clamp_equals_the_reference(engine, h, w, act, in_place, seed):
    x = int8(np.random.default_rng(seed), h, w)
    expected = torch.clamp(tensor(x), *act).numpy()
    fields = op(Kind.CLAMP, act_min=act[0], act_max=act[1], count=x.size)
    run_op(engine, fields, [x], expected, in_place=in_place)


@settings(max_examples=200)
@given(st.integers(1, 4), st.integers(1, 600), st.floats(2.0**-9, 2.0), zero_points, st.booleans(),
       seeds)  # fmt: skip
def test_softmax_equals_the_reference(engine, rows, columns, scale, zp, in_place, seed):
    rng = np.random.default_rng(seed)
    x = int8(rng, rows, columns)
    mult, shift, diff_min = _compute_softmax_params(scale)
    expected = CORTEX_M.softmax(tensor(x), -1, zp, -128, mult, shift, diff_min).numpy()
    step = math.ldexp(mult / 2**31, shift) / 2**26
    table = np.exp(-np.arange(256) * step).astype(np.float32)
    fields = op(Kind.SOFTMAX, in_c=columns, out_add=-128, weights=table, count=x.size)
    plan = single(fields, [x.nbytes], x.nbytes, in_place=in_place)
    (data,) = engine.run(plan.image(), [x.tobytes()], plan.arena_bytes)
    got = np.frombuffer(data, np.int8).reshape(x.shape)
    # torch sums in another order and approximates exp(): where the exact result lies half-way
    # between two outputs the last bits decide. Anywhere else it must be the same byte.
    exact = np.exp(-(x.max(1, keepdims=True).astype(int) - x) * step)
    exact = 256 * exact / exact.sum(1, keepdims=True)
    half_way = np.abs(exact - np.floor(exact) - 0.5) < 2e-4
    np.testing.assert_array_equal(got[~half_way], expected[~half_way])
    assert np.abs(got.astype(int) - expected).max() <= 1


@given(sizes, sizes, st.booleans(), seeds)
def test_copy_and_lut_equal_the_reference(engine, h, w, in_place, seed):
    rng = np.random.default_rng(seed)
    x, table = int8(rng, h, w), int8(rng, 256)
    run_op(engine, op(Kind.COPY, count=x.size), [x], x, in_place=in_place)
    expected = CORTEX_M.quantized_activation(tensor(x), tensor(table)).numpy()
    run_op(engine, op(Kind.LUT, weights=table, count=x.size), [x], expected, in_place=in_place)


@given(sizes, sizes, sizes, paddings, paddings, zero_points, seeds)
def test_pad_equals_the_reference(engine, h, w, c, before, after, value, seed):
    rng = np.random.default_rng(seed)
    x = int8(rng, h, w, c)
    expected = CORTEX_M.pad(tensor(x), [0, *before, 0], [0, *after, 0], value).numpy()
    fields = op(
        Kind.PAD, in_h=h, in_w=w, in_c=c, out_h=expected.shape[0], out_w=expected.shape[1], out_c=c,
        pad_t=before[0], pad_l=before[1], param0=value,
    )  # fmt: skip
    run_op(engine, fields, [x], expected, rows=tiles(rng, expected.shape[0]))


@given(sizes, sizes, sizes, sizes, st.integers(-12, 12), st.integers(-12, 12), seeds)
def test_negative_pad_crops(engine, h, w, out_h, out_w, top, left, seed):
    rng = np.random.default_rng(seed)
    x = int8(rng, h, w, 2)
    canvas = np.full((48, 48, 2), 3, np.int8)  # output row 0, column 0 lies at (16, 16)
    canvas[16 + top : 16 + top + h, 16 + left : 16 + left + w] = x
    expected = canvas[16 : 16 + out_h, 16 : 16 + out_w].copy()
    fields = op(
        Kind.PAD, in_h=h, in_w=w, in_c=2, out_h=out_h, out_w=out_w, out_c=2, pad_t=top, pad_l=left,
        param0=3,
    )  # fmt: skip
    run_op(engine, fields, [x], expected, rows=tiles(rng, out_h))
