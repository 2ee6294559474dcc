"""tac_plan_check(): refuses with the right code, and what it accepts runs inside its bounds.

The second half runs under AddressSanitizer and UBSan in a child process, on heap blocks of exactly
the image's and the arena's size.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from engine_library import Engine
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_builder import FORMATS, OFFSETS, RECORD, Kind, Plan, op, single
from plan_harness import Harness

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
        places = (0 | 1 << 11 | 7 << 22 | 8 << 27, 2 | 4 << 11 | 31 << 22 | 31 << 27)
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


@pytest.mark.parametrize("name", PLANS)
def test_a_sound_plan_is_accepted(engine: Engine, name: str) -> None:
    plan = PLANS[name]
    assert engine.check(plan.image(), plan.arena_bytes) == OK


Change = Callable[[Plan], None]


def head(**fields: int) -> Change:
    return lambda plan: plan.header.update(fields)


def change(**fields: Any) -> Change:
    return lambda plan: plan.ops[0].update(fields)


def io(entry: tuple[int, int]) -> Change:
    return lambda plan: setattr(plan, "outputs", [entry])


def table_entry(name: str, value: int) -> Change:
    def apply(plan: Plan) -> None:
        values = plan.ops[0][name].copy()
        values[-1] = value
        plan.ops[0][name] = values

    return apply


def stream_word(at: int, value: int) -> Change:
    def apply(plan: Plan) -> None:
        plan.ops[0]["weights"] = plan.ops[0]["weights"].copy()
        plan.ops[0]["weights"][at] = value

    return apply


def first_word(value: int) -> Change:
    return stream_word(0, value)


def last_word(value: int) -> Change:
    return stream_word(-1, value)


FAR = 1 << 20
DEFECTS: list[tuple[str, Change, int]] = [
    ("clamp", head(magic=0), MAGIC),
    ("clamp", head(version=2), VERSION),
    ("clamp", head(image_bytes=64), SIZE),
    ("clamp", head(ops_offset=72), SIZE),
    ("clamp", head(io_offset=65), SIZE),
    ("clamp", head(ops_offset=0), BOUNDS),
    ("clamp", head(ops_offset=FAR), BOUNDS),
    ("clamp", head(ops_offset=2**32 - 16), BOUNDS),
    ("clamp", head(io_offset=2**32 - 16), BOUNDS),
    ("clamp", head(op_count=1024), BOUNDS),
    ("clamp", head(op_count=1025), PARAM),
    ("clamp", head(op_count=0), PARAM),
    ("clamp", head(input_count=0), PARAM),
    ("clamp", head(output_count=9), PARAM),
    ("clamp", head(target=2), KERNEL),
    ("clamp", head(reserved=1), PARAM),
    ("clamp", head(kernels=1 << 3), PARAM),
    ("clamp", head(arena_bytes=FAR), ARENA),
    ("clamp", head(arena_bytes=16), ARENA),
    ("clamp", io((0, 0)), PARAM),
    ("clamp", io((20, 20)), ARENA),
    ("clamp", io((2**32 - 16, 20)), ARENA),
    ("clamp", change(kind=0), KERNEL),
    ("clamp", change(kind=max(Kind) + 1), KERNEL),
    ("clamp", change(layout=1), KERNEL),
    ("clamp", change(flags=1), PARAM),
    ("clamp", change(wcet_us=0), PARAM),
    ("clamp", change(count=0), PARAM),
    ("clamp", change(count=33), ARENA),
    ("clamp", change(count=2**32 - 1), PARAM),
    ("clamp", change(in0=2**32 - 1), ARENA),
    ("clamp", change(out=13), ARENA),
    ("clamp", change(act_min=-129), PARAM),
    ("clamp", change(act_min=101), PARAM),
    ("clamp", change(act_max=128), PARAM),
    ("clamp", change(weights=64), PARAM),
    ("clamp", change(scratch=16), PARAM),
    ("copy", change(act_min=-1), PARAM),
    ("quantize", change(scale=0.0), PARAM),
    ("quantize", change(scale=-1.0), PARAM),
    ("quantize", change(scale=float("nan")), PARAM),
    ("quantize", change(scale=float("inf")), PARAM),
    ("quantize", change(in0=2), SIZE),
    ("quantize", change(out_add=128), PARAM),
    ("dequantize", change(out=18), SIZE),
    ("dequantize", change(count=13), ARENA),
    ("dequantize", change(in0_add=129), PARAM),
    ("conv2d", change(in_c=0), PARAM),
    ("conv2d", change(k_h=0), PARAM),
    ("conv2d", change(stride_w=0), PARAM),
    ("conv2d", change(dil_h=0), PARAM),
    ("conv2d", change(k_h=65535, dil_h=65535), PARAM),
    ("conv2d", change(row_end=4), PARAM),
    ("conv2d", change(row_begin=3), PARAM),
    ("conv2d", change(in_h=60), ARENA),
    ("conv2d", change(in_h=65535, in_w=65535, in_c=65535), ARENA),
    ("conv2d", change(k_h=65535, k_w=65535, in_c=65535, out_c=65535), PARAM),
    ("conv2d", change(out_w=60), ARENA),
    ("conv2d", change(param0=1), PARAM),
    ("conv2d", change(param0=-3), PARAM),
    ("conv2d", change(param0=3), PARAM),
    ("conv2d", change(weights=0), PARAM),
    ("conv2d", change(weights=16), PARAM),
    ("conv2d", change(weights=216), SIZE),
    ("conv2d", change(weights=FAR), BOUNDS),
    ("conv2d", change(bias=226), SIZE),
    ("conv2d", change(mult=2**32 - 4), BOUNDS),
    ("conv2d", change(shift=0), PARAM),
    ("conv2d", table_entry("mult", -(2**31)), PARAM),
    ("conv2d", table_entry("shift", 31), PARAM),
    ("conv2d", table_entry("shift", -32), PARAM),
    ("dwconv2d", change(in_c=3), PARAM),
    ("dwconv2d", change(flags=2), PARAM),
    ("conv2d", change(flags=1), PARAM),
    ("dwconv2d", change(k_w=40), BOUNDS),
    ("linear", change(out_h=3), PARAM),
    ("linear", change(row_end=3), PARAM),
    ("linear", change(in_c=0), PARAM),
    ("linear", change(in_c=65535, out_c=65535), PARAM),
    ("linear", change(shift0=31), PARAM),
    ("linear", change(mult0=-(2**31)), PARAM),
    ("linear", change(out_c=40), ARENA),
    ("add", change(in_c=5), PARAM),
    ("add", change(in1=60), ARENA),
    ("add", change(param0=23), PARAM),
    ("add", change(shift1=-32), PARAM),
    ("add", change(in1_add=-128), PARAM),
    ("maxpool2d", change(dil_w=2), PARAM),
    ("maxpool2d", change(out_c=2), PARAM),
    ("maxpool2d", change(pad_t=3), PARAM),
    ("maxpool2d", change(pad_l=-2), PARAM),
    ("avgpool2d", change(stride_h=3), PARAM),
    ("avgpool2d", change(scale=float("nan")), PARAM),
    ("softmax", change(in_c=3), PARAM),
    ("softmax", change(in_c=0), PARAM),
    ("softmax", change(weights=224), BOUNDS),
    ("lut", change(weights=0), PARAM),
    ("pad", change(param0=128), PARAM),
    ("packed conv2d", head(target=0), KERNEL),
    ("packed conv2d", change(layout=2), KERNEL),
    ("packed conv2d", change(flags=2), PARAM),
    ("packed linear", change(flags=1), PARAM),
    ("packed conv2d", change(count=0), PARAM),
    ("packed conv2d", change(count=6), PARAM),
    ("packed conv2d", change(count=5), BOUNDS),
    ("packed conv2d", change(bias=208), PARAM),
    ("packed conv2d", change(weights=0), PARAM),
    ("packed conv2d", change(weights=216), SIZE),
    ("packed conv2d", change(param0=2), PARAM),
    ("packed conv2d", change(scratch=66), SIZE),
    ("packed conv2d", change(scratch=576), ARENA),
    ("packed conv2d", last_word(5), PARAM),
    ("packed conv2d", last_word(5 << 11), PARAM),
    ("packed conv2d of bytes", change(scratch=528), ARENA),
    ("packed dwconv2d", change(k_w=4), PARAM),
    ("packed dwconv2d", change(dil_h=2), PARAM),
    ("packed dwconv2d", change(count=1), PARAM),
    ("packed dwconv2d", change(scratch=720), ARENA),
    ("packed linear", change(shift0=0), PARAM),
    ("packed linear", change(shift0=-22), PARAM),
    ("packed linear", change(count=7), PARAM),
    ("packed linear", first_word(6), PARAM),
    ("packed linear", first_word(6 << 16), PARAM),
    ("packed linear", change(scratch=544), ARENA),
    ("packed add", change(param0=19), PARAM),
    ("packed add", change(shift0=1), PARAM),
    ("packed add", change(shift1=-31), PARAM),
    ("packed add", change(shift2=0), PARAM),
    ("packed add", change(weights=208), PARAM),
    ("packed avgpool2d", change(in_c=3, out_c=3), PARAM),
    ("packed avgpool2d", change(k_h=60), PARAM),
    ("clamp", change(layout=1), KERNEL),
    ("pad", change(out_c=3), PARAM),
    ("pad", change(in_w=0), PARAM),
    ("pad", change(out_h=60), ARENA),
    ("strided", change(param0=2), PARAM),
    ("strided", change(param0=4), ARENA),
    ("strided", change(count=6), PARAM),
    ("strided", change(count=24), PARAM),
    ("strided", change(weights=0), PARAM),
    ("strided", change(in0=24), ARENA),
    ("strided", table_entry("weights", -1), PARAM),
    ("strided", table_entry("weights", 2**31 - 1), ARENA),
    ("strided", table_entry("weights", 11), ARENA),
    ("mul", change(in_c=5), PARAM),
    ("mul", change(shift0=31), PARAM),
    ("mul", change(param0=1), PARAM),
    ("div", change(scale=0.0), PARAM),
    ("div", change(in1=60), ARENA),
    ("minimum", change(act_max=1), PARAM),
    ("minimum", change(in_c=5), PARAM),
    ("matmul", change(in_h=3), PARAM),
    ("matmul", change(in1=60), ARENA),
    ("matmul", change(mult0=-(2**31)), PARAM),
    ("matmul", change(in_c=65535, out_c=65535), PARAM),
    ("tconv2d", change(k_h=0), PARAM),
    ("tconv2d", change(out_w=60), ARENA),
    ("tconv2d", change(k_w=60), BOUNDS),
    ("tconv2d", table_entry("shift", 31), PARAM),
    ("const", change(in0=16), PARAM),
    ("const", change(count=60), ARENA),
    ("const", change(weights=FAR), BOUNDS),
    ("f32 binary", change(in_c=4), PARAM),
    ("f32 binary", change(param0=4), PARAM),
    ("f32 binary", change(scale=float("nan")), PARAM),
    ("f32 binary", change(in1=2), SIZE),
    ("f32 unary", change(param0=2), PARAM),
    ("f32 unary", change(out=26), SIZE),
    ("f32 unary", change(count=60), ARENA),
    ("f32 clamp", change(weights=0), PARAM),
    ("f32 conv2d", change(param0=3), PARAM),
    ("f32 conv2d", change(in_h=60), ARENA),
    ("f32 conv2d", change(k_w=60), BOUNDS),
    ("f32 conv2d", change(k_h=65535, k_w=65535, in_c=65534), PARAM),
    ("f32 tconv2d", change(stride_h=0), PARAM),
    ("f32 tconv2d", change(in0=2), SIZE),
    ("f32 matmul", change(out_h=3), PARAM),
    ("f32 matmul", change(in1=100), ARENA),
    ("f32 mean", change(in_c=4), PARAM),
    ("f32 mean", change(scale=0.0), PARAM),
    ("f32 softmax", change(in_c=0), PARAM),
]


@pytest.mark.parametrize("number", range(len(DEFECTS)))
def test_a_defect_is_refused_with_its_code(engine: Engine, number: int) -> None:
    name, apply, code = DEFECTS[number]
    plan = plans()[name]
    arena_bytes = plan.arena_bytes
    apply(plan)
    assert engine.check(plan.image(), arena_bytes) == code


WINDOW_USES = "in_h in_w in_c out_h out_w out_c k_h k_w stride_h stride_w dil_h dil_w pad_t pad_l "
WINDOW_USES += "row_begin row_end act_min act_max"
# Besides kind, layout, flags, wcet_us, in0 and out: the comments of the kinds in plan.h.
USED = {
    "quantize": "out_add act_min act_max scale count",
    "dequantize": "in0_add scale count",
    "conv2d": WINDOW_USES + " in0_add out_add weights bias mult shift param0",
    "dwconv2d": WINDOW_USES + " in0_add out_add weights bias mult shift",
    "linear": "in_h in_c out_h out_c row_begin row_end in0_add out_add act_min act_max weights "
    "bias mult0 shift0",
    "add": "in1 in_c in0_add in1_add out_add act_min act_max mult0 shift0 mult1 shift1 mult2 "
    "shift2 param0 count",
    "maxpool2d": WINDOW_USES,
    "avgpool2d": WINDOW_USES + " in0_add out_add scale",
    "clamp": "act_min act_max count",
    "softmax": "in_c out_add weights count",
    "copy": "count",
    "lut": "weights count",
    "pad": "in_h in_w in_c out_h out_w out_c pad_t pad_l row_begin row_end param0",
}


@pytest.mark.parametrize("name", USED)
def test_any_bit_of_an_unused_field_is_refused(engine: Engine, name: str) -> None:
    plan = PLANS[name]
    image = plan.image()
    records = struct.unpack_from("<I", image, 12)[0]
    used = {"kind", "layout", "flags", "wcet_us", "in0", "out", *USED[name].split()}
    unused = [field for field in FORMATS if field not in used]
    assert len(unused) >= 8
    for field in unused:
        for bit in range(8 * struct.calcsize(FORMATS[field])):
            changed = bytearray(image)
            changed[records + OFFSETS[field] + bit // 8] ^= 1 << bit % 8
            assert engine.check(bytes(changed), plan.arena_bytes) == PARAM, (field, bit)


def test_misplaced_and_truncated_images_are_refused(engine: Engine) -> None:
    image, arena = PLANS["tiles"].image(), PLANS["tiles"].arena_bytes
    assert engine.check(image, arena, misalign=8) == ARGUMENT
    assert engine.check(image, arena - 1) == ARENA
    for size in range(len(image)):
        assert engine.check(image[:size], arena) == SIZE


@pytest.fixture(scope="module")
def harness() -> Iterator[Harness]:
    made = Harness()
    yield made
    made.close()


def test_the_harness_sees_a_write_outside_the_arena(harness: Harness) -> None:
    plan = plans()["clamp"]
    plan.ops[0]["out"] = 16  # 20 bytes at 16 in an arena of 32
    assert harness.run(plan.image(), plan.arena_bytes) == ARENA
    with pytest.raises(AssertionError, match="heap-buffer-overflow"):
        harness.run(plan.image(), plan.arena_bytes, checked=False)


@pytest.mark.parametrize("name", PLANS)
def test_any_byte_changed_stays_in_bounds(harness: Harness, name: str) -> None:
    plan = PLANS[name]
    image = plan.image()
    accepted = 0
    for index in range(len(image)):
        old = image[index]
        for value in {0, 1, old ^ 1, (old + 1) & 255, 0x7F, 0x80, 0xFF} - {old}:
            mutant = image[:index] + bytes([value]) + image[index + 1 :]
            accepted += harness.run(mutant, plan.arena_bytes) == OK
    assert accepted > 0, "every mutant was refused: this test ran nothing"


INTERESTING = [
    0, 1, 2, 3, 7, 15, 16, 17, 31, 64, 127, 128, 255, 256, 1000, 32767, 32768, 65535, 2**20,
    2**30, 2**31 - 1, 2**31, 2**32 - 16, 2**32 - 1,
]  # fmt: skip
SHAPES = ["in_h", "in_w", "in_c", "out_h", "out_w", "out_c", "k_h", "k_w", "stride_h", "stride_w",
          "dil_h", "dil_w", "pad_t", "pad_l", "row_begin", "row_end", "count"]  # fmt: skip
edits = st.lists(
    st.tuples(
        st.sampled_from([*FORMATS, *SHAPES, *SHAPES]),
        st.one_of(st.integers(0, 12), st.sampled_from(INTERESTING)),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=2500)
@given(st.sampled_from(sorted(PLANS)), edits, st.integers(0, 64))
def test_any_fields_changed_stay_in_bounds(
    harness: Harness, name: str, fields: list[tuple[str, int]], room: int
) -> None:
    plan = PLANS[name]
    image = bytearray(plan.image())
    records = struct.unpack_from("<I", image, 12)[0]
    # More room lets larger shapes through the check.
    arena_bytes = plan.arena_bytes + 64 * room
    struct.pack_into("<I", image, 24, arena_bytes)
    for field, value in fields:
        size = struct.calcsize(FORMATS[field])
        at = records + OFFSETS[field]
        image[at : at + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
    kinds = 0
    for at in range(records, records + RECORD.size * len(plan.ops), RECORD.size):
        kinds |= 1 << image[at] if image[at] < 32 else 0
    struct.pack_into("<I", image, 28, kinds)
    harness.run(bytes(image), arena_bytes)


@settings(max_examples=300)
@given(st.binary(max_size=400))
def test_any_bytes_are_refused(harness: Harness, data: bytes) -> None:
    assert harness.run(data, 4096) < 0
