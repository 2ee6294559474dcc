"""What a board answers to the image group: upload, test, confirm, erase, and what goes wrong."""

from __future__ import annotations

import hashlib
from typing import Any

import package_builder as build
import pytest
from device_bench import Bench
from fake_store import BAD, CONFIRMED, EMPTY, PENDING, RECEIVING, STAGED, TRIED

from protocol import errors

DATA = build.build()
SHA = hashlib.sha256(DATA).digest()
STATE_ERROR = {"err": {"group": 64, "rc": errors.STATE}}


def test_the_life_of_an_update_from_upload_to_confirm(bench: Bench) -> None:
    assert bench.read(1, 0) == {"images": []}
    assert bench.upload(DATA) == {"off": len(DATA), "match": True}
    (image,) = bench.read(1, 0)["images"]
    assert image == {
        "slot": 0,
        "version": "1.2.3",
        "hash": SHA,
        "bootable": True,
        "pending": False,
        "confirmed": False,
        "active": False,
        "permanent": False,
    }
    (image,) = bench.write(1, 0, {"hash": SHA, "confirm": False})["images"]
    assert image["pending"] and bench.states() == [PENDING, EMPTY]
    bench.reset()
    assert bench.states() == [TRIED, EMPTY] and bench.board.running
    assert bench.store.counter == 0
    (image,) = bench.write(1, 0, {"confirm": True})["images"]
    assert image["confirmed"] and image["active"] and bench.states() == [CONFIRMED, EMPTY]
    assert bench.store.counter == 5


def test_a_reset_before_confirm_brings_the_previous_package_back(running: Bench) -> None:
    other = build.build(build.manifest(version="2.0.0"))
    running.upload(other)
    running.write(1, 0, {"hash": hashlib.sha256(other).digest(), "confirm": False})
    running.reset()
    assert running.read(64, 0)["version"] == "2.0.0"
    running.reset()
    info = running.read(64, 0)
    assert (info["version"], info["state"], info["running"]) == ("1.2.3", CONFIRMED, True)
    assert running.refusal() == errors.PKG_TRIAL


def test_a_first_package_whose_trial_was_cut_short_can_be_installed_again(bench: Bench) -> None:
    bench.upload(DATA)
    bench.write(1, 0, {"hash": SHA, "confirm": False})
    bench.reset()
    bench.reset()  # before it was confirmed
    assert bench.states() == [BAD, EMPTY] and not bench.board.running
    bench.install(DATA)
    assert bench.states() == [CONFIRMED, EMPTY]  # its bytes were there
    assert bench.board.running and bench.board.slot == 0


def test_a_package_that_is_only_there_as_a_bad_one_cannot_be_tried(bench: Bench) -> None:
    bench.upload(DATA)
    bench.write(1, 0, {"hash": SHA, "confirm": False})
    bench.reset()
    bench.reset()
    assert bench.write(1, 0, {"hash": SHA, "confirm": False}) == STATE_ERROR
    assert bench.states() == [BAD, EMPTY]


def test_the_older_confirmed_package_can_be_tried_again(running: Bench) -> None:
    other = build.build(build.manifest(version="2.0.0"))
    running.install(other)
    running.write(1, 0, {"hash": SHA, "confirm": False})
    running.reset()
    assert running.read(64, 0)["version"] == "1.2.3"
    running.write(1, 0, {"confirm": True})
    running.reset()
    assert running.read(64, 0)["version"] == "1.2.3"


def test_a_lost_reply_makes_no_chunk_count_twice(bench: Bench) -> None:
    first = {"off": 0, "len": len(DATA), "sha": SHA, "data": DATA[:200]}
    assert bench.write(1, 1, first) == {"off": 200}
    assert bench.write(1, 1, first) == {"off": 200}
    second = {"off": 200, "data": DATA[200:500]}
    assert bench.write(1, 1, second) == {"off": 500}
    assert bench.write(1, 1, second) == {"off": 500}
    assert bench.upload(DATA, start=500)["match"] is True
    last = {"off": len(DATA) - 10, "data": DATA[-10:]}
    assert bench.write(1, 1, last) == {"off": len(DATA), "match": True}


def test_a_refused_upload_repeats_its_reason(bench: Bench) -> None:
    bad = build.build(key=build.OTHER_KEY)
    refusal = {"err": {"group": 64, "rc": errors.PKG_KEY}}
    assert bench.upload(bad) == refusal
    assert bench.write(1, 1, {"off": len(bad) - 4, "data": bad[-4:]}) == refusal


def test_an_upload_goes_on_after_a_reset(bench: Bench) -> None:
    bench.write(1, 1, {"off": 0, "len": len(DATA), "sha": SHA, "data": DATA[:400]})
    bench.reset()
    first = {"off": 0, "len": len(DATA), "sha": SHA, "data": DATA[:100]}
    assert bench.write(1, 1, first) == {"off": 400}
    bench.reset()
    assert bench.upload(DATA, start=400)["match"] is True


