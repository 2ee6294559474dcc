"""Segments: any valid list of steps gives the answers of the whole ops, bit for bit, and writes only its own."""

from __future__ import annotations

import numpy as np
import pytest
from engine_library import Engine, aligned
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_builder import SLIDE
from segment_cases import (
    inputs_of,
    random_net,
    random_schedule,
    segment_plan,
    untouchable,
    whole_plan,
)

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
