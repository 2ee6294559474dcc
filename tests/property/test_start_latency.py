"""The bound on start latency against a simulator that tries to start jobs later."""

import os
import random

import pytest

from host.schedule.latency import start_bounds_us
from protocol.admission import admit
from tests.property.admission_simulator import first_miss, latest_starts, random_tasks

SETS = 600
SEED = int(os.environ.get("TACTUS_SEED", "20"))


def _replay() -> str:
    return f"replay: TACTUS_SEED={SEED} pytest {__file__}"


@pytest.mark.parametrize("block", range(3))
def test_no_job_of_an_admitted_set_starts_later_than_its_bound(block: int) -> None:
    rng = random.Random(SEED * 1000 + block)
    admitted = reached = tasks_seen = 0
    for _ in range(SETS):
        tasks = random_tasks(rng)
        if not admit(tasks).admitted:
            continue
        admitted += 1
        bounds, seen = start_bounds_us(tasks), latest_starts(tasks, rng)
        late = [i for i, (at, bound) in enumerate(zip(seen, bounds, strict=True)) if at > bound]
        assert not late, f"{tasks}: starts {seen}, bounds {bounds}; {_replay()}"
        tasks_seen += len(tasks)
        reached += sum(at == bound for at, bound in zip(seen, bounds, strict=True))
    assert admitted > SETS // 5
    print(f"{reached} of {tasks_seen} bounds were reached")
    assert reached > tasks_seen * 8 // 10, f"{reached} of {tasks_seen}: a loose bound; {_replay()}"


def test_background_work_that_has_begun_delays_by_one_piece_at_most() -> None:
    rng = random.Random(SEED + 7)
    for _ in range(SETS):
        tasks = random_tasks(rng, most=3, longest_period=60)
        piece = rng.randint(2, 12)
        if not admit([*tasks, (piece, 120, 120, piece)]).admitted:
            continue
        starts = [0] * len(tasks)
        together = [0] * len(tasks)
        first_miss(tasks, together, 2400, background=[piece], stop_when_idle=True, starts=starts)
        for _ in range(4):
            offsets = [rng.randrange(task[1]) for task in tasks]
            first_miss(tasks, offsets, 2400, background=[1, piece], rng=rng, starts=starts)
        bounds = start_bounds_us(tasks, background_us=piece)
        for at, bound in zip(starts, bounds, strict=True):
            assert at <= bound, f"{tasks}, piece {piece}: {starts}, {bounds}; {_replay()}"


def test_a_task_alone_starts_at_its_release_and_after_its_prologue() -> None:
    assert start_bounds_us([(10, 100, 100, 4)]) == (0,)
    assert start_bounds_us([(10, 100, 100, 4)], prologues_us=[3]) == (3,)


def test_a_longer_deadline_blocks_once_and_an_earlier_one_every_time() -> None:
    # The long task waits for two short jobs at most; the short one for an op of the long one.
    short, long = (3, 10, 10, 3), (20, 100, 100, 5)
    assert start_bounds_us([short, long]) == (4, 3)