def test_a_reset_between_the_last_byte_and_the_verdict_loses_nothing(bench: Bench) -> None:
    bench.write(1, 1, {"off": 0, "len": len(DATA), "sha": SHA, "data": b""})
    bench.fake.slot_write(0, 0, DATA)
    bench.reset()
    first = {"off": 0, "len": len(DATA), "sha": SHA, "data": DATA[:100]}
    assert bench.write(1, 1, first) == {"off": len(DATA), "match": True}
    assert bench.states() == [STAGED, EMPTY]


def test_a_file_that_is_there_already_is_not_sent_again(running: Bench) -> None:
    first = {"off": 0, "len": len(DATA), "sha": SHA, "data": DATA[:100]}
    assert running.write(1, 1, first) == {"off": len(DATA), "match": True}
    assert running.states() == [CONFIRMED, EMPTY]


def test_another_upload_takes_the_slot_of_an_unfinished_one(bench: Bench) -> None:
    bench.install(DATA)
    bench.write(1, 1, {"off": 0, "len": 900, "sha": bytes(32), "data": b"x"})
    assert bench.states() == [CONFIRMED, RECEIVING]
    other = build.build(build.manifest(version="2"))
    assert bench.upload(other)["match"] is True
    assert bench.states() == [CONFIRMED, STAGED]


def test_no_upload_touches_the_fall_back_of_a_trial(running: Bench) -> None:
    other = build.build(build.manifest(version="2"))
    running.upload(other)
    running.write(1, 0, {"hash": hashlib.sha256(other).digest(), "confirm": False})
    running.reset()
    assert running.upload(build.build(build.manifest(version="3"))) == STATE_ERROR
    assert running.states() == [CONFIRMED, TRIED]


@pytest.mark.parametrize(
    ("body", "reply"),
    [
        ({}, {"rc": 3}),
        ({"off": 0, "data": b"x"}, {"rc": 6}),
        ({"off": 0, "data": b"x", "len": 0, "sha": SHA}, {"rc": 3}),
        ({"off": 0, "data": b"x", "len": 100}, {"rc": 3}),
        ({"off": 0, "data": b"x", "len": 100, "sha": b"short"}, {"rc": 3}),
        ({"off": 0, "data": "text", "len": 100, "sha": SHA}, {"rc": 3}),
        ({"off": True, "data": b"x"}, {"rc": 3}),
        ({"off": -1, "data": b"x"}, {"rc": 3}),
        ({"off": 4, "data": b"x"}, {"rc": 6}),
        ({"off": 0, "data": bytes(101), "len": 100, "sha": SHA}, {"rc": 3}),
        ({"off": 0, "data": b"x", "len": 100, "sha": SHA, "image": 2}, {"rc": 3}),
        ({"off": 0, "data": b"x", "len": 100, "sha": SHA, "upgrade": True}, {"rc": 8}),
        (
            {"off": 0, "data": b"x", "len": 65_537, "sha": SHA},
            {"err": {"group": 64, "rc": errors.SPACE}},
        ),
    ],
)
def test_a_wrong_upload_request_changes_nothing(bench: Bench, body: Any, reply: Any) -> None:
    assert bench.write(1, 1, body) == reply
    assert all(slot.received == 0 for slot in bench.store.slots)


def test_state_changes_that_make_no_sense_are_refused(running: Bench) -> None:
    not_found = {"err": {"group": 64, "rc": errors.NOT_FOUND}}
    assert running.write(1, 0, {"hash": bytes(32), "confirm": False}) == not_found
    assert running.write(1, 0, {"hash": SHA, "confirm": False}) == STATE_ERROR
    assert running.write(1, 0, {"confirm": False}) == {"rc": 3}
    assert running.write(1, 0, {"hash": b"short"}) == {"rc": 3}
    assert running.write(1, 0, {"confirm": 1}) == {"rc": 3}
    assert "images" in running.write(1, 0, {"confirm": True})  # confirmed already
    assert running.states() == [CONFIRMED, EMPTY]


def test_nothing_can_be_confirmed_that_does_not_run(bench: Bench) -> None:
    assert bench.write(1, 0, {"confirm": True}) == STATE_ERROR
    bench.upload(DATA)
    assert bench.write(1, 0, {"hash": SHA, "confirm": True}) == STATE_ERROR
    assert bench.states() == [STAGED, EMPTY]


def test_erase_empties_the_slot_that_does_not_run(running: Bench) -> None:
    running.upload(build.build(build.manifest(version="2")))
    assert running.write(1, 5, {"slot": 0}) == STATE_ERROR
    assert running.write(1, 5) == {}
    assert running.states() == [CONFIRMED, EMPTY]
    assert running.write(1, 5, {"slot": 2}) == {"rc": 3}


def test_a_refused_package_is_listed_as_not_bootable(bench: Bench) -> None:
    bench.upload(bytes(64))
    (image,) = bench.read(1, 0)["images"]
    assert (image["version"], image["bootable"], image["active"]) == ("?", False, False)
