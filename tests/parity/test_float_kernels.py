"""The float32 kernels against numpy in double precision: the rounding of float32 sums is the only gap."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from engine_library import Engine
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_builder import Kind, op, single

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 9)
steps = st.tuples(st.integers(1, 3), st.integers(1, 3))
pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))


def floats(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(0, 3, shape).astype(np.float32)


def run(
    engine: Engine, fields: dict, inputs: list[np.ndarray], expected: np.ndarray, tolerance: float
) -> None:
    rows = [fields["out_h"]] if "out_h" in fields else None
    if rows and rows[0] > 1:
        rows.insert(0, 1)
    plan = single(fields, [x.nbytes for x in inputs], 4 * expected.size, rows=rows)
    (data,) = engine.run(plan.image(), [x.tobytes() for x in inputs], plan.arena_bytes)
    got = np.frombuffer(data, np.float32).reshape(expected.shape)
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


@given(sizes, sizes, st.integers(0, 3), st.booleans(), seeds)
def test_binary_is_exact(engine, rows, columns, code, repeats, seed):
    rng = np.random.default_rng(seed)
    a, b = floats(rng, rows, columns), floats(rng, *([columns] if repeats else [rows, columns]))
    scale = np.float32(rng.choice([1.0, 0.5, 3.0])) if code < 2 else np.float32(1)
    scaled = scale * b
    expected = [a + scaled, a - scaled, a * b, a / b][code]
    fields = op(
        Kind.F32_BINARY, in_c=columns if repeats else 0, param0=code, scale=scale, count=a.size
    )
    run(engine, fields, [a, b], expected, 0)


@pytest.mark.parametrize(
    ("code", "function"),
    [(0, lambda x: 1 / (1 + np.exp(-x))), (1, np.tanh)],
    ids=["sigmoid", "tanh"],
)
def test_sigmoid_and_tanh_are_within_two_units_in_the_last_place(engine, code, function):
    x = np.concatenate(
        [np.linspace(-100, 100, 20001), np.linspace(-1, 1, 20001), [0.625, -0.625]]
    ).astype(np.float32)
    fields = op(Kind.F32_UNARY, param0=code, count=x.size)
    plan = single(fields, [x.nbytes], x.nbytes)
    (data,) = engine.run(plan.image(), [x.tobytes()], plan.arena_bytes)
    got, exact = np.frombuffer(data, np.float32), function(x.astype(np.float64))
    normal = exact > 1e-37 if code == 0 else np.abs(x) > 1e-37
    units = np.abs(got - exact) / np.spacing(np.abs(exact).astype(np.float32))
    assert units[normal].max() <= 4
    assert np.abs(got - exact)[~normal].max(initial=0) < 1e-37


def test_clamp_keeps_nan(engine):
    x = np.array([-9, -1, 0, 2, 9, np.nan, np.inf, -np.inf], np.float32)
    bounds = np.array([-1.5, 2.5], np.float32)
    fields = op(Kind.F32_CLAMP, weights=bounds, count=x.size)
    run(engine, fields, [x], np.clip(x, *bounds), 0)


@settings(max_examples=150)
@given(st.tuples(sizes, sizes), st.tuples(sizes, sizes), st.integers(1, 3), pairs, steps, steps,
       pairs, st.booleans(), seeds)  # fmt: skip
def test_convolutions_equal_torch(
    engine, size, channels, groups, kernel, stride, dilation, padding, transposed, seed
):
    rng = np.random.default_rng(seed)
    in_c, out_c = (count * groups for count in channels)
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    if transposed:
        spare = [(n - 1) * s + r for n, s, r in zip(size, stride, reach, strict=True)]
        padding = tuple(min(p, (left - 1) // 2) for p, left in zip(padding, spare, strict=True))
    else:
        size = tuple(max(n, r) for n, r in zip(size, reach, strict=True))
    x, w, bias = (
        floats(rng, *size, in_c), floats(rng, out_c, *kernel, in_c // groups), floats(rng, out_c)
    )  # fmt: skip
    given_x = torch.from_numpy(x[None]).permute(0, 3, 1, 2).double()
    weight = torch.from_numpy(w).permute(0, 3, 1, 2).double()
    options = {
        "bias": torch.from_numpy(bias).double(), "stride": stride, "padding": padding,
        "dilation": dilation, "groups": groups,
    }  # fmt: skip
    if transposed:
        split = weight.reshape(groups, out_c // groups, in_c // groups, *kernel)
        weight = split.transpose(1, 2).reshape(in_c, out_c // groups, *kernel)
        result = torch.nn.functional.conv_transpose2d(given_x, weight, **options)
    else:
        result = torch.nn.functional.conv2d(given_x, weight, **options)
    expected = result.permute(0, 2, 3, 1)[0].numpy()
    fields = op(
        Kind.F32_TCONV2D if transposed else Kind.F32_CONV2D, in_h=size[0], in_w=size[1], in_c=in_c,
        out_h=expected.shape[0], out_w=expected.shape[1], out_c=out_c, k_h=kernel[0],
        k_w=kernel[1], stride_h=stride[0], stride_w=stride[1], dil_h=dilation[0],
        dil_w=dilation[1], pad_t=padding[0], pad_l=padding[1], weights=w, bias=bias,
        param0=groups if groups > 1 else 0,
    )  # fmt: skip
    run(engine, fields, [x], expected, 1e-4)


@given(sizes, sizes, sizes, seeds)
def test_matmul_mean_and_softmax_equal_numpy(engine, rows, inner, columns, seed):
    rng = np.random.default_rng(seed)
    a, b = floats(rng, rows, inner), floats(rng, columns, inner)
    fields = op(Kind.F32_MATMUL, in_h=rows, in_c=inner, out_h=rows, out_c=columns)
    run(engine, fields, [a, b], a.astype(float) @ b.astype(float).T, 1e-4)
    mean = op(Kind.F32_MEAN, in_c=inner, scale=np.float32(inner), count=a.size)
    run(engine, mean, [a], a.astype(float).mean(1), 1e-5)
    powers = np.exp(a.astype(float) - a.max(1, keepdims=True))
    softmax = op(Kind.F32_SOFTMAX, in_c=inner, count=a.size)
    run(engine, softmax, [a], powers / powers.sum(1, keepdims=True), 1e-6)
