"""Kernels of products, comparisons, transposed convolutions and copies against the reference ops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from engine_library import Engine
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_builder import Kind, op, single

pytest.importorskip("executorch.backends.cortex_m.passes.cortex_m_pass_manager")
pytest.importorskip("executorch.backends.cortex_m.ops.operators")
from host.compile.strides import Walk, element_strides, read_positions, rearranged, same_memory

CORTEX_M = torch.ops.cortex_m
EMPTY = torch.empty(0, dtype=torch.uint8)

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 9)
zero_points = st.integers(-128, 127)
FULL = {"act_min": -128, "act_max": 127}


def int8(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Random bytes; for one seed in three only the extremes."""
    if rng.integers(3) == 0:
        return rng.choice(np.array([-128, 127], np.int8), shape)
    return rng.integers(-128, 128, shape, np.int8)


def scaling(rng: np.random.Generator, turns: int) -> tuple[int, int]:
    """A multiplier and a shift that spread a sum of products over int8; rarely any at all."""
    if rng.integers(8) == 0:
        return int(rng.integers(-(2**31) + 1, 2**31)), int(rng.integers(-31, 31))
    shift = int(rng.integers(-8, 1)) - round(math.log2(turns + 1) / 2)
    return int(rng.integers(2**30, 2**31)), shift


def run(
    engine: Engine,
    fields: dict,
    inputs: list[np.ndarray],
    expected: np.ndarray,
    in_place: bool = False,
    rows: list[int] | None = None,
) -> None:
    plan = single(fields, [x.nbytes for x in inputs], expected.nbytes, in_place=in_place, rows=rows)
    (data,) = engine.run(plan.image(), [x.tobytes() for x in inputs], plan.arena_bytes)
    np.testing.assert_array_equal(np.frombuffer(data, expected.dtype), expected.ravel())


def operands(rng: np.random.Generator, rows: int, columns: int, repeats: bool) -> list[np.ndarray]:
    return [int8(rng, rows, columns), int8(rng, *([columns] if repeats else [rows, columns]))]


def as_channels(array: np.ndarray) -> torch.Tensor:
    """[rows, columns] as a channels-last map [1, columns, rows, 1]; [columns] as its channels."""
    rows = array.reshape(-1, array.shape[-1])
    return torch.from_numpy(rows.copy())[None, :, None, :].permute(0, 3, 1, 2)


def as_rows(result: torch.Tensor) -> np.ndarray:
    return result.permute(0, 2, 3, 1).contiguous().numpy()


@settings(max_examples=150)
@given(sizes, sizes, zero_points, st.integers(-300, 300), zero_points, st.booleans(),
       st.booleans(), seeds)  # fmt: skip
def test_mul_equals_the_reference(engine, rows, columns, zp0, zp1, zp, repeats, in_place, seed):
    rng = np.random.default_rng(seed)
    a, b = operands(rng, rows, columns, repeats)
    mult, shift = scaling(rng, 1)
    expected = as_rows(
        CORTEX_M.quantized_mul(as_channels(a), zp0, as_channels(b), zp1, zp, mult, shift)
    )
    fields = op(
        Kind.MUL, in_c=columns if repeats else 0, in0_add=-zp0, in1_add=-zp1, out_add=zp,
        mult0=mult, shift0=shift, count=a.size, **FULL,
    )  # fmt: skip
    run(engine, fields, [a, b], expected, in_place)


@settings(max_examples=150)
@given(sizes, sizes, zero_points, zero_points, zero_points, st.floats(2.0**-10, 2.0**8, width=32),
       st.booleans(), seeds)  # fmt: skip
def test_div_equals_the_reference(engine, rows, columns, zp0, zp1, zp, scale, in_place, seed):
    rng = np.random.default_rng(seed)
    a, b = operands(rng, rows, columns, False)
    b[0, 0] = zp1  # a division by zero
    expected = CORTEX_M.quantized_div(
        torch.from_numpy(a), zp0, torch.from_numpy(b), zp1, zp, scale
    ).numpy()
    fields = op(
        Kind.DIV, in0_add=-zp0, in1_add=-zp1, out_add=zp, scale=np.float32(scale), count=a.size,
        **FULL,
    )  # fmt: skip
    run(engine, fields, [a, b], expected, in_place)


@given(sizes, sizes, st.sampled_from(["minimum", "maximum"]), st.booleans(), st.booleans(), seeds)
def test_minimum_and_maximum_equal_the_reference(
    engine, rows, columns, name, repeats, in_place, seed
):
    a, b = operands(np.random.default_rng(seed), rows, columns, repeats)
    expected = getattr(CORTEX_M, name)(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    fields = op(Kind[name.upper()], in_c=columns if repeats else 0, count=a.size)
    run(engine, fields, [a, b], expected, in_place)


@settings(max_examples=150)
@given(sizes, st.integers(1, 70), sizes, zero_points, zero_points, zero_points, seeds)
def test_matmul_equals_the_reference(engine, rows, inner, columns, zp0, zp1, zp, seed):
    rng = np.random.default_rng(seed)
    a, b = int8(rng, rows, inner), int8(rng, columns, inner)
    mult, shift = scaling(rng, inner)
    expected = CORTEX_M.quantized_batch_matmul(
        torch.from_numpy(a[None]), -zp0, torch.from_numpy(b[None]), -zp1, zp, mult, shift, EMPTY
    ).numpy()
    fields = op(
        Kind.MATMUL, in_h=rows, in_c=inner, out_h=rows, out_c=columns, in0_add=-zp0, in1_add=-zp1,
        out_add=zp, mult0=mult, shift0=shift, **FULL,
    )  # fmt: skip
    tiles = sorted({int(rng.integers(1, rows + 1)), rows})
    run(engine, fields, [a, b], expected, rows=tiles)


pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))
steps = st.tuples(st.integers(1, 3), st.integers(1, 3))


