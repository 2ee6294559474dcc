"""The trial as the board judges it, threshold by threshold; on real time in tests/emulated/test_trial.py."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import package_builder as build
import pytest
from device_bench import Bench
from fake_store import BAD, CONFIRMED, EMPTY, PENDING, PROVEN, TRIED
from fake_tactus import Fault, Reset

from protocol import errors

RELEASED, MISSED, OVERRUNS, START_US, IS_ON = 1, 2, 3, 4, 5  # enum tac_trial_figure
LIMITS: dict[str, Any] = {
    "window_ms": 4000,
    "jobs": 10,
    "miss_ppm": 100_000,
    "overrun_ppm": 200_000,
    "link_gap_ms": 900,
    "start_us": [300, 0],
}


def package(version: str = "2.0.0", **changes: Any) -> bytes:
    return build.build(build.manifest(version=version, **changes))


def try_out(bench: Bench, data: bytes) -> None:
    assert bench.upload(data)["match"] is True
    bench.write(1, 0, {"hash": hashlib.sha256(data).digest(), "confirm": False})
    bench.reset()


@pytest.fixture
def trying(running: Bench) -> Iterator[Bench]:
    """Version 2.0.0 on trial, 1.2.3 behind it."""
    try_out(running, package(trial=LIMITS))
    assert running.states() == [CONFIRMED, TRIED]
    yield running


def spend(bench: Bench, ms: int, released: int = 50, turn_ms: int = 250, **figures: int) -> None:
    """Let time pass on trial; `figures` are those of task 0."""
    loop, trial = bench.module("loop"), bench.module("trial")
    for task in (0, 1):
        bench.fake.figures[RELEASED, task] = released
    for name, value in figures.items():
        bench.fake.figures[globals()[name], 0] = value
    for _ in range(ms // turn_ms):
        bench.fake.now_us += 1000 * turn_ms
        bench.fake.elapsed_ms += turn_ms
        if bench.board.trial and bench.board.trial.is_due():
            trial.step(bench.board)
        else:
            loop.background(bench.board)


def trial_of(bench: Bench) -> Any:
    return bench.read(64, 20)


def test_a_good_package_is_kept_at_the_end_of_its_window_and_not_before(trying: Bench) -> None:
    spend(trying, 3750, MISSED=5, OVERRUNS=10, START_US=300)
    assert trying.states() == [CONFIRMED, TRIED]
    seen = {"state": 1, "remaining_ms": 250, "jobs": 100, "misses": 5, "reason": 0}
    assert trial_of(trying) == seen
    spend(trying, 250, MISSED=5, OVERRUNS=10, START_US=300)
    assert trying.states() == [CONFIRMED, CONFIRMED]
    assert trial_of(trying)["state"] == 0 and not trying.board.reset_requested
    assert trying.store.counter == 5 and trying.read(64, 0)["version"] == "2.0.0"


@pytest.mark.parametrize(
    ("figures", "code", "at_once"),
    [
        ({"MISSED": 6}, errors.TRIAL_MISSES, False),
        ({"OVERRUNS": 11}, errors.TRIAL_OVERRUN, False),
        ({"START_US": 301}, errors.TRIAL_START, True),
        ({"turn_ms": 1000}, errors.TRIAL_LINK, True),
    ],
)
def test_each_threshold_gives_the_package_up_with_a_reason_of_its_own(
    trying: Bench, figures: dict[str, int], code: int, at_once: bool
) -> None:
    spend(trying, 2000, **figures)
    assert trying.states() == [CONFIRMED, BAD if at_once else TRIED]
    spend(trying, 2000, **figures)
    assert trying.states() == [CONFIRMED, BAD] and trying.refusal() == code
    assert trying.board.reset_requested and not trying.board.running
    with pytest.raises(Reset):
        trying.module("loop").run(trying.board)
    for _ in range(3):
        trying.reset()
        info = trying.read(64, 0)
        assert (info["version"], info["running"]) == ("1.2.3", True)
        assert trial_of(trying)["reason"] == code


def test_a_slow_task_gets_the_jobs_that_the_manifest_wants(trying: Bench) -> None:
    spend(trying, 8000, released=9)
    assert trying.states() == [CONFIRMED, TRIED] and trial_of(trying)["remaining_ms"] == 0
    spend(trying, 250, released=10)
    assert trying.states() == [CONFIRMED, CONFIRMED]


def test_a_task_that_is_off_is_not_waited_for(trying: Bench) -> None:
    trying.fake.figures[IS_ON, 1] = 0
    spend(trying, 3750)
    trying.fake.figures[RELEASED, 1] = 0
    trying.fake.elapsed_ms = 4000
    trying.module("trial").step(trying.board)
    assert trying.states() == [CONFIRMED, CONFIRMED]


def test_while_stopped_the_trial_is_held(trying: Bench) -> None:
    trying.write(64, 7)
    assert trial_of(trying)["state"] == 2
    trying.fake.elapsed_ms = 4000  # stands still on a board; here the step must not even ask
    trying.module("trial").step(trying.board)
    assert trying.states() == [CONFIRMED, TRIED]
    trying.write(64, 6, {"speed": 1})
    assert trial_of(trying)["state"] == 1


def test_a_client_may_confirm_before_the_end(trying: Bench) -> None:
    assert "images" in trying.write(1, 0, {"confirm": True})
    assert trying.states() == [CONFIRMED, CONFIRMED] and trying.board.trial is None


def test_a_client_cannot_keep_what_has_failed_already(trying: Bench) -> None:
    trying.fake.figures[START_US, 0] = 301
    refusal = {"err": {"group": 64, "rc": errors.TRIAL_START}}
    assert trying.write(1, 0, {"confirm": True}) == refusal
    stock = trying.ask(2, 1, 0, {"confirm": True}, flags=0)
    assert stock == {"err": {"group": 1, "rc": 1}}
    assert trying.states() == [CONFIRMED, TRIED]


def test_the_first_package_ever_leaves_the_board_idle_with_its_link(bench: Bench) -> None:
    try_out(bench, package(trial=LIMITS))
    spend(bench, 500, START_US=301)
    assert bench.states() == [BAD, EMPTY] and not bench.board.reset_requested
    info = bench.read(64, 0)
    assert (info["running"], info["reason"]) == (False, errors.TRIAL_START)
    assert "app" not in info


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        (0, errors.PKG_TRIAL),
        (1, errors.PKG_TRIAL),
        (2, errors.PKG_TRIAL),
        (3, errors.TRIAL_WATCHDOG),
        (4, errors.TRIAL_FAULT),
    ],
)
def test_the_reason_says_how_a_reset_ended_the_trial(trying: Bench, cause: int, code: int) -> None:
    trying.fake.cause = cause
    assert trying.fake.slot_select() == 0
    assert trying.refusal() == code


def test_a_manifest_that_says_nothing_gets_ten_seconds(running: Bench) -> None:
    try_out(running, package())
    spend(running, 9750)
    assert running.states() == [CONFIRMED, TRIED]
    spend(running, 250)
    assert running.states() == [CONFIRMED, CONFIRMED]


def test_going_back_needs_no_window_and_no_thresholds(trying: Bench) -> None:
    spend(trying, 4000)
    first = hashlib.sha256(build.build()).digest()
    trying.write(1, 0, {"hash": first, "confirm": False})
    assert trying.states() == [PENDING, CONFIRMED] and trying.store.slots[0].reason == PROVEN
    slot = trying.read(64, 11)["slots"][0]
    assert (slot["proven"], slot["reason"]) == (True, 0)
    trying.reset()
    assert trying.states() == [TRIED, CONFIRMED]
    trying.fake.figures |= {(RELEASED, 0): 1, (MISSED, 0): 1, (RELEASED, 1): 0}
    trying.module("trial").step(trying.board)
    assert trying.states() == [TRIED, CONFIRMED]  # one task has not run yet
    trying.fake.figures[RELEASED, 1] = 1
    trying.module("trial").step(trying.board)
    assert trying.states() == [CONFIRMED, CONFIRMED]
    trying.reset()
    assert trying.read(64, 0)["version"] == "1.2.3"


def test_a_way_back_that_crashes_leaves_the_newer_package_running(trying: Bench) -> None:
    spend(trying, 4000)
    trying.write(1, 0, {"hash": hashlib.sha256(build.build()).digest(), "confirm": False})
    trying.reset()
    trying.facts["cause"] = 3
    trying.reset()  # in the midst of it
    assert trying.states() == [BAD, CONFIRMED] and trying.refusal() == errors.TRIAL_WATCHDOG
    assert trying.read(64, 0)["version"] == "2.0.0"


def test_a_power_cut_on_the_way_back_loses_neither_package(trying: Bench) -> None:
    spend(trying, 4000)
    first = hashlib.sha256(build.build()).digest()
    for _ in range(2):
        trying.write(1, 0, {"hash": first, "confirm": False})
        trying.facts["cause"] = 1
        trying.reset()
        assert trying.states() == [TRIED, CONFIRMED]
        trying.reset()
        assert trying.states() == [CONFIRMED, CONFIRMED]
        assert trying.read(64, 0)["version"] == "2.0.0"


NEWER = {
    errors.PKG_COUNTER: package("2.0.0", counter=6),
    errors.PKG_KEYSET_OLD: build.build(build.manifest(version="2.0.0"), keys=build.key_set(2)),
}


@pytest.mark.parametrize("code", NEWER)
def test_what_is_below_the_floors_is_refused_when_it_is_chosen(running: Bench, code: int) -> None:
    running.install(NEWER[code])
    first = {"hash": hashlib.sha256(build.build()).digest(), "confirm": False}
    for _ in range(2):  # what the board knows of its slots since boot, and since the upload
        assert running.write(1, 0, first) == {"err": {"group": 64, "rc": code}}
        assert running.states() == [CONFIRMED, CONFIRMED]
        running.reset()


def test_an_exception_that_nobody_caught_resets_as_a_fault(
    running: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    main = running.module("main")

    def broken(board: object) -> None:
        raise MemoryError("locked")

    main.loop.run = broken
    with pytest.raises(Fault):
        main.main()
    assert "MemoryError: locked" in capsys.readouterr().err
    assert running.fake.watchdogs and set(running.fake.watchdogs) == {8_000_000}
