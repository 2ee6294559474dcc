"""tac_plan_check(): refuses with the right code, and what it accepts runs inside its bounds.

The second half runs under AddressSanitizer and UBSan in a child process, on heap blocks of exactly
the image's and the arena's size.
"""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_library import SOURCES, Engine, compile_cached
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_builder import FORMATS, OFFSETS, RECORD, Kind, Plan, op, single

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


WINDOW = {
    "in_h": 5, "in_w": 6, "out_h": 3, "out_w": 3, "k_h": 3, "k_w": 3, "stride_h": 2, "stride_w": 2,
    "dil_h": 1, "dil_w": 1, "pad_t": 1, "pad_l": 1, "row_end": 3, "act_min": -128, "act_max": 127,
}  # fmt: skip


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
    }  # fmt: skip
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
    ("clamp", head(target=1), KERNEL),
    ("clamp", head(reserved=1), PARAM),
    ("clamp", head(kernels=1 << 3), PARAM),
    ("clamp", head(arena_bytes=FAR), ARENA),
    ("clamp", head(arena_bytes=16), ARENA),
    ("clamp", io((0, 0)), PARAM),
    ("clamp", io((20, 20)), ARENA),
    ("clamp", io((2**32 - 16, 20)), ARENA),
    ("clamp", change(kind=0), KERNEL),
    ("clamp", change(kind=14), KERNEL),
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
    ("pad", change(out_c=3), PARAM),
    ("pad", change(in_w=0), PARAM),
    ("pad", change(out_h=60), ARENA),
]


@pytest.mark.parametrize("number", range(len(DEFECTS)))
def test_a_defect_is_refused_with_its_code(engine: Engine, number: int) -> None:
    name, apply, code = DEFECTS[number]
    plan = plans()[name]
    arena_bytes = plan.arena_bytes
    apply(plan)
    assert engine.check(plan.image(), arena_bytes) == code


def test_misplaced_and_truncated_images_are_refused(engine: Engine) -> None:
    image, arena = PLANS["tiles"].image(), PLANS["tiles"].arena_bytes
    assert engine.check(image, arena, misalign=8) == ARGUMENT
    assert engine.check(image, arena - 1) == ARENA
    for size in range(len(image)):
        assert engine.check(image[:size], arena) == SIZE


class Harness:
    """The child process; restarts after a crash, which it reports as an AssertionError."""

    def __init__(self) -> None:
        source = Path(__file__).parent / "plan_harness.c"
        self._program = compile_cached(
            "plan_harness",
            [source, *SOURCES],
            ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
        )
        self._start()

    def _start(self) -> None:
        self._child = subprocess.Popen(
            [self._program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def run(self, image: bytes, arena_bytes: int, *, checked: bool = True) -> int:
        """Checks the image and runs it when accepted; gives the code of the check."""
        assert self._child.stdin and self._child.stdout and self._child.stderr
        self._child.stdin.write(struct.pack("<III", len(image), arena_bytes, not checked) + image)
        self._child.stdin.flush()
        answer = self._child.stdout.read(4)
        if len(answer) < 4:
            report = self._child.stderr.read().decode(errors="replace")
            self.close()
            self._start()
            raise AssertionError(f"the engine left its bounds; image {image.hex()}\n{report}")
        code: int = struct.unpack("<i", answer)[0]
        return code

    def close(self) -> None:
        assert self._child.stdin
        self._child.stdin.close()
        self._child.wait(timeout=30)
        for pipe in (self._child.stdout, self._child.stderr):
            assert pipe
            pipe.close()


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
