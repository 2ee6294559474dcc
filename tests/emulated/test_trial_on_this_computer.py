"""The trial and the watchdog of the boards that are processes of this computer."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from trial_board import TrialBoard, clamp, package, pool

from host.boards import load_board
from protocol import errors

pytestmark = pytest.mark.emulated
WATCHDOG, FAULT = 3, 4
NOT_JUDGED = {"miss_ppm": 1_000_000, "link_gap_ms": 0}  # a PC is busy with other things
LONG_MS = 4_000
OPS, OP_US = 1024, 900  # each takes some 0.1 s and says that it takes less than one ms


@pytest.fixture(params=["host", "unix"])
def board(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TrialBoard]:
    """A board that has confirmed version 1.0 by itself."""
    board = TrialBoard(tmp_path, load_board(request.param))
    try:
        good = package("1.0", clamp(OP_US), board=board.board, budget_us=OP_US, **NOT_JUDGED)
        assert board.install(good).state_name == "confirmed"
        yield board
    finally:
        board.stop()


def test_a_package_that_leaves_no_time_for_anything_is_bitten_by_the_watchdog(
    board: TrialBoard,
) -> None:
    lie = {"budget_us": OPS * OP_US, "ops": OPS, **NOT_JUDGED}
    data = package("2.0", pool(127, OPS, OP_US), LONG_MS, board=board.board, **lie)
    slot = board.install(data)
    assert (slot.state_name, errors.name(slot.reason)) == ("bad", "TRIAL_WATCHDOG")
    with board.session() as session:
        assert session.info.version == "1.0" and session.info.reset_cause == WATCHDOG


def test_a_process_that_crashes_on_trial_runs_the_good_package_again(board: TrialBoard) -> None:
    data = package(
        "3.0", clamp(OP_US), board=board.board, budget_us=OP_US, window_ms=600_000, **NOT_JUDGED
    )
    board.choose(data)
    board.reset()
    assert board.runs() == "3.0"
    children = Path(f"/proc/{board.pid}/task/{board.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGSEGV)
    slot = board.settled(data)
    assert (slot.state_name, errors.name(slot.reason)) == ("bad", "TRIAL_FAULT")
    with board.session() as session:
        assert session.info.version == "1.0" and session.info.reset_cause == FAULT