@settings(max_examples=150)
@given(st.tuples(sizes, sizes), sizes, sizes, pairs, steps, steps, pairs, zero_points, zero_points,
       seeds)  # fmt: skip
def test_tconv2d_equals_the_reference(
    engine, size, in_c, out_c, kernel, stride, dilation, padding, zp0, zp, seed
):
    rng = np.random.default_rng(seed)
    reach = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    spare = [(n - 1) * s + r for n, s, r in zip(size, stride, reach, strict=True)]
    padding = [min(p, left // 2) for p, left in zip(padding, spare, strict=True)]
    extra = [int(rng.integers(max(s, d))) for s, d in zip(stride, dilation, strict=True)]
    x, w = int8(rng, *size, in_c), int8(rng, out_c, *kernel, in_c)
    bias = rng.integers(-20000, 20000, out_c).astype(np.int32) if rng.integers(4) else None
    turns = in_c * kernel[0] * kernel[1]
    scalings = [scaling(rng, turns) for _ in range(out_c)]
    mult, shift = (np.array(values, np.int32) for values in zip(*scalings, strict=True))
    low, high = sorted(int(v) for v in rng.integers(-128, 128, 2))
    expected = as_rows(
        CORTEX_M.quantized_transpose_conv2d(
            torch.from_numpy(x[None]).permute(0, 3, 1, 2), torch.from_numpy(w),
            None if bias is None else torch.from_numpy(bias), stride, padding, extra, dilation,
            -zp0, zp, torch.from_numpy(mult), torch.from_numpy(shift), low, high, EMPTY, EMPTY,
        )
    )  # fmt: skip
    out_h, out_w = expected.shape[1:3]
    fields = op(
        Kind.TCONV2D, in_h=size[0], in_w=size[1], in_c=in_c, out_h=out_h, out_w=out_w, out_c=out_c,
        k_h=kernel[0], k_w=kernel[1], stride_h=stride[0], stride_w=stride[1], dil_h=dilation[0],
        dil_w=dilation[1], pad_t=padding[0], pad_l=padding[1], in0_add=-zp0, out_add=zp,
        act_min=low, act_max=high, weights=w, mult=mult, shift=shift,
        **({} if bias is None else {"bias": bias}),
    )  # fmt: skip
    tiles = sorted({int(rng.integers(1, out_h + 1)), out_h})
    run(engine, fields, [x], expected, rows=tiles)


@st.composite
def permuted(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """A shape and two orders of its axes."""
    shape = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=6)))
    axes = st.permutations(range(len(shape))).map(tuple)
    return shape, draw(axes), draw(axes)


def table(walk: Walk) -> np.ndarray:
    return np.frombuffer(walk.table(), np.int32)


@given(permuted(), st.sampled_from([np.int8, np.float32]), seeds)
def test_strided_puts_a_tensor_into_any_order(engine, case, dtype, seed):
    shape, have, want = case
    logical = np.random.default_rng(seed).integers(-99, 99, shape).astype(dtype)
    x, expected = (np.ascontiguousarray(logical.transpose(order)) for order in (have, want))
    walk = rearranged(shape, have, want)
    fields = op(
        Kind.STRIDED, weights=table(walk), param0=logical.itemsize, count=logical.size
    )  # fmt: skip
    run(engine, fields, [x], expected)
    np.testing.assert_array_equal(x.ravel()[read_positions(walk.table())], expected.ravel())
    assert same_memory(shape, have, want) == (x.tobytes() == expected.tobytes()) or x.size < 100


@given(permuted(), st.integers(0, 5), st.integers(2, 4), seeds)
def test_strided_repeats_an_axis(engine, case, axis, times, seed):
    shape, have, want = case
    axis %= len(shape)
    narrow = (*shape[:axis], 1, *shape[axis + 1 :])
    wide = (*shape[:axis], times, *shape[axis + 1 :])
    logical = np.random.default_rng(seed).integers(-99, 99, narrow).astype(np.int8)
    reads = list(element_strides(narrow, have))
    reads[axis] = 0
    writes = element_strides(wide, want)
    walk = Walk(*(tuple(values[at] for at in want) for values in (wide, reads, writes)))
    fields = op(Kind.STRIDED, weights=table(walk), param0=1, count=walk.count)
    expected = np.ascontiguousarray(np.broadcast_to(logical, wide).transpose(want))
    run(engine, fields, [np.ascontiguousarray(logical.transpose(have))], expected)


@given(st.integers(1, 100), seeds)
def test_const_copies_from_the_image(engine, count, seed):
    data = int8(np.random.default_rng(seed), count)
    plan = single(op(Kind.CONST, weights=data, count=count), [count], count)
    plan.ops[0]["in0"] = 0
    (got,) = engine.run(plan.image(), [bytes(count)], plan.arena_bytes)
    np.testing.assert_array_equal(np.frombuffer(got, np.int8), data)
