"""Sound plans, one and more of every operator kind, for tests that spoil them."""

from __future__ import annotations

import numpy as np
from plan_builder import Kind, Plan, op, single

# Codes of tac_plan_check().
OK, ARGUMENT = 0, -1
MAGIC, VERSION, SIZE, KERNEL, BOUNDS, ARENA, PARAM = range(-16, -23, -1)
RNG = np.random.default_rng(1)


def constant(*shape: int) -> np.ndarray:
    return RNG.integers(-128, 128, shape, np.int8)


def table(count: int, low: int, high: int) -> np.ndarray:
    return RNG.integers(low, high, count).astype(np.int32)


def channel_tables(count: int) -> dict[str, np.ndarray]:
    return {
        "bias": table(count, -1000, 1000),
        "mult": table(count, 2**30, 2**31 - 1),
        "shift": table(count, -9, 2),
    }


def walk() -> np.ndarray:
    """[3, 4] transposed."""
    return np.array([1, 1, 1, 1, 3, 4, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 1, 3], np.int32)


WINDOW = {
    "in_h": 5, "in_w": 6, "out_h": 3, "out_w": 3, "k_h": 3, "k_w": 3, "stride_h": 2, "stride_w": 2,
    "dil_h": 1, "dil_w": 1, "pad_t": 1, "pad_l": 1, "row_end": 3, "act_min": -128, "act_max": 127,
}  # fmt: skip


SHAPE = {name: value for name, value in WINDOW.items() if not name.startswith("act")}


def reals(*shape: int) -> np.ndarray:
    return RNG.normal(0, 1, shape).astype(np.float32)


