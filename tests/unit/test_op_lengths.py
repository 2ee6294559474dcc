"""The build asks the compiler for shorter ops, and for no more than that."""

from dataclasses import replace

import pytest

from host.boards import Board, load_board
from host.schedule.admit import TaskTiming, op_limits_us
from host.schedule.op_lengths import shorter_ops

SHORT = TaskTiming("short", 2_000, 40_000, 40_000, 500)
LONG = TaskTiming("long", 100_000, 400_000, 400_000, 60_000)


@pytest.fixture(scope="module")
def m4() -> Board:
    board = load_board("qemu-m4")
    return replace(board, time=replace(board.time, background_us=0))


def test_a_model_whose_op_blocks_too_long_is_asked_for_the_length_that_passes(m4: Board) -> None:
    limit = op_limits_us(m4, [SHORT, LONG])[1]
    dispatch_us, lockout_us = m4.time.dispatch_us, m4.time.lockout_us
    stretch_us = 40_000 - (2_000 + dispatch_us) + 1
    assert limit == stretch_us - dispatch_us - lockout_us
    assert shorter_ops(m4, [SHORT, LONG], [None, None]) == [None, limit]


def test_a_model_that_stays_too_long_is_not_asked_again(m4: Board) -> None:
    limit = op_limits_us(m4, [SHORT, LONG])[1]
    assert shorter_ops(m4, [SHORT, LONG], [None, limit]) is None


def test_cutting_that_made_the_model_longer_lowers_the_limit(m4: Board) -> None:
    before = op_limits_us(m4, [SHORT, LONG])[1]
    slower = replace(SHORT, budget_us=2_500)
    assert shorter_ops(m4, [slower, LONG], [None, before]) == [None, before - 500]


def test_too_much_work_is_no_reason_for_shorter_ops(m4: Board) -> None:
    assert shorter_ops(m4, [replace(SHORT, budget_us=39_990), LONG], [None, None]) is None
