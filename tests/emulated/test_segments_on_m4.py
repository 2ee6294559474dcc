"""Segments as the emulated Cortex-M4 runs them: the arena that this machine leaves."""

from __future__ import annotations

from pathlib import Path

import m4_engine
import numpy as np
import pytest
from engine_library import Engine
from m4_engine import Case
from plan_builder import SLIDE
from segment_cases import inputs_of, random_net, random_schedule, segment_plan

CASES = 300


@pytest.mark.skipif(m4_engine.missing(), reason="no arm-none-eabi-gcc or no qemu-system-arm")
def test_the_m4_leaves_the_same_arena_after_any_list_of_steps(
    engine: Engine, tmp_path: Path
) -> None:
    rng = np.random.default_rng(20261122)
    cases, units = [], []
    while len(cases) < CASES:
        net = random_net(rng, packed=len(cases) % 3 > 0)
        schedule = random_schedule(rng, net)
        plan = segment_plan(rng, net, schedule)
        arena = rng.integers(0, 256, plan.arena_bytes).astype(np.uint8)
        for (at, size), data in zip(plan.inputs, inputs_of(rng, net), strict=True):
            arena[at : at + size] = np.frombuffer(data, np.uint8)
        cases.append(Case(plan.image(), arena.tobytes()))
        units.append(sum(what < SLIDE for what, _ in schedule.steps))
    outcomes = m4_engine.run(m4_engine.build(tmp_path), cases)
    for case, count, outcome in zip(cases, units, outcomes, strict=True):
        assert outcome.code == 0
        assert len(outcome.instructions) == count
        assert outcome.hash == m4_engine.fnv1a(engine.run_arena(case.image, case.arena))
