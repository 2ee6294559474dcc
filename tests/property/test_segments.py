"""Segments: any valid list of steps gives the answers of the whole ops, bit for bit, and writes only its own."""

from __future__ import annotations

import numpy as np
import pytest
from engine_library import SOURCES, Engine, aligned, compile_cached
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_builder import OUTSIDE, SLIDE, Kind, Plan, Segment, op
from segment_cases import (
    inputs_of,
    random_net,
    random_schedule,
    segment_plan,
    untouchable,
    whole_plan,
)

from protocol import errors

seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@settings(max_examples=600)
@given(seeds)
def test_any_valid_list_of_steps_answers_as_the_whole_ops(
    engine: Engine, packed: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    net = random_net(rng, packed)
    schedule = random_schedule(rng, net)
    inputs, whole = inputs_of(rng, net), whole_plan(net)
    wanted = engine.run(whole.image(), inputs, whole.arena_bytes)
    plan = segment_plan(rng, net, schedule)
    arena = aligned(plan.arena_bytes)
    arena[:] = rng.integers(0, 256, arena.size)
    for (at, size), data in zip(plan.inputs, inputs, strict=True):
        arena[at : at + size] = np.frombuffer(data, np.uint8)
    before = arena.copy()
    units = list(engine.run_on(plan.image(), arena))
    assert units == [what for what, _ in schedule.steps if what < SLIDE]
    at, size = plan.outputs[0]
    assert arena[at : at + size].tobytes() == wanted[0]
    kept = untouchable(net, plan, schedule)
    np.testing.assert_array_equal(arena[kept], before[kept])


@settings(max_examples=200)
@given(seeds)
def test_two_models_stepped_in_turns_and_begun_anew_answer_as_alone(
    engine: Engine, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    models, wanted = [], []
    for packed in (False, True):
        net = random_net(rng, packed)
        inputs, whole = inputs_of(rng, net), whole_plan(net)
        wanted.append(engine.run(whole.image(), inputs, whole.arena_bytes))
        plan = segment_plan(rng, net, random_schedule(rng, net))
        model = engine.load(plan.image(), plan.arena_bytes)
        model.write(inputs)
        for _ in range(int(rng.integers(0, len(plan.segments[0].steps)))):
            model.step()
        model.reset()  # whatever it had begun
        model.write(inputs)
        models.append(model)
    while left := [model for model in models if model.units_left]:
        left[int(rng.integers(len(left)))].step()
    assert [model.outputs() for model in models] == wanted


COUNT, ROWS = 60, 5


def lookups() -> Plan:
    """Six lookups to and fro between two buffers; ops 1 and 2, 3 and 5 in segments of whole tensors."""
    rng = np.random.default_rng(4)
    segments = [
        Segment(1, [(OUTSIDE, OUTSIDE, 0), (0, OUTSIDE, 0)], [(0, 5), (1, 3), (1, 2)]),
        Segment(3, [(OUTSIDE, OUTSIDE, 0)], [(0, 1), (0, 4)]),
        Segment(5, [(OUTSIDE, OUTSIDE, 0)], [(0, 2), (0, 2), (0, 1)]),
    ]
    inside = {first + i for first in (1, 3, 5) for i in range(2 if first == 1 else 1)}
    ops = [
        op(
            Kind.LUT, in0=COUNT * (i % 2), out=COUNT * (1 - i % 2), count=COUNT,
            weights=rng.permutation(256).astype(np.uint8), out_h=ROWS if i in inside else 0,
        )
        for i in range(6)
    ]  # fmt: skip
    return Plan(ops, [(0, COUNT)], [(0, COUNT)], 128, segments=segments)


UNITS = [0, 1, 2, 2, 3, 3, 4, 5, 5, 5]
DATA = bytes((37 * i + 11) % 256 for i in range(COUNT))


def test_units_are_ops_and_run_steps_each_announced_by_its_record(engine: Engine) -> None:
    plan = lookups()
    model = engine.load(plan.image(), plan.arena_bytes)
    assert model.units_left == len(UNITS)
    for left, unit in zip(reversed(range(len(UNITS))), UNITS, strict=True):
        assert model.next_op == unit
        assert model.step() == left
    assert (model.next_op, model.step()) == (6, 0)


@pytest.mark.parametrize("cut", range(1, len(UNITS)))
def test_a_run_stops_between_steps_and_goes_on(engine: Engine, cut: int) -> None:
    plan = lookups()
    whole = lookups()
    whole.segments = []
    for fields in whole.ops:
        fields["out_h"] = 0
    wanted = engine.run(whole.image(), [DATA], 128)
    model = engine.load(plan.image(), plan.arena_bytes)
    model.write([DATA])
    assert model.run(lambda: len(UNITS) - model.units_left, cut) == len(UNITS) - cut
    assert model.run(lambda: 0, 1) == 0
    assert model.outputs() == wanted


@pytest.mark.parametrize("promised", [1, 2])
def test_the_records_decide_when_a_model_is_done(engine: Engine, promised: int) -> None:
    plan = lookups()
    for segment in plan.segments:
        segment.head["run_steps"] = promised
    promised_more = lookups()
    promised_more.segments[1].steps = [(0, 5), (SLIDE, 0), (SLIDE, 0)]
    promised_more.segments[1].head["run_steps"] = 3
    for wrong in (plan, promised_more):
        model = engine.load(wrong.image(), wrong.arena_bytes)
        model.write([DATA])
        units = 0
        while model.units_left:
            assert model.next_op < 6
            model.step()
            units += 1
        assert units == sum(segment.run_steps for segment in wrong.segments) + 2
        assert model.outputs() == engine.run(lookups().image(), [DATA], 128)


def test_a_build_without_segments_refuses_them_and_runs_the_rest(engine: Engine) -> None:
    small = Engine(
        compile_cached("no-segments.so", SOURCES, ["-O2", "-shared", "-fPIC", "-DTAC_SEGMENTS=0"])
    )
    plan = lookups()
    assert small.check(plan.image(), plan.arena_bytes) == -errors.PLAN_KERNEL
    plan.segments = []
    for fields in plan.ops:
        fields["out_h"] = 0
    assert small.run(plan.image(), [DATA], 128) == engine.run(plan.image(), [DATA], 128)
