"""Models share RAM only where the admission test says that their jobs never interleave."""

import random
from dataclasses import replace

import pytest

from host.boards import Board, load_board
from host.schedule.admit import TaskTiming, is_admitted
from host.schedule.share import run_whole, share_arenas


@pytest.fixture(scope="module")
def m4() -> Board:
    """A board without costs of its own."""
    board = load_board("qemu-m4")
    return replace(board, time=replace(board.time, dispatch_us=0, lockout_us=0, background_us=0))


SHORT = TaskTiming("short", 2_000, 40_000, 40_000, 500)
LONG = TaskTiming("long", 30_000, 400_000, 400_000, 3_000)


def test_a_job_short_enough_to_run_whole_shares_its_arena(m4: Board) -> None:
    arenas = share_arenas(m4, [SHORT, LONG], [700, 9_001])
    assert arenas.offsets == (0, 0)
    assert arenas.whole == (False, True)  # the shortest deadline is never preempted by the other
    assert arenas.total_bytes == 9_008


def test_a_job_that_would_block_too_long_keeps_its_own(m4: Board) -> None:
    long = replace(LONG, budget_us=38_002)  # 38,001 us of blocking and 2,000 of work in 40,000
    arenas = share_arenas(m4, [SHORT, long], [700, 9_001])
    assert sorted(arenas.offsets) != [0, 0]
    assert arenas.whole == (False, False)
    assert arenas.total_bytes == 704 + 9_008
    assert share_arenas(m4, [SHORT, replace(long, budget_us=38_001)], [1, 1]).total_bytes == 16


def test_equal_deadlines_share_without_running_whole(m4: Board) -> None:
    arenas = share_arenas(m4, [SHORT, replace(SHORT, name="other")], [100, 300])
    assert (arenas.offsets, arenas.whole, arenas.total_bytes) == ((0, 0), (False, False), 304)


def test_a_mode_that_turns_the_deadlines_around_makes_both_run_whole(m4: Board) -> None:
    long = replace(LONG, budget_us=10_000)
    other = [SHORT, replace(long, deadline_us=35_000)]
    arenas = share_arenas(m4, [SHORT, long], [700, 9_001], [other])
    assert (arenas.offsets, arenas.whole) == ((0, 0), (True, True))


def test_a_mode_in_which_blocking_is_too_long_keeps_the_arenas_apart(m4: Board) -> None:
    tight = [replace(SHORT, deadline_us=31_000), LONG]  # 2,000 of work and 29,999 of blocking
    assert share_arenas(m4, [SHORT, LONG], [700, 9_001], [tight]).whole == (False, False)
    assert share_arenas(m4, [SHORT, LONG], [700, 9_001], [[tight[0], None]]).whole == (False, True)


def test_no_arrangement_breaks_the_admission_or_overlaps_jobs_that_interleave(m4: Board) -> None:
    rng = random.Random(5)
    shared = 0
    for _ in range(300):
        tasks = []
        for index in range(rng.randint(1, 4)):
            period = rng.randint(10_000, 200_000)
            budget = rng.randint(500, period // 4)
            deadline = rng.randint(budget, period)
            tasks.append(TaskTiming(f"t{index}", budget, period, deadline, rng.randint(1, budget)))
        if not is_admitted(m4, tasks):
            continue
        sizes = [rng.randint(1, 10_000) for _ in tasks]
        arenas = share_arenas(m4, tasks, sizes)
        assert is_admitted(m4, run_whole(tasks, arenas.whole))
        assert arenas.total_bytes <= sum(-(-size // 16) * 16 for size in sizes)
        for i in range(len(tasks)):
            for j in range(i):
                low, high = sorted((i, j), key=lambda k: arenas.offsets[k])
                if arenas.offsets[low] + sizes[low] > arenas.offsets[high]:
                    shared += 1
                    longer = max(i, j, key=lambda k: tasks[k].deadline_us)
                    equal = tasks[i].deadline_us == tasks[j].deadline_us
                    assert equal or arenas.whole[longer], (tasks, arenas)
    assert shared > 20
