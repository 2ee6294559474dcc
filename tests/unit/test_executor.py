"""tac_exec_run(): cut between any two ops and resumed, a model computes what it computes in one go."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate

import numpy as np
import pytest
from engine_library import Engine, Instance
from plan_builder import Kind, Plan, op

TIMES_US = (7, 1, 30, 4, 12)  # of the ops, one by one
ENDS_US = (0, *accumulate(TIMES_US))
COUNT = 64
DATA = bytes((37 * i + 11) % 256 for i in range(COUNT))
NEVER = 2**64 - 1


def chain() -> bytes:
    """Five lookups to and fro between two buffers; each one changes the data, and their order matters."""
    rng = np.random.default_rng(4)
    ops = [
        op(
            Kind.LUT,
            in0=COUNT * (i % 2),
            out=COUNT * (1 - i % 2),
            weights=rng.permutation(256).astype(np.uint8).view(np.int8),
            count=COUNT,
            wcet_us=TIMES_US[i],
        )
        for i in range(len(TIMES_US))
    ]
    return Plan(ops, [(0, COUNT)], [(COUNT, COUNT)], 2 * COUNT).image()


@pytest.fixture
def model(engine: Engine) -> Instance:
    model = engine.load(chain(), 2 * COUNT)
    model.write([DATA])
    return model


def clock_of(model: Instance) -> Callable[[], int]:
    """A clock that stands still but for the ops: it tells the sum of those that have run."""
    return lambda: ENDS_US[model.next_op]


@pytest.mark.parametrize("until_us", range(ENDS_US[-1] + 2))
def test_a_run_cut_at_any_time_and_resumed_gives_the_outputs_of_a_straight_run(
    engine: Engine, model: Instance, until_us: int
) -> None:
    now = clock_of(model)
    left = model.run(now, until_us)
    # The first op always runs, so that whoever calls again and again gets to the end.
    expected = next((i for i in range(1, 6) if ENDS_US[i] >= until_us), 5)
    assert (model.next_op, left) == (expected, 5 - expected)
    assert now() - until_us <= TIMES_US[expected - 1], "it overshoots by more than its last op"
    assert model.run(now, NEVER) == 0
    assert model.outputs() == engine.run(chain(), [DATA], 2 * COUNT)


def test_a_run_cut_at_every_boundary_in_turn_gives_the_same_outputs(
    engine: Engine, model: Instance
) -> None:
    lefts = [model.run(clock_of(model), until_us) for until_us in ENDS_US[1:]]
    assert lefts == [4, 3, 2, 1, 0]
    assert model.outputs() == engine.run(chain(), [DATA], 2 * COUNT)


def test_a_done_model_stays_done_until_it_is_reset(model: Instance) -> None:
    now = clock_of(model)
    assert model.run(now, NEVER) == 0
    outputs = model.outputs()
    for until_us in (0, ENDS_US[2], NEVER):
        assert model.run(now, until_us) == 0
        assert model.next_op == 5 and model.outputs() == outputs
    model.reset()
    model.write([DATA])
    assert model.run(now, 0) == 4
    assert model.run(now, NEVER) == 0 and model.outputs() == outputs
