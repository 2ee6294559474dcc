"""The admission test against a simulator that tries to break what was admitted."""

import os
import random

import pytest

from protocol.admission import admit, demand, inflate, input_us, op_limit, with_input
from tests.property.admission_simulator import attack, first_miss, random_tasks

SETS = 700
SEED = int(os.environ.get("TACTUS_SEED", "20"))


def _replay(seed: int) -> str:
    return f"replay: TACTUS_SEED={seed} pytest {__file__}"


@pytest.mark.parametrize("block", range(6))
def test_no_admitted_task_set_misses_a_deadline_in_simulation(block: int) -> None:
    rng = random.Random(SEED * 1000 + block)
    admitted = 0
    for _ in range(SETS):
        tasks = random_tasks(rng)
        if admit(tasks).admitted:
            admitted += 1
            miss = attack(tasks, rng)
            assert miss is None, f"{tasks} misses {miss}; {_replay(SEED)}"
    assert admitted > SETS // 5, "too few admitted sets to mean anything"


def test_nearly_every_refused_task_set_really_misses() -> None:
    rng = random.Random(SEED)
    refused = missing = 0
    for _ in range(2 * SETS):
        tasks = random_tasks(rng)
        if not admit(tasks).admitted:
            refused += 1
            missing += attack(tasks, rng) is not None
    print(f"refused {refused}, of which {missing} miss in simulation")
    # Where utilization is exactly 1, rounding up refuses sets that would have been fine.
    assert missing >= refused * 98 // 100, f"{missing} of {refused}; {_replay(SEED)}"


def test_admitted_tasks_survive_background_work_at_any_rate() -> None:
    rng = random.Random(SEED + 1)
    admitted = 0
    for _ in range(3 * SETS):
        tasks = random_tasks(rng, most=3, longest_period=60)
        piece = rng.randint(2, 12)
        if not admit(inflate(tasks, 0, 0, piece, rng.randint(piece, 120))).admitted:
            continue
        admitted += 1
        together = [0] * len(tasks)
        horizon = 40 * 60
        adversarial = first_miss(tasks, together, horizon, background=[piece], stop_when_idle=True)
        assert adversarial is None, f"{tasks}, piece {piece}; {_replay(SEED)}"
        for _ in range(5):
            phases = [rng.randrange(task[1]) for task in tasks]
            pieces = [1, piece // 2 + 1, piece]
            miss = first_miss(tasks, phases, horizon, background=pieces, rng=rng)
            assert miss is None, f"{tasks}, piece {piece}, {phases}; {_replay(SEED)}"
    assert admitted > 100


def test_cutting_ops_to_the_reported_length_gets_a_blocked_set_admitted() -> None:
    rng = random.Random(SEED + 2)
    seen = tight = 0
    for _ in range(4 * SETS):
        tasks = random_tasks(rng)
        result = admit(tasks)
        if result.reason != "blocking":
            continue
        limits = [op_limit(tasks, index) for index in range(len(tasks))]
        assert limits[result.blocker] == result.largest_op_us < tasks[result.blocker][3]
        if 0 in limits:
            continue
        cut = [(c, t, d, min(q, limit)) for (c, t, d, q), limit in zip(tasks, limits, strict=True)]
        after = admit(cut)
        assert after.admitted or after.reason in ("demand", "cap"), f"{tasks}; {_replay(SEED)}"
        if not after.admitted:
            continue
        seen += 1
        budget, period, deadline, _ = cut[result.blocker]
        cut[result.blocker] = (budget, period, deadline, limits[result.blocker] + 1)
        again = admit(cut)
        tight += again.reason == "blocking" and again.blocker == result.blocker
    assert seen > 50
    assert tight == seen, f"{tight} of {seen}: a longer op passed as well; {_replay(SEED)}"


def test_the_reported_slack_is_the_distance_to_a_miss() -> None:
    rng = random.Random(SEED + 3)
    for _ in range(SETS):
        tasks = random_tasks(rng)
        result = admit(tasks)
        if result.reason in ("demand", "blocking"):
            blocked = tasks[result.blocker][3] - 1 if result.blocker >= 0 else 0
            assert result.slack_us == result.at_us - demand(tasks, result.at_us) - blocked < 0
            deadline, period = tasks[result.task][2], tasks[result.task][1]
            assert (result.at_us - deadline) % period == 0
        elif result.admitted:
            assert result.slack_us >= 0


def test_the_cap_refuses_rather_than_guesses() -> None:
    tasks = [(1, 10, 10, 1), (1, 200_000, 200_000, 1)]
    assert admit(tasks).reason == "cap"
    assert admit(tasks, cap=30_000).admitted


@pytest.mark.parametrize(
    "task", [(0, 10, 10, 1), (5, 10, 4, 1), (5, 10, 11, 1), (5, 10, 10, 6), (5, 10, 10, 0)]
)
def test_parameters_out_of_order_are_refused_by_name(task: tuple[int, int, int, int]) -> None:
    result = admit([(1, 10, 10, 1), task])
    assert (result.admitted, result.reason, result.task) == (False, "parameters", 1)


def test_an_input_costs_its_samples_and_twice_where_a_job_may_start_again() -> None:
    assert input_us(490, 420, 400, False) == 206
    assert input_us(490, 420, 400, True) == 812
    assert input_us(0, 420, 400, False) == 0


def test_an_input_is_like_one_op_more() -> None:
    assert with_input((400, 9000, 8000, 300), 120) == (520, 9000, 8000, 300)
    assert with_input((400, 9000, 8000, 300), 320) == (720, 9000, 8000, 320)
    assert with_input((400, 9000, 8000, 400), 120) == (520, 9000, 8000, 520)  # runs whole
    assert with_input((400, 9000, 8000, 401), 120) == (400, 9000, 8000, 401)  # contradicts itself


def test_board_costs_go_to_budget_and_to_the_longest_stretch() -> None:
    assert inflate([(400, 9000, 8000, 300)], 50, 20, 0, 0) == [(450, 9000, 8000, 370)]
    assert inflate([(400, 9000, 8000, 300)], 900, 60, 700, 5000) == [
        (1300, 9000, 8000, 1260),
        (760, 5000, 5000, 760),
    ]
    assert inflate([(400, 9000, 8000, 400)], 10, 60, 0, 0) == [(470, 9000, 8000, 470)]


def test_board_costs_do_not_hide_parameters_that_contradict_themselves() -> None:
    for task in ((0, 9000, 8000, 0), (300, 9000, 8000, 301)):
        assert admit(inflate([task], 900, 60, 0, 0)).reason == "parameters"
