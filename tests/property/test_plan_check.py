"""tac_plan_check() accepts what is sound and refuses each defect with the right code."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest
from engine_library import SOURCES, Engine, compile_cached
from plan_builder import FORMATS, OFFSETS, Kind, Plan, op
from plan_samples import (
    ARENA,
    ARGUMENT,
    BOUNDS,
    KERNEL,
    MAGIC,
    OK,
    PARAM,
    PLANS,
    SIZE,
    VERSION,
    plans,
)  # fmt: skip


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


def reserved_layout(plan: Plan) -> None:
    """Layout 2, packed for MVE: no engine has its kernels yet."""
    plan.header["target"] = plan.ops[0]["layout"] = 2


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
    ("clamp", head(mandatory_ops=1), PARAM),
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
    ("packed conv2d", reserved_layout, KERNEL),
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
    ("packed conv2d", change(in0=2), SIZE),
    ("packed conv2d", change(scratch=576), ARENA),
    ("packed conv2d", last_word(5), PARAM),
    ("packed conv2d", last_word(5 << 16), PARAM),
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


def early_exit(mandatory_ops: int, sizes: tuple[int, ...] = (16, 16)) -> Plan:
    """Two ops; the first makes output 1, the second output 0."""
    ops = [
        op(Kind.CLAMP, in0=0, out=16, count=16, act_min=-9, act_max=9),
        op(Kind.CLAMP, in0=16, out=0, count=16, act_min=-5, act_max=5),
    ]
    outputs = list(zip((0, 16, 0), sizes, strict=False))
    return Plan(ops, [(0, 16)], outputs, 32, {"mandatory_ops": mandatory_ops})


@pytest.mark.parametrize(
    ("plan", "code"),
    [
        (early_exit(0), OK),
        (early_exit(1), OK),
        (early_exit(2), PARAM),  # no optional part
        (early_exit(2**32 - 1), PARAM),
        (early_exit(1, (16,)), PARAM),  # no early answer
        (early_exit(1, (16, 16, 16)), PARAM),
        (early_exit(1, (16, 8)), PARAM),  # of another size
    ],
)
def test_an_early_exit_has_two_answers_of_one_size_and_an_optional_part(
    engine: Engine, plan: Plan, code: int
) -> None:
    assert engine.check(plan.image(), plan.arena_bytes) == code


def test_both_answers_of_an_early_exit_come_out(engine: Engine) -> None:
    plan = early_exit(1)
    given = bytes(range(16))
    final, early = engine.run(plan.image(), [given], plan.arena_bytes)
    assert early == bytes(min(value, 9) for value in given)
    assert final == bytes(min(value, 5) for value in given)


def test_a_build_without_early_exits_refuses_them() -> None:
    flags = ["-O2", "-shared", "-fPIC", "-DTAC_EARLY_EXITS=0"]
    small = Engine(compile_cached("no-early-exits.so", SOURCES, flags))
    for mandatory_ops, code in ((0, OK), (1, KERNEL)):
        plan = early_exit(mandatory_ops)
        assert small.check(plan.image(), plan.arena_bytes) == code
