"""The trial on emulated firmware: the board keeps a package or gives it up by itself, and nobody tells it to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from repl import Repl
from trial_board import BOARD, TrialBoard, clamp, package, pool

from host.monitor.status import read_status, status_json
from protocol import errors

pytestmark = pytest.mark.emulated
WATCHDOG, FAULT = 3, 4
GOOD = package("1.0", clamp())


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrialBoard]:
    """A board that has confirmed version 1.0 by itself."""
    board = TrialBoard(tmp_path_factory.mktemp("trial"))
    try:
        assert board.install(GOOD).state_name == "confirmed"
        yield board
    finally:
        board.stop()


BAD = {
    "misses": (package("2.1", pool(3), 200, 60), errors.TRIAL_MISSES),
    "a late start": (package("2.2", clamp(), start_us=[1]), errors.TRIAL_START),
    "overruns": (package("2.3", pool(3), 400, overrun_ppm=1000), errors.TRIAL_OVERRUN),
    "no time for the link": (package("2.4", pool(17), 6000), errors.TRIAL_LINK),
    "a kernel that hangs": (package("2.5", pool(127), 1000), errors.TRIAL_WATCHDOG),
    "a link that starves": (package("2.6", pool(5), 150), errors.TRIAL_WATCHDOG),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_package_is_given_up_and_the_last_good_one_runs_again(
    board: TrialBoard, what: str
) -> None:
    data, code = BAD[what]
    slot = board.install(data)
    assert (slot.state_name, errors.name(slot.reason)) == ("bad", errors.name(code))
    assert board.runs() == "1.0"
    with board.session() as session:
        if code == errors.TRIAL_WATCHDOG:
            assert session.info.reset_cause == WATCHDOG
        session.os.reset()
    with board.session() as session:
        status = status_json(read_status(session))
    assert status["trial"]["reason"]["name"] == errors.name(code)  # also after further resets
    assert status["running"] and status["version"] == "1.0"


CRASHES = {
    "an exception": "raise MemoryError",
    "a hard fault": "import machine; machine.mem32[0xfffffff0]",
}


@pytest.mark.parametrize("what", CRASHES)
def test_a_crash_on_trial_gives_the_package_up(board: TrialBoard, what: str) -> None:
    """No package can do this while the firmware has no faults: a source of the prompt stands for such a fault."""
    data = package("3." + str(len(what)), clamp())
    board.choose(data)
    repl = Repl(Path(board.port))
    try:
        repl.raw()
        repl.run("import tactus.main, tactus.sources")
        repl.run(f"def crash():\n {CRASHES[what]}")
        repl.run("tactus.sources.ReplaySource.fills = lambda self: [crash] * 3")
        repl.start("tactus.main.main()")
    finally:
        repl.close()
    slot = board.settled(data)
    assert (slot.state_name, errors.name(slot.reason)) == ("bad", "TRIAL_FAULT")
    with board.session() as session:
        assert session.info.reset_cause == FAULT
    assert board.runs() == "1.0"


def test_a_trial_can_be_watched_and_costs_no_deadline(board: TrialBoard) -> None:
    data = package("4.0", clamp(), window_ms=4000)
    board.choose(data)
    board.reset()
    with board.session() as session:
        trial = session.tactus.trial()
        assert trial.state == "under way" and 0 < trial.remaining_ms < 4000
        assert session.info.state == 4
    assert board.settled(data).state_name == "confirmed"
    with board.session() as session:
        (stats,) = session.tactus.stats().tasks
        assert session.tactus.trial().state == "none"
        assert (stats.missed_late, stats.aborted, stats.skipped) == (0, 0, 0)


# One record of the journal, 40 times: the sector fills up, and one of them erases the other one.
MARKS = """
import _tactus
assert _tactus.init() == 0
slot = [_tactus.slot_info(i)[0] for i in (0, 1)].index(2)
longest = 0
for i in range(40):
    begin = _tactus.time_us()
    assert _tactus.slot_mark(slot, 2 if i & 1 else 3, 0, 0) == 0
    longest = max(longest, _tactus.time_us() - begin)
print(longest)
"""


STEP = """
from tactus import boot, state, trial
assert _tactus.slot_mark(slot, 3, 0, 0) == 0
board = state.Board()
boot.boot(board)
begin = _tactus.time_us()
trial.step(board)
print(_tactus.time_us() - begin, board.trial is None)
_tactus.sched_stop()
"""


def test_the_record_that_confirms_fits_into_a_piece_of_background_work(board: TrialBoard) -> None:
    with board.session() as session:
        session.image.upload(package("5.0", clamp()))
    repl = Repl(Path(board.port))
    try:
        repl.raw()
        longest_us = int(repl.run(MARKS))
        step_us, ended = repl.run(STEP).splitlines()[-1].split()
        repl.serial.write(b"\x02\x04")  # out of the raw prompt, soft reset
    finally:
        repl.close()
    print(f"a record of the journal takes at most {longest_us} us, a check {step_us} us")
    assert 0 < longest_us + int(step_us) < BOARD.time.background_us
    assert ended == "False"


def test_the_first_package_ever_has_nothing_to_go_back_to(tmp_path: Path) -> None:
    board = TrialBoard(tmp_path)
    try:
        data, code = BAD["a late start"]
        slot = board.install(data)
        assert (slot.state_name, slot.reason) == ("bad", code)
        with board.session() as session:
            assert not session.info.running and session.info.app is None
            assert session.info.reason == code
        hung, watchdog = BAD["a kernel that hangs"]
        assert board.install(hung).reason == watchdog
        assert board.runs() is None
        assert board.install(GOOD).state_name == "confirmed"
        assert board.runs() == "1.0"
    finally:
        board.stop()