def packed_plans(
    zero_points: dict[str, int], clamp: dict[str, int], scalings: dict[str, int]
) -> dict[str, Plan]:
    """Plans of layout 1 (engine/packed.h): every driver of every packed kernel."""

    def stream(words: int, heads: dict[int, int]) -> np.ndarray:
        made = RNG.integers(0, 2**32, words).astype(np.uint32)
        for at, head in heads.items():
            made[at] = head
        return made

    def conv(in_c: int, clamped: bool) -> Plan:
        words = 7 + -(-9 * in_c // 4) * 2
        places = (0 | 7 << 11 | 1 << 16 | 8 << 27, 2 | 31 << 11 | 4 << 16 | 31 << 27)
        heads = {words - 1: places[0], 2 * words - 1: places[1]}
        fields = zero_points | WINDOW | (clamp if clamped else {})
        return single(
            op(Kind.CONV2D, in_c=in_c, out_c=5, weights=stream(2 * words, heads), count=2, layout=1,
               **fields), [30 * in_c], 45,
        )  # fmt: skip

    def depthwise(stride: int) -> Plan:
        fields = WINDOW | {"stride_h": stride, "stride_w": stride}
        return single(
            op(Kind.DWCONV2D, in_c=6, out_c=6, weights=stream(48, {}), count=2, layout=1, **fields),
            [180], 54,
        )  # fmt: skip

    quads = stream(2 * 22, {0: 1 << 16, 1: 2, 22: 5, 23: 4 | 3 << 16})
    made = {
        "packed conv2d": conv(4, True),
        "packed conv2d of bytes": conv(3, False),
        "packed dwconv2d": depthwise(1),
        "packed dwconv2d stride 2": depthwise(2),
        "packed linear": single(
            op(Kind.LINEAR, in_h=2, in_c=11, out_h=2, out_c=6, row_end=2, weights=quads, count=2,
               mult0=2**30, shift0=-7, layout=1, **zero_points, **clamp), [22], 12,
        ),
        "packed add": single(
            op(Kind.ADD, in1_add=-9, param0=20, count=12, in_c=4, layout=1,
               **scalings | {"shift0": -1, "shift1": -2}, **zero_points, **clamp), [12, 4], 12,
        ),
        "packed avgpool2d": single(
            op(Kind.AVGPOOL2D, in_c=4, out_c=4, scale=0.1, layout=1, **zero_points, **WINDOW),
            [120], 36,
        ),
    }  # fmt: skip
    for plan in made.values():
        plan.header["target"] = 1
        plan.ops[0]["scratch"] = plan.arena_bytes
        plan.arena_bytes += 512
    for name in ("packed add", "packed avgpool2d"):
        made[name].ops[0]["scratch"] = 0
    return made


def plans() -> dict[str, Plan]:
    """A small valid plan of each kind, and one of several ops and row tiles."""
    zero_points = {"in0_add": 5, "out_add": -3}
    clamp = {"act_min": -100, "act_max": 100}
    scalings = {"mult0": 2**30, "mult1": 2**31 - 1, "mult2": 1500000000, "shift2": -18}
    made = {
        "quantize": single(
            op(Kind.QUANTIZE, out_add=3, scale=2.5, count=10, **clamp), [40], 10, in_place=True
        ),
        "dequantize": single(op(Kind.DEQUANTIZE, in0_add=3, scale=0.5, count=10), [10], 40),
        "conv2d": single(
            op(Kind.CONV2D, in_c=3, out_c=5, weights=constant(5, 3, 3, 3), **channel_tables(5),
               **zero_points, **WINDOW), [90], 45,
        ),
        "grouped conv2d": single(
            op(Kind.CONV2D, in_c=4, out_c=6, weights=constant(6, 3, 3, 2), **channel_tables(6),
               **zero_points, **WINDOW | {"dil_h": 2, "dil_w": 2, "pad_t": 3, "pad_l": 2},
               param0=2), [120], 54,
        ),
        "dwconv2d": single(
            op(Kind.DWCONV2D, in_c=2, out_c=10, weights=constant(3, 3, 10), **channel_tables(10),
               **zero_points, **WINDOW), [60], 90,
        ),
        "linear": single(
            op(Kind.LINEAR, in_h=2, in_c=11, out_h=2, out_c=6, row_end=2, weights=constant(6, 11),
               bias=table(6, -99, 99), mult0=2**30, shift0=-7, **zero_points, **clamp), [22], 12,
        ),
        "add": single(
            op(Kind.ADD, in1_add=-9, param0=20, count=12, in_c=4, **scalings, **zero_points,
               **clamp), [12, 4], 12,
        ),
        "maxpool2d": single(op(Kind.MAXPOOL2D, in_c=3, out_c=3, **WINDOW), [90], 27),
        "avgpool2d": single(
            op(Kind.AVGPOOL2D, in_c=3, out_c=3, scale=0.1, **zero_points, **WINDOW), [90], 27
        ),
        "clamp": single(op(Kind.CLAMP, count=20, **clamp), [20], 20, in_place=True),
        "softmax": single(
            op(Kind.SOFTMAX, in_c=5, count=10, out_add=-128,
               weights=np.exp(-np.arange(256) / 9).astype(np.float32)), [10], 10,
        ),
        "copy": single(op(Kind.COPY, count=20), [20], 20),
        "lut": single(op(Kind.LUT, count=20, weights=constant(256)), [20], 20),
        "pad": single(
            op(Kind.PAD, in_h=4, in_w=5, in_c=2, out_h=6, out_w=6, out_c=2, pad_t=1, pad_l=1,
               row_end=6, param0=-7), [40], 72,
        ),
        "strided": single(op(Kind.STRIDED, weights=walk(), param0=1, count=12), [12], 12),
        "strided words": single(op(Kind.STRIDED, weights=walk(), param0=4, count=12), [48], 48),
        "mul": single(
            op(Kind.MUL, in1_add=-9, count=12, in_c=4, mult0=2**30, shift0=-3, **zero_points,
               **clamp), [12, 4], 12,
        ),
        "div": single(
            op(Kind.DIV, in1_add=-9, count=12, scale=3.5, **zero_points, **clamp), [12, 12], 12
        ),
        "minimum": single(op(Kind.MINIMUM, count=12, in_c=1), [12, 1], 12),
        "maximum": single(op(Kind.MAXIMUM, count=12), [12, 12], 12, in_place=True),
        "matmul": single(
            op(Kind.MATMUL, in_h=2, in_c=7, out_h=2, out_c=3, row_end=2, in1_add=4, mult0=2**30,
               shift0=-7, **zero_points, **clamp), [14, 21], 6,
        ),
        "tconv2d": single(
            op(Kind.TCONV2D, in_c=3, out_c=5, weights=constant(5, 3, 2, 3), **channel_tables(5),
               **zero_points, **WINDOW | {"in_h": 3, "in_w": 2, "out_h": 5, "out_w": 4, "k_w": 2,
                                          "row_end": 5, "pad_l": 0}), [18], 100,
        ),
        "const": single(op(Kind.CONST, weights=constant(20), count=20), [20], 20),
        "f32 binary": single(
            op(Kind.F32_BINARY, in_c=3, count=6, scale=2.0, param0=1), [24, 12], 24
        ),
        "f32 unary": single(op(Kind.F32_UNARY, param0=1, count=6), [24], 24),
        "f32 clamp": single(op(Kind.F32_CLAMP, weights=reals(2), count=6), [24], 24),
        "f32 conv2d": single(
            op(Kind.F32_CONV2D, in_c=4, out_c=2, weights=reals(2, 3, 3, 2), bias=reals(2), param0=2,
               **SHAPE), [480], 72,
        ),
        "f32 tconv2d": single(
            op(Kind.F32_TCONV2D, in_c=3, out_c=2, weights=reals(2, 3, 3, 3), **SHAPE), [360], 72
        ),
        "f32 matmul": single(
            op(Kind.F32_MATMUL, in_h=2, in_c=3, out_h=2, out_c=4, row_end=2), [24, 48], 32
        ),
        "f32 mean": single(op(Kind.F32_MEAN, in_c=3, scale=3.0, count=6), [24], 8),
        "f32 softmax": single(op(Kind.F32_SOFTMAX, in_c=3, count=6), [24], 24),
    }  # fmt: skip
    made |= packed_plans(zero_points, clamp, scalings)
    tiled = single(
        op(Kind.CONV2D, in_c=3, out_c=5, weights=constant(5, 3, 3, 3), **channel_tables(5),
           **zero_points, **WINDOW), [90], 45, rows=[1, 3],
    )  # fmt: skip
    tiled.ops.append(op(Kind.CLAMP, in0=96, out=96, count=45, **clamp))
    made["overlapping softmax"] = single(dict(made["softmax"].ops[0]), [10], 10)
    made["overlapping softmax"].ops[0]["out"] = 3  # overwrites elements of the row it still reads
    return made | {"tiles": tiled}


PLANS = plans()
