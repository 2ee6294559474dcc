"""Packing: pairs are exact and complete, refusals name their condition, C and Python agree on sizes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from engine_library import Engine
from hypothesis import given
from hypothesis import strategies as st
from packed_ops import conv, linear, run

from host.boards import load_board
from host.compile.graph import Constants, Fields, Graph, Kind, Op, Tensor
from host.compile.packing import pack_graph, pack_op
from host.compile.packing.pairs import UPPER_LIMIT, channels_of, pair_up

POINT = Fields(
    in_h=2, in_w=2, in_c=8, out_h=2, out_w=2, out_c=4, k_h=1, k_w=1, stride_h=1, stride_w=1,
    dil_h=1, dil_w=1, row_end=2,
)  # fmt: skip
RNG = np.random.default_rng(5)


@given(st.integers(1, 24), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_pairs_cover_each_channel_once_and_are_exact(count: int, taps: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.choice(np.array([-128, -128, -1, 0, 127], np.int8), (count, taps))
    bias = rng.choice(np.array([0, 1 << 23, -(1 << 23)]), count).astype(np.int32)
    channels = channels_of(weights, bias, 3)
    pairs = pair_up(channels)
    seen = [c for pair in pairs for c in (pair.lower, pair.upper) if c is not None]
    assert sorted(seen) == list(range(count))
    for pair in pairs:
        if pair.upper is not None:
            a, b = weights[pair.upper].astype(int), weights[pair.lower].astype(int)
            assert (256 * a + b).min() >= -32768
            assert channels.bound[pair.upper] < UPPER_LIMIT


def test_ordinary_weights_keep_neighbours_together() -> None:
    channels = channels_of(RNG.integers(-127, 128, (64, 30)).astype(np.int8), None, 0)
    assert [(p.lower, p.upper) for p in pair_up(channels)] == [(c, c + 1) for c in range(0, 64, 2)]


def scaled(op: Op, mult: int, shift: int) -> Op:
    count = op.fields.out_c
    tables = [np.full(count, value, "<i4").tobytes() for value in (mult, shift)]
    return replace(op, constants=replace(op.constants, mult=tables[0], shift=tables[1]))


@pytest.mark.parametrize(
    ("op", "reason"),
    [
        (scaled(conv(RNG, POINT), 2**30, 0), "right shift 0 is outside"),
        (scaled(conv(RNG, POINT), 2**30, -22), "right shift 22 is outside"),
        (scaled(conv(RNG, POINT), -5, -8), "a negative multiplier, -5"),
        (conv(RNG, replace(POINT, out_c=2049)), "2049 output channels"),
        (replace(linear(RNG, 1, 8, 4), fields=replace(POINT, mult0=1, shift0=3)), "right shift -3"),
        (conv(RNG, replace(POINT, in_c=4, out_c=8), Kind.DWCONV2D), "a channel multiplier of 2"),
        (conv(RNG, replace(POINT, in_c=4, out_c=4), Kind.DWCONV2D), "a 1x1 kernel"),
        (Op("p", Kind.AVGPOOL2D, ("x",), "y", fields=replace(POINT, in_c=3)), "3 channels"),
        (Op("p", Kind.MAXPOOL2D, ("x",), "y", fields=replace(POINT, in_c=3)), "3 channels"),
        (Op("a", Kind.ADD, ("x", "x"), "y", fields=Fields(param0=20, mult0=2**30, mult1=9)),
         "an operand scaled by 9"),
    ],
)  # fmt: skip
def test_what_is_not_proved_stays_plain_and_says_why(op: Op, reason: str) -> None:
    packed = pack_op(op)
    assert packed.layout == 0 and packed.constants == op.constants
    assert packed.kernel.startswith("plain C (") and reason in packed.kernel


def test_an_accumulator_out_of_range_is_refused() -> None:
    op = conv(RNG, POINT)
    bias = np.full(4, 2**29, "<i4").tobytes()
    assert "accumulator" in pack_op(replace(op, constants=replace(op.constants, bias=bias))).kernel


@pytest.mark.parametrize("x", [-128, 127])
@pytest.mark.parametrize("relu", [False, True])
def test_sums_at_the_limit_are_exact(engine: Engine, x: int, relu: bool) -> None:
    fields = replace(
        POINT, in_c=511, out_c=7, in0_add=0, out_add=-128 if relu else 3, act_min=-128, act_max=127
    )
    weights = np.full((7, 511), 127, np.int8)
    weights[1] = -128
    weights[2, ::2] = -128
    weights[4:6] = -127
    tables = [np.full(7, value, "<i4").tobytes() for value in (2**31 - 1, -15)]
    plain = Op(
        "op", Kind.CONV2D, ("x",), "y", fields=fields,
        constants=Constants(weights.tobytes(), b"", *tables),
    )  # fmt: skip
    packed = pack_op(plain)
    assert packed.layout == 1
    inputs = [np.full((2, 2, 511), x, np.int8)]
    np.testing.assert_array_equal(run(engine, packed, inputs, 28), run(engine, plain, inputs, 28))


def test_only_a_core_with_dsp_gets_packed_kernels() -> None:
    op = replace(conv(RNG, POINT), inputs=("x",), output="y")
    tensors = {name: Tensor(name, 32, "int8") for name in "xy"}
    graph = Graph(tensors, (op,), ("x",), ("y",))
    assert pack_graph(graph, load_board("host")).ops == (op,)
    (packed,) = pack_graph(graph, load_board("qemu-m4")).ops
    assert packed.layout == 1 and packed.kernel.startswith("dsp gemm")


def test_packed_weights_are_no_larger_than_plain_ones_and_their_tables() -> None:
    op = conv(RNG, replace(POINT, in_c=64, out_c=64))
    weights = RNG.integers(-127, 128, (64, 64)).astype(np.int8).tobytes()
    bias = bytes(256)
    plain = replace(op, constants=replace(op.constants, weights=weights, bias=bias))
    packed = pack_op(plain)
    extra = len(packed.constants.weights) - 64 * (64 + 12)
    assert extra == 64 * 2
