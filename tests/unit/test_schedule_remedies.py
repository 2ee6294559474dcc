"""A task set that does not fit is refused with numbers that do."""

import re
from dataclasses import replace

import pytest

from host.boards import Board, Time, Wcet, load_board
from host.errors import DoesNotFitError, ExitCode, UsageError
from host.schedule.admit import TaskTiming, admit_tasks, op_limits_us
from host.schedule.wcet import op_wcet_us


@pytest.fixture(scope="module")
def m4() -> Board:
    """A board of that kind, with figures that these tests can count with."""
    return replace(
        load_board("qemu-m4"),
        time=Time(
            dispatch_us=900,
            lockout_us=60,
            background_us=20_000,
            background_period_us=250_000,
            scales_with_speed=False,
        ),
        wcet=Wcet(
            base_us=40,
            margin_percent=20,
            ns_per_unit={"conv2d": 640, "copy": 128},
            ns_per_output={"conv2d": 2_000},
            ns_per_run={"conv2d": 20_000},
        ),
    )


MOTION = TaskTiming("motion", 40_000, 1_000_000, 500_000, 8_000)
DIGITS = TaskTiming("digits", 10_000, 50_000, 50_000, 3_000)


def _us(text: str) -> int:
    return round(float(text) * 1000)


def _refusal(board: Board, *tasks: TaskTiming) -> DoesNotFitError:
    with pytest.raises(DoesNotFitError) as caught:
        admit_tasks(board, tasks)
    assert caught.value.exit_code is ExitCode.DOES_NOT_FIT
    assert "\n" not in caught.value.cause + caught.value.remedy
    return caught.value


def test_an_admitted_set_tells_its_tightest_deadline(m4: Board) -> None:
    verdict = admit_tasks(m4, [MOTION, DIGITS])
    # 50 ms - (10 + 0.9 dispatch) - (20.06 background - 0.001)
    assert (verdict.tightest, verdict.at_us, verdict.slack_us) == ("digits", 50_000, 19_041)
    assert verdict.op_limits_us == (50_000 - 10_900 + 1 - 960, 10_000)
    assert verdict.utilization_percent == pytest.approx(4.09 + 21.8 + 8.024, abs=0.01)


def test_an_op_that_blocks_too_long_is_named_with_the_length_that_would_pass(m4: Board) -> None:
    long_op = replace(MOTION, longest_op_us=39_500)
    refusal = _refusal(m4, long_op, DIGITS)
    assert "'digits'" in refusal.cause and "by 'motion'" in refusal.cause
    assert "1.359 ms short at 50 ms" in refusal.cause
    found = re.search(r"split the ops of 'motion' to at most (\d+) us", refusal.remedy)
    assert found
    limit = int(found[1])
    assert limit == op_limits_us(m4, [long_op, DIGITS])[0]
    admit_tasks(m4, [replace(long_op, longest_op_us=limit), DIGITS])
    _refusal(m4, replace(long_op, longest_op_us=limit + 1), DIGITS)


def test_the_smallest_deadline_that_passes_is_found(m4: Board) -> None:
    refusal = _refusal(m4, replace(MOTION, deadline_us=3_000), DIGITS)
    assert "'motion' needs 40.9 ms a job on board qemu-m4" in refusal.cause
    found = re.search(r"give 'motion' a deadline of ([\d.]+) ms", refusal.remedy)
    assert found
    deadline_us = _us(found[1])
    admit_tasks(m4, [replace(MOTION, deadline_us=deadline_us), DIGITS])
    _refusal(m4, replace(MOTION, deadline_us=deadline_us - 1), DIGITS)


def test_too_much_work_gets_the_smallest_period_that_passes(m4: Board) -> None:
    busy = TaskTiming("motion", 40_000, 50_000, 50_000, 800)
    refusal = _refusal(m4, busy, DIGITS)
    assert "processor time each second" in refusal.cause
    found = re.search(r"give 'motion' a period and deadline of ([\d.]+) ms", refusal.remedy)
    assert found
    period_us = _us(found[1])
    admit_tasks(m4, [replace(busy, period_us=period_us, deadline_us=period_us), DIGITS])
    shorter = period_us - 1
    _refusal(m4, replace(busy, period_us=shorter, deadline_us=shorter), DIGITS)


def test_when_one_task_is_not_enough_all_are_stretched(m4: Board) -> None:
    tasks = [
        TaskTiming("motion", 40_000, 100_000, 90_000, 800),
        TaskTiming("digits", 30_000, 50_000, 40_000, 3_000),
    ]
    refusal = _refusal(m4, *tasks)
    found = re.search(r"multiply all periods and deadlines by (\d+)\.(\d\d)", refusal.remedy)
    assert found
    percent = int(found[1] + found[2])
    admit_tasks(
        m4,
        [
            replace(
                task,
                period_us=task.period_us * percent // 100,
                deadline_us=task.deadline_us * percent // 100,
            )
            for task in tasks
        ],
    )


@pytest.mark.parametrize(
    ("change", "cause", "remedy"),
    [
        ({"deadline_us": 2_000_000}, "after its period of 1000 ms", "at most 1000 ms"),
        ({"longest_op_us": 50_000}, "an op of 50 ms in a budget of 40 ms", "at least the longest"),
    ],
)
def test_contradictory_timings_are_explained(
    m4: Board, change: dict[str, int], cause: str, remedy: str
) -> None:
    refusal = _refusal(m4, replace(MOTION, **change), DIGITS)
    assert cause in refusal.cause and remedy in refusal.remedy


def test_speed_divides_deadlines_only_where_the_board_scales(m4: Board) -> None:
    host = load_board("host")
    tasks = [
        TaskTiming("motion", 400, 1_000_000, 500_000, 80),
        TaskTiming("digits", 200, 50_000, 50_000, 30),
    ]
    assert admit_tasks(host, tasks, 20).at_us == 2_500
    assert admit_tasks(m4, [MOTION, DIGITS], 1000) == admit_tasks(m4, [MOTION, DIGITS])
    with pytest.raises(DoesNotFitError) as caught:
        admit_tasks(host, tasks, 400)
    assert "at speed 400" in caught.value.cause
    found = re.search(r"use speed (\d+) or lower", caught.value.remedy)
    assert found
    admit_tasks(host, tasks, int(found[1]))
    with pytest.raises(DoesNotFitError):
        admit_tasks(host, tasks, int(found[1]) + 1)


def test_declared_op_times_round_up_and_carry_the_margin(m4: Board) -> None:
    assert op_wcet_us(m4, "conv2d", 1000) == 816  # (40 + 640) * 1.2
    assert op_wcet_us(m4, "conv2d", 1000, outputs=10, runs=2) == 888  # + (20 + 40) * 1.2
    assert op_wcet_us(m4, "copy", 1) == 49  # 48.1536
    assert op_wcet_us(m4, "copy", 0) == 48
    with pytest.raises(UsageError, match="no cost for operator 'fft'"):
        op_wcet_us(m4, "fft", 1)
