"""`rollback` on emulated firmware: one command, and how long the board takes by its own clock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from repl import Repl
from trial_board import TrialBoard, clamp, package

from host.link.errors import DeviceError
from host.link.session import Session
from host.rollback import NothingToGoBackError, roll_back
from protocol import errors
from protocol.stats import Event

pytestmark = pytest.mark.emulated
OLD, NEW = package("1.0", clamp()), package("2.0", clamp(), window_ms=300)
RELEASE = 1  # enum tac_event_kind
PERIOD_US = 200_000


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrialBoard]:
    """A board that has confirmed 1.0 and then 2.0."""
    board = TrialBoard(tmp_path_factory.mktemp("rollback"))
    try:
        assert board.install(OLD).state_name == "confirmed"
        with pytest.raises(NothingToGoBackError, match=r"nothing to go back to: .* runs demo 1\.0"):
            roll_back(None, board.port)
        assert board.install(NEW).state_name == "confirmed"
        yield board
    finally:
        board.stop()


def test_rollback_runs_the_other_confirmed_package_and_again_the_newer_one(
    board: TrialBoard,
) -> None:
    assert board.runs() == "2.0"
    back = roll_back(None, board.port)
    assert (back.version, back.left, board.runs()) == ("1.0", "2.0", "1.0")
    board.reset()
    assert board.runs() == "1.0"
    forth = roll_back(None, board.port)
    assert (forth.version, board.runs()) == ("2.0", "2.0")


# What start-up does before the package is there to be looked at, and after it: the interpreter, both slots' manifests, the
# start. The load between is verify(), the same at every boot.
LOAD = """
import _tactus
from protocol.pieces import finish
from tactus import package, application, state
assert _tactus.init() == 0
board = state.Board()
begin = _tactus.time_us()
loaded = finish(package.verify(_tactus.slot_data({slot}), board.facts, _tactus.counter()))
application.selftest(loaded)
print(_tactus.time_us() - begin)
"""


def background_us(session: Session) -> int:
    """Time that the board has spent on its link: how long messages wait on this computer is not in it."""
    loop = session.tactus.stats().loop
    assert loop is not None
    return loop.background_us


def test_going_back_takes_less_than_a_second_plus_the_load(board: TrialBoard) -> None:
    with board.session() as session:
        slots = session.tactus.slots().slots
        target = 1 - (session.info.slot or 0)
        spent_us = background_us(session)
        session.image.test(slots[target].sha256)
        chosen_ms = (background_us(session) - spent_us) // 1000  # with a question for statistics
        session.os.reset()
    with board.session() as session:
        stats = session.tactus.stats()
        assert stats.loop is not None
        releases: list[Event] = []
        while not releases:  # the board answers before its first one
            releases = [event for event in session.tactus.events() if event.kind == RELEASE]
        started_ms = stats.uptime_ms - stats.loop.elapsed_us // 1000
        first_us = releases[0].at_us - PERIOD_US * releases[0].job  # releases lie on a grid
        released_ms = started_ms + first_us // 1000
    repl = Repl(Path(board.port))
    try:
        repl.raw()
        load_ms = int(repl.run(LOAD.format(slot=target))) // 1000
    finally:
        repl.close()
    total_ms = chosen_ms + released_ms
    print(
        f"choose {chosen_ms} ms, reset to first release {released_ms} ms, of that load {load_ms} ms"
    )
    assert 0 < total_ms - load_ms < 1000
    repl = Repl(Path(board.port))
    repl.serial.write(b"\x02\x04")  # out of the raw prompt, soft reset
    repl.close()
    assert board.runs() is not None


def test_a_package_on_trial_is_given_up_for_the_confirmed_one(board: TrialBoard) -> None:
    before = board.runs()
    data = package("3.0", clamp(), window_ms=600_000)
    board.choose(data)
    board.reset()
    assert board.runs() == "3.0"
    back = roll_back(None, board.port)
    assert (back.left, back.version) == ("3.0", before)
    assert board.settled(data).reason == errors.PKG_TRIAL


def test_what_is_below_the_floors_is_refused_and_nothing_restarts(board: TrialBoard) -> None:
    assert board.install(package("4.0", clamp(), counter=6)).state_name == "confirmed"
    with board.session() as session:
        boot = session.info.boot_id, session.info.uptime_ms
    with pytest.raises(DeviceError, match="security counter is older") as refused:
        roll_back(None, board.port)
    assert refused.value.exit_code == 4
    with board.session() as session:
        assert session.info.version == "4.0" and session.info.uptime_ms > boot[1]
        assert session.info.boot_id == boot[0]
