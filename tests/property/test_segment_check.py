"""tac_plan_check() on segments: refuses what breaks a rule; what it accepts stays in bounds, whatever its steps.

As test_plan_check.py: a child process under AddressSanitizer and UBSan, arenas of exactly the declared size.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from engine_library import Engine
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_builder import (
    FED,
    FORMATS,
    LINK,
    OFFSETS,
    OUTSIDE,
    RECORD,
    SEGMENT,
    SLIDE,
    Kind,
    Plan,
    Segment,
    op,
)
from plan_harness import Harness
from segment_cases import random_net, random_schedule, segment_plan

OK = 0
SIZE, KERNEL, BOUNDS, ARENA, PARAM = range(-18, -23, -1)
SEGMENTS_AT, COUNT_AT = 36, 40
WINDOW = {
    "in_w": 3, "in_c": 2, "out_w": 3, "out_c": 2, "k_h": 3, "k_w": 1, "stride_h": 1, "stride_w": 1,
    "dil_h": 1, "dil_w": 1, "pad_t": 1, "act_min": -128, "act_max": 127,
}  # fmt: skip


def sample() -> Plan:
    """Max pool -> add with the pool's own input -> fed average, rings of 3 and 2 rows of 6 bytes."""
    pool = op(Kind.MAXPOOL2D, in0=0, out=48, in_h=7, out_h=7, row_end=7, **WINDOW)
    add = op(
        Kind.ADD, in0=48, in1=0, out=72, out_h=7, count=42, act_min=-128, act_max=127, mult0=2**30,
        mult1=2**30, mult2=2**30, shift2=-18, param0=20,
    )  # fmt: skip
    mean = op(
        Kind.AVGPOOL2D, in0=72, out=84, scratch=88, in_h=7, out_h=1, row_end=1, scale=0.5,
        flags=FED, **WINDOW | {"out_w": 1, "k_h": 7, "k_w": 3, "pad_t": 0},
    )  # fmt: skip
    rows = [(0, 2), (1, 1), (2, 1), (SLIDE | 0, 1), (SLIDE | 1, 1)]
    one = [(0, 1), (1, 1), (2, 1), (SLIDE | 0, 1), (SLIDE | 1, 1)]
    steps = rows + one * 5 + [(1, 1), (2, 1)]
    segment = Segment(0, [(OUTSIDE, OUTSIDE, 3), (0, OUTSIDE, 2), (1, OUTSIDE, 0)], steps)
    return Plan([pool, add, mean], [(0, 42)], [(84, 2)], 96, segments=[segment])


Change = Callable[[Plan], None]


def link(index: int, *values: int) -> Change:
    return lambda plan: plan.segments[0].links.__setitem__(index, values)


def record(index: int, **fields: int) -> Change:
    return lambda plan: plan.ops[index].update(fields)


def head(**fields: int) -> Change:
    return lambda plan: plan.segments[0].head.update(fields)


def top(**fields: int) -> Change:
    return lambda plan: plan.header.update(fields)


def test_a_sound_segment_is_accepted(engine: Engine) -> None:
    plan = sample()
    assert engine.check(plan.image(), plan.arena_bytes) == OK


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (top(segments_offset=66), PARAM),
        (top(segments_offset=1 << 20), BOUNDS),
        (top(segments_offset=2**32 - 4), BOUNDS),
        (top(segment_count=256), PARAM),
        (top(segment_count=2**32 - 1), PARAM),
        (head(first_op=1), BOUNDS),
        (head(op_count=0), PARAM),
        (head(op_count=13), PARAM),
        (head(op_count=4), BOUNDS),
        (head(steps=2**32 - 2), BOUNDS),
        (head(step_count=40000), BOUNDS),
        (head(run_steps=0), PARAM),
        (head(run_steps=34), PARAM),
        (head(links=2**32 - 4), BOUNDS),
        (head(links=0x102), PARAM),
        (link(0, OUTSIDE, OUTSIDE, 8), PARAM),  # a ring larger than its tensor
        (link(0, OUTSIDE, OUTSIDE, 7), OK),
        (link(0, OUTSIDE, OUTSIDE, 0), OK),
        (link(0, 3, OUTSIDE, 3), ARENA),  # no such op
        (link(0, OUTSIDE, 0, 3), PARAM),  # no second input
        (link(1, OUTSIDE, OUTSIDE, 2), OK),
        (link(2, 1, OUTSIDE, 1), PARAM),  # the output of a FED op is whole
        (link(2, OUTSIDE, OUTSIDE, 0), ARENA),  # 42 bytes at 72 of 96
        (record(0, kind=Kind.COPY), PARAM),
        (record(0, kind=30), PARAM),
        (record(0, row_begin=1), PARAM),
        (record(0, row_end=6), PARAM),
        (record(0, flags=FED), PARAM),
        (record(0, scratch=2), PARAM),
        (record(0, out=79), ARENA),
        (record(0, in0=55), ARENA),
        (record(0, wcet_us=0), PARAM),
        (record(0, stride_h=0), PARAM),
        (record(1, out_h=0), PARAM),
        (record(1, out_h=4), PARAM),
        (record(1, in1=55), ARENA),
        (record(1, in_c=6), OK),
        (record(1, in_c=4), PARAM),
        (record(1, in_c=6, in1=91), ARENA),
        (record(1, out=85), ARENA),
        (record(2, flags=FED + 1), PARAM),
        (record(2, k_h=8), PARAM),
        (record(2, pad_l=1), PARAM),
        (record(2, out_w=2), PARAM),
        (record(2, scratch=90), PARAM),
        (record(2, scratch=92), PARAM),
        (record(2, out=95), ARENA),
    ],
)
def test_the_code_tells_what_is_wrong(engine: Engine, change: Change, code: int) -> None:
    plan = sample()
    change(plan)
    assert engine.check(plan.image(), plan.arena_bytes) == code


