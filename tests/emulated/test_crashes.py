"""Confirmed packages that hang or crash, on emulated firmware and as processes: the link comes back, and an update helps."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from repl import Repl
from trial_board import TrialBoard, clamp, package, pool

from host.boards import load_board
from host.errors import TactusError, VerificationError
from host.install import update_board
from host.link.session import Session
from host.monitor.status import read_status, status_json
from host.rollback import roll_back
from protocol import errors, telemetry

pytestmark = pytest.mark.emulated
WATCHDOG, FAULT = 3, 4
MOST = 3
NOT_JUDGED = {"miss_ppm": 1_000_000, "link_gap_ms": 0}
WAIT_S = 120.0

# What a package becomes that hangs only weeks after it was confirmed.
CONFIRM = """
import _tactus
assert _tactus.init() == 0
slot = [_tactus.slot_info(i)[0] for i in (0, 1)].index(2)
for state in (3, 4, 5):
    assert _tactus.slot_mark(slot, state, 0, 5, 1) == 0
"""


def wait_for(board: TrialBoard, reason: int) -> None:
    """Wait until the board says so by itself; nothing is done but asking."""
    give_up = time.monotonic() + WAIT_S
    while True:
        with board.session() as session:
            if session.info.reason == reason:
                return
        assert time.monotonic() < give_up, "the board never gave it up"
        time.sleep(0.2)


def wait_for_last_boot(session: Session, reason: int) -> telemetry.Record:
    """The record of this boot, once the board has written it."""
    give_up = time.monotonic() + WAIT_S
    while time.monotonic() < give_up:
        page = session.tactus.telemetry(1)
        found = [telemetry.decode(content) for _, content in page.records]
        boots = [record for record in found if record.kind == telemetry.BOOT]
        if boots and boots[-1].fields["reason"] == reason:
            return boots[-1]
        time.sleep(0.2)
    raise AssertionError("no record of the boot")


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrialBoard]:
    board = TrialBoard(tmp_path_factory.mktemp("crashes"))
    yield board
    board.stop()


def confirm(board: TrialBoard, data: bytes) -> None:
    """Upload and confirm without a trial, then reset."""
    with board.session() as session:
        session.image.upload(data)
    repl = Repl(Path(board.port))
    try:
        repl.raw()
        repl.run(CONFIRM)
        repl.start("_tactus.reset()")
    finally:
        repl.close()


def test_a_confirmed_package_that_hangs_leaves_the_link_and_an_update_helps(
    board: TrialBoard,
) -> None:
    hung = package("2.0", pool(127), 1000)
    confirm(board, hung)
    wait_for(board, errors.BOOT_STOPPED)
    with board.session() as session:
        status = status_json(read_status(session))
        boot = wait_for_last_boot(session, errors.BOOT_STOPPED)
    assert (status["version"], status["running"], status["crashes"]) == ("2.0", False, MOST)
    assert status["reset_cause"] == "watchdog"
    assert (boot.fields["version"], boot.fields["reset_cause"]) == ("2.0", WATCHDOG)
    with pytest.raises(VerificationError, match="stopped after 3 crashes in a row"):
        update_board(board.session, hung)
    with pytest.raises(TactusError, match="nothing to go back to"):
        roll_back(None, board.port)
    done = update_board(board.session, package("2.1", clamp()))
    assert (done.outcome, done.before, done.now) == ("installed", "demo 2.0", "demo 2.1")
    with board.session() as session:
        assert (session.info.crashes, session.info.reason) == (0, None)


def test_it_goes_back_by_itself_to_the_package_before(board: TrialBoard) -> None:
    assert board.runs() == "2.1"
    confirm(board, package("3.0", pool(127), 1000))
    wait_for(board, errors.BOOT_BACK)
    assert board.runs() == "2.1"
    with board.session() as session:
        slots = session.tactus.slots().slots
        assert {slot.state_name for slot in slots} <= {"confirmed", "tried"}
        assert session.info.crashes == MOST
    assert board.settled(package("2.1", clamp())).state_name == "confirmed"
    board.reset()
    assert board.runs() == "2.1"  # it stays
    with pytest.raises(VerificationError, match=r"watchdog reset the board; demo 2\.1 runs"):
        roll_back(None, board.port)  # a person may insist


@pytest.mark.parametrize("name", ["host", "unix"])
def test_a_process_that_crashes_again_and_again_stops_with_its_link(
    name: str, tmp_path: Path
) -> None:
    board = TrialBoard(tmp_path, load_board(name))
    try:
        good = {"board": board.board, "budget_us": 900, **NOT_JUDGED}
        assert board.install(package("1.0", clamp(900), **good)).state_name == "confirmed"
        for crashes in range(1, MOST + 1):
            tasks = Path(f"/proc/{board.pid}/task/{board.pid}/children")
            os.kill(int(tasks.read_text().split()[0]), signal.SIGSEGV)
            with board.session() as session:
                assert (session.info.reset_cause, session.info.crashes) == (FAULT, crashes)
        with board.session() as session:
            assert (session.info.running, session.info.reason) == (False, errors.BOOT_STOPPED)
        done = update_board(board.session, package("1.1", clamp(900), **good))
        assert done.now == "demo 1.1"
        with board.session() as session:
            assert (session.info.running, session.info.crashes) == (True, 0)
    finally:
        board.stop()
