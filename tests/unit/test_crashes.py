"""What a board does after crashes in a row; on emulated boards in tests/emulated/test_crashes.py."""

from __future__ import annotations

import hashlib
from typing import Any

import package_builder as build
import pytest
from device_bench import Bench
from fake_store import BAD, CONFIRMED, EMPTY, PENDING, TRIED

from protocol import errors

FIRST = build.build()
MOST = 3
HEALTHY_MS = 60_000


def package(version: str = "2.0.0", **changes: Any) -> bytes:
    return build.build(build.manifest(version=version, **changes))


def crash(bench: Bench, crashes: int) -> None:
    """Boot after so many crashes in a row."""
    bench.facts |= {"crashes": crashes, "cause": 3}
    bench.reset()
    bench.facts |= {"crashes": 0, "cause": 2}


def install(bench: Bench, data: bytes) -> None:
    assert bench.upload(data)["match"] is True
    bench.write(1, 0, {"hash": hashlib.sha256(data).digest(), "confirm": False})
    bench.reset()
    assert bench.write(1, 0, {"confirm": True})["images"]


@pytest.mark.parametrize("crashes", [0, 1, 2])
def test_up_to_two_crashes_the_package_runs_again(running: Bench, crashes: int) -> None:
    crash(running, crashes)
    info = running.read(64, 0)
    assert info["running"] and "reason" not in info
    assert info.get("crashes", 0) == crashes


@pytest.mark.parametrize("crashes", [3, 4, 6, 255])
def test_the_only_package_is_loaded_and_not_started(running: Bench, crashes: int) -> None:
    crash(running, crashes)
    assert running.fake.started is None
    info = running.read(64, 0)
    assert (info["running"], info["reason"]) == (False, errors.BOOT_STOPPED)
    assert (info["version"], info["crashes"]) == ("1.2.3", crashes)
    assert running.states() == [CONFIRMED, EMPTY]
    install(running, package())  # a better one: the reset that starts it was asked for
    assert running.read(64, 0)["version"] == "2.0.0"


def test_with_two_confirmed_packages_it_goes_back_once_and_then_stops(running: Bench) -> None:
    install(running, package())
    crash(running, 2)
    assert running.read(64, 0)["version"] == "2.0.0"
    crash(running, MOST)
    info = running.read(64, 0)
    assert (info["version"], info["running"], info["reason"]) == ("1.2.3", True, errors.BOOT_BACK)
    assert running.states() == [TRIED, CONFIRMED]
    assert running.module("trial").confirm(running.board) >= 0
    for crashes in (4, 5):
        crash(running, crashes)
        assert running.read(64, 0)["version"] == "1.2.3" and running.board.running
    crash(running, 2 * MOST)
    info = running.read(64, 0)
    assert (info["version"], info["running"]) == ("1.2.3", False)
    assert info["reason"] == errors.BOOT_STOPPED
    assert running.states() == [CONFIRMED, CONFIRMED]  # neither is lost


def test_below_a_floor_it_does_not_go_back(running: Bench) -> None:
    install(running, package(counter=build.manifest()["counter"] + 1))
    crash(running, MOST)
    info = running.read(64, 0)
    assert (info["version"], info["running"]) == ("2.0.0", False)
    assert info["reason"] == errors.BOOT_STOPPED
    assert running.states() == [CONFIRMED, CONFIRMED]


def test_what_crashes_on_the_way_back_leaves_the_newer_one_stopped(running: Bench) -> None:
    install(running, package())
    crash(running, MOST)
    crash(running, MOST + 1)
    assert running.states() == [BAD, CONFIRMED] and running.refusal() == errors.TRIAL_WATCHDOG
    info = running.read(64, 0)
    assert (info["version"], info["running"]) == ("2.0.0", False)


def test_a_package_that_was_chosen_is_tried_whatever_came_before(running: Bench) -> None:
    data = package()
    assert running.upload(data)["match"] is True
    running.write(1, 0, {"hash": hashlib.sha256(data).digest(), "confirm": False})
    assert running.states() == [CONFIRMED, PENDING]
    crash(running, 2 * MOST)
    assert running.read(64, 0)["version"] == "2.0.0" and running.board.running


def test_a_stretch_of_healthy_running_ends_the_row(running: Bench) -> None:
    crash(running, 2)
    crashes = running.module("crashes")
    running.fake.elapsed_ms = HEALTHY_MS - 1
    crashes.watch(running.board)
    assert (running.board.crashes, running.fake.crash_count) == (2, 2)
    running.fake.elapsed_ms = HEALTHY_MS
    crashes.watch(running.board)
    assert (running.board.crashes, running.fake.crash_count) == (0, 0)


def test_a_stopped_board_is_not_healthy_and_can_be_started_by_hand(running: Bench) -> None:
    crash(running, MOST)
    running.fake.elapsed_ms = HEALTHY_MS
    running.module("crashes").watch(running.board)
    assert running.fake.crash_count == MOST
    assert running.write(64, 6, {}) == {}
    assert running.read(64, 0)["running"]


def test_a_reset_on_trial_makes_the_repeat_cheap_and_is_verified_again(running: Bench) -> None:
    data = package()
    assert running.upload(data)["match"] is True
    running.write(1, 0, {"hash": hashlib.sha256(data).digest(), "confirm": False})
    running.reset()
    running.reset()
    assert running.states() == [CONFIRMED, BAD] and running.refusal() == errors.PKG_TRIAL
    first = {"off": 0, "len": len(data), "sha": hashlib.sha256(data).digest(), "data": data[:100]}
    assert running.write(1, 1, first) == {"off": len(data), "match": True}