def test_a_fed_average_outside_a_segment_is_refused(engine: Engine) -> None:
    plan = sample()
    plan.ops, plan.segments = [plan.ops[2] | {"in0": 0}], []
    assert engine.check(plan.image(), plan.arena_bytes) == PARAM


def test_segments_must_ascend_and_not_meet(engine: Engine) -> None:
    plan = sample()
    first = plan.segments[0]
    halves = [replace(first, links=first.links[:1]), replace(first, first_op=1)]
    halves[1].links = [(OUTSIDE, OUTSIDE, 0), (0, OUTSIDE, 0)]
    plan.arena_bytes = 1024
    plan.segments = halves
    assert engine.check(plan.image(), plan.arena_bytes) == OK
    plan.segments = halves[::-1]
    assert engine.check(plan.image(), plan.arena_bytes) == PARAM
    plan.segments = [first, replace(halves[0], first_op=2, links=[(OUTSIDE, OUTSIDE, 0)])]
    assert engine.check(plan.image(), plan.arena_bytes) == PARAM


@pytest.fixture(scope="module")
def harness() -> Iterator[Harness]:
    made = Harness()
    yield made
    made.close()


@settings(max_examples=700)
@given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255)), min_size=1, max_size=60))
def test_any_list_of_steps_stays_in_bounds(harness: Harness, steps: list[tuple[int, int]]) -> None:
    plan = sample()
    plan.segments[0].steps = [(what if index else what & 3, rows % 5) for index, (what, rows) in
                              enumerate(steps)]  # fmt: skip
    assert harness.run(plan.image(), plan.arena_bytes) == OK


def test_any_byte_of_a_segment_changed_stays_in_bounds(harness: Harness) -> None:
    plan = sample()
    image = plan.image()
    (table,) = struct.unpack_from("<I", image, SEGMENTS_AT)
    accepted = 0
    for index in [*range(SEGMENTS_AT, COUNT_AT + 4), *range(table, len(image))]:
        old = image[index]
        for value in {0, 1, 2, old ^ 1, (old + 1) & 255, (old - 1) & 255, 0x7F, 0x80, 0xFF} - {old}:
            mutant = image[:index] + bytes([value]) + image[index + 1 :]
            accepted += harness.run(mutant, plan.arena_bytes) == OK
    assert accepted > 100


FIELDS = [name for name in FORMATS if name not in ("kind", "layout", "wcet_us")]


@settings(max_examples=1200)
@given(
    st.integers(0, 2**32 - 1),
    st.booleans(),
    st.lists(
        st.tuples(
            st.integers(0, 9),
            st.sampled_from(FIELDS),
            st.one_of(st.integers(0, 12), st.sampled_from([-1, 15, 16, 64, 255, 32767, 65535])),
        ),
        max_size=3,
    ),
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3), st.integers(0, 255)), max_size=3),
)
def test_any_segment_with_changed_records_and_links_stays_in_bounds(
    harness: Harness,
    seed: int,
    packed: bool,
    fields: list[tuple[int, str, int]],
    links: list[tuple[int, int, int]],
) -> None:
    rng = np.random.default_rng(seed)
    net = random_net(rng, packed)
    plan = segment_plan(rng, net, random_schedule(rng, net), gap=0)
    for at in rng.integers(0, len(plan.segments[0].steps), rng.integers(0, 6)).tolist():
        plan.segments[0].steps[at] = tuple(rng.integers(0, 256, 2).tolist())
    plan.segments[0].head["run_steps"] = plan.segments[0].run_steps or 1
    image = bytearray(plan.image())
    (records,) = struct.unpack_from("<I", image, 12)
    (table,) = struct.unpack_from("<I", image, SEGMENTS_AT)
    for which, name, value in fields:
        size = struct.calcsize(FORMATS[name])
        at = records + RECORD.size * (which % len(plan.ops)) + OFFSETS[name]
        image[at : at + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
    for which, byte, value in links:
        image[table + SEGMENT.size + LINK.size * (which % len(plan.ops)) + byte] = value
    code = harness.run(bytes(image), plan.arena_bytes)
    assert code == OK or fields or links


def test_a_mandatory_part_does_not_end_inside_a_segment(engine: Engine) -> None:
    for mandatory, code in ((1, PARAM), (2, PARAM), (3, OK)):
        plan = sample()
        after = op(Kind.CLAMP, in0=84, out=0, count=2, act_min=-128, act_max=127)
        plan.ops.append(after)
        plan.outputs = [(0, 2), (84, 2)]
        plan.header["mandatory_ops"] = mandatory
        assert engine.check(plan.image(), plan.arena_bytes) == code
