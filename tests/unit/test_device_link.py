"""What a board answers to every request, good and bad, and what it never does."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import cbor2
import package_builder as build
import pytest
from device_bench import READ, WRITE, Bench
from fake_tactus import (
    ATTENTION,
    BAD,
    CONFIRMED,
    EMPTY,
    PENDING,
    RECEIVING,
    STAGED,
    START,
    TRIED,
    UNTIL,
    Reset,
)
from hypothesis import given
from hypothesis import strategies as st

from host.boards import board_names, load_board
from protocol import errors
from protocol.stats import EVENT_BYTES

DATA = build.build()
SHA = hashlib.sha256(DATA).digest()
STATE_ERROR = {"err": {"group": 64, "rc": errors.STATE}}


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


@pytest.fixture
def running() -> Iterator[Bench]:
    bench = Bench()
    bench.install(DATA)
    yield bench
    bench.close()


# OS group


def test_echo_answers_as_read_and_as_write(bench: Bench) -> None:
    assert bench.write(0, 0, {"d": "hé"}) == {"r": "hé"}
    assert bench.read(0, 0, {"d": ""}) == {"r": ""}


def test_params_tells_the_size_of_the_message_buffer(bench: Bench) -> None:
    assert bench.read(0, 6) == {"buf_size": 1024, "buf_count": 1}


def test_the_task_list_has_only_the_standard_keys(running: Bench) -> None:
    row = {"prio": 0, "state": 1}
    assert running.read(0, 2) == {"tasks": {"left": row | {"tid": 0}, "right": row | {"tid": 1}}}


def test_info_follows_the_format_letters(bench: Bench) -> None:
    assert bench.read(0, 7) == {"output": "Tactus"}
    assert bench.read(0, 7, {"format": "nm"}) == {"output": "fake hosted"}
    assert bench.read(0, 7, {"format": "x"}) == {"rc": 3}
    assert bench.read(0, 7, {"format": "a"})["output"].startswith("Tactus fake")


def test_reset_answers_first_and_resets_then(bench: Bench) -> None:
    assert bench.write(0, 5, {"force": 1}) == {}
    with pytest.raises(Reset):
        bench.module("loop").run(bench.board)


# Image group


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
    assert bench.states() == [BAD, CONFIRMED]
    assert bench.board.running and bench.board.slot == 1


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
        ({"off": 0, "data": b"x"}, {"rc": 3}),
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


# Statistics group


def test_statistics_list_link_loop_and_tasks(running: Bench) -> None:
    assert running.read(2, 1) == {"stat_list": ["link", "loop", "left", "right"]}
    link = running.read(2, 0, {"name": "link"})
    assert link["name"] == "link" and link["fields"]["errors_crc"] == 1
    loop = running.read(2, 0, {"name": "loop"})["fields"]
    assert {"uptime_ms", "messages", "stream_frames", "background_max_us"} <= set(loop)
    assert {"gc_count", "gc_forced", "gc_pause_max_us", "idle_us", "op_us", "mode"} <= set(loop)
    assert running.read(2, 0, {"name": "nobody"}) == {"rc": 5}
    assert running.read(2, 0) == {"rc": 3}


# Group 64


def test_info_of_an_idle_board_names_no_application(bench: Bench) -> None:
    info = bench.read(64, 0)
    assert set(info) == {
        "board",
        "class",
        "firmware",
        "protocol",
        "trust",
        "boot_id",
        "reset_cause",
        "uptime_ms",
        "running",
        "speed",
    }
    assert info["running"] is False and info["protocol"] == 1


def test_info_and_tasks_of_a_running_board(running: Bench) -> None:
    info = running.read(64, 0)
    assert (info["app"], info["version"], info["slot"], info["state"]) == ("demo", "1.2.3", 0, 5)
    (left, right) = running.read(64, 1)["tasks"]
    assert (left["name"], right["period_us"], right["arena_offset"]) == ("left", 80_000, 32)
    assert left["output"] == {"scale_f32": build.f32(0.5), "zero_point": -1}
    assert running.read(64, 99) == {"rc": 8}


def test_statistics_of_all_tasks_or_one(running: Bench) -> None:
    both = running.read(64, 2)
    assert both["tasks"] == [b"stats0", b"stats1"] and both["seq"] == 1
    assert running.read(64, 2, {"task": 1})["tasks"] == [b"stats1"]
    not_found = {"err": {"group": 64, "rc": errors.NOT_FOUND}}
    assert running.read(64, 2, {"task": 2}) == not_found
    running.fake.stats = {0: bytes(600), 1: bytes(600)}
    assert running.read(64, 2) == {"rc": 7}
    assert len(running.read(64, 2, {"task": 1})["tasks"][0]) == 600


def test_results_move_the_cursor_and_fit_the_message(running: Bench) -> None:
    assert running.read(64, 5, {"cursor": 10, "max": 2}) == {"next": 12, "data": bytes(72)}
    assert running.read(64, 5, {"cursor": 0, "max": 2**32 - 1})["next"] == 3
    assert running.read(64, 5) == {"rc": 3}


def test_run_divides_periods_where_the_clock_cannot_be_bent(running: Bench) -> None:
    assert running.write(64, 6, {"speed": 4}) == {}
    assert running.fake.started is not None and running.fake.started[1] == 1
    assert running.fake.tasks[1]["period"] == 20_000
    assert running.fake.tasks[1]["deadline"] == 10_000
    assert running.read(64, 0)["speed"] == 4


def test_a_speed_that_cannot_be_kept_is_refused_and_the_present_one_goes_on(running: Bench) -> None:
    schedule = {"err": {"group": 64, "rc": errors.PKG_SCHEDULE}}
    assert running.write(64, 6, {"speed": 500}) == schedule
    assert running.board.running and running.read(64, 0)["speed"] == 1
    for speed in (0, 1001, "2", True):
        assert running.write(64, 6, {"speed": speed}) == {"rc": 3}


def test_other_boards_only_shorten_the_idle_time() -> None:
    bench = Bench(scales_with_speed=False)
    try:
        bench.install(DATA)
        assert bench.write(64, 6, {"speed": 500}) == {}
        assert bench.fake.started is not None and bench.fake.started[1] == 500
        assert bench.fake.tasks[1]["period"] == 80_000
    finally:
        bench.close()


def test_stop_and_self_test(running: Bench) -> None:
    assert running.write(64, 9) == STATE_ERROR
    assert running.write(64, 7) == {}
    assert running.read(64, 0)["running"] is False
    assert running.write(64, 9) == {"passed": 2, "failed": 0}
    assert running.read(64, 2)["tasks"] == [b"stats0", b"stats1"]
    assert running.write(64, 6) == {}
    assert running.board.running


def test_an_idle_board_has_nothing_to_run_or_test(bench: Bench) -> None:
    not_found = {"err": {"group": 64, "rc": errors.NOT_FOUND}}
    assert bench.write(64, 6, {"speed": 1}) == not_found
    assert bench.write(64, 9) == not_found
    assert bench.write(64, 7) == {}
    assert bench.read(64, 2)["tasks"] == []


def test_memory_events_and_slots(running: Bench) -> None:
    assert running.read(64, 8)["ram"][0] == ["arena", 4096]
    assert running.read(64, 10) == {"events": bytes(32)}
    slots = running.read(64, 11)
    assert slots["counter"] == 5
    assert slots["slots"][0] == {
        "state": CONFIRMED,
        "reason": 0,
        "length": len(DATA),
        "received": len(DATA),
        "sha": SHA,
    }


def test_the_whole_ring_of_events_fits_the_buffer_of_every_board() -> None:
    smallest = min(load_board(name).link_bytes for name in board_names())
    bench = Bench(link_bytes=smallest)
    try:
        bench.fake.event_ring = bytes(32 * EVENT_BYTES)
        assert bench.read(64, 10) == {"events": bytes(512)}
    finally:
        bench.close()


# Streaming


def test_frames_flow_only_while_the_lease_lasts(running: Bench) -> None:
    background = running.module("loop").background
    background(running.board)
    assert running.write(64, 3, {"lease_ms": 1000, "period_ms": 200}) == {}
    sent = len(running.fake.sent)
    for _ in range(20):
        running.fake.now_us += 100_000
        background(running.board)
        background(running.board)
    frames = running.fake.sent[sent:]
    assert 4 <= len(frames) <= 5
    assert all(frame[:1] == b"\x09" and frame[4:8] == bytes([0, 64, 0, 4]) for frame in frames)
    bodies = [cbor2.loads(frame[8:]) for frame in frames]
    assert [body["seq"] for body in bodies] == list(range(1, len(bodies) + 1))
    assert bodies[0]["tasks"] == [b"stats0", b"stats1"] and len(bodies[0]["link"]) == 5


def test_a_late_loop_sends_one_frame_not_a_burst(running: Bench) -> None:
    background = running.module("loop").background
    background(running.board)
    running.write(64, 3, {"lease_ms": 10_000, "period_ms": 100})
    running.fake.now_us += 2_000_000
    sent = len(running.fake.sent)
    for _ in range(4):
        background(running.board)
    assert len(running.fake.sent) == sent + 1


def test_the_lease_survives_the_wrap_of_the_clock(running: Bench) -> None:
    running.fake.now_us = ((1 << 30) - 50) * 1000
    running.write(64, 3, {"lease_ms": 400, "period_ms": 100})
    sent = len(running.fake.sent)
    for _ in range(20):
        running.fake.now_us += 50_000
        running.module("loop").background(running.board)
        running.module("loop").background(running.board)
    assert 3 <= len(running.fake.sent) - sent <= 4


@pytest.mark.parametrize("body", [{}, {"lease_ms": 1}, {"lease_ms": 1, "period_ms": 0}])
def test_a_wrong_subscription_is_refused(bench: Bench, body: Any) -> None:
    assert bench.write(64, 3, body) == {"rc": 3}


# The loop


def test_the_loop_fills_begins_and_rests_until_the_next_frame(running: Bench) -> None:
    running.write(64, 3, {"lease_ms": 5000, "period_ms": 300})
    running.module("loop").background(running.board)
    running.fake.events = [START, START | 3 << 4, START, UNTIL]
    running.module("loop").beat(running.board)
    assert running.fake.begun == [(0, 0), (3, 0), (0, 1)]
    assert running.fake.limits == [300_000]
    # Window 1 starts at sample 1: counts -4 .. 1, a quarter each, steps of a half, zero point -1.
    expected = [round(count * 0.5) - 1 for count in range(-4, 2)]
    assert [b - 256 if b > 127 else b for b in running.fake.tasks[0]["input"]] == expected


def test_a_source_wraps_round_to_its_first_window(running: Bench) -> None:
    running.fake.events = [START] * 4 + [ATTENTION]
    running.module("loop").beat(running.board)
    assert [tag for _, tag in running.fake.begun] == [0, 1, 2, 0]


def test_a_source_that_fails_skips_the_job(running: Bench) -> None:
    running.board.sources[0]._count = 10_000
    running.fake.events = [START, ATTENTION]
    running.module("loop").beat(running.board)
    assert running.fake.begun == [(0, -1)]


def test_a_message_and_its_collection_are_two_pieces_of_background_work(running: Bench) -> None:
    background = running.module("loop").background
    background(running.board)
    background(running.board)
    before = running.fake.backgrounds
    background(running.board)
    assert running.fake.backgrounds == before  # nothing to do
    running.read(0, 6)
    assert running.fake.backgrounds == before + 1
    assert running.board.rest_us() == 0
    background(running.board)
    assert running.fake.backgrounds == before + 2
    assert running.board.rest_us() > 0


# Hostile messages


@pytest.mark.parametrize(
    ("message", "reply"),
    [
        (b"\x08", None),
        (b"\x08\0\0\0\0\0\1", None),
        (bytes([9, 0, 0, 0, 0, 0, 1, 6]), None),  # a reply
        (bytes([11, 0, 0, 0, 0, 0, 1, 5]), None),
        (bytes([8, 0, 0, 0, 0, 0, 1, 6]), {"buf_size": 1024, "buf_count": 1}),  # no payload: {}
        (bytes([8, 0, 0, 5, 0, 0, 1, 6]), {"rc": 3}),  # length says more
        (bytes([8, 0, 0, 0, 0, 0, 1, 6, 0xA0]), {"rc": 3}),  # length says less
        (bytes([8, 0, 0, 1, 0, 0, 1, 6, 0x80]), {"rc": 3}),  # not a map
        (bytes([8, 0, 0, 2, 0, 0, 1, 6, 0xBF, 0xFF]), {"rc": 3}),  # indefinite
        (bytes([8, 0, 0, 1, 0, 5, 1, 0, 0xA0]), {"rc": 8}),  # unknown group
        (bytes([8, 0, 0, 1, 0, 0, 1, 77, 0xA0]), {"rc": 8}),  # unknown command
        (bytes([10, 0, 0, 1, 0, 0, 1, 6, 0xA0]), {"rc": 8}),  # wrong operation
        (bytes([16, 0, 0, 1, 0, 0, 1, 6, 0xA0]), {"rc": 13}),  # version 3
    ],
)
def test_odd_messages_get_an_smp_error_or_silence(bench: Bench, message: bytes, reply: Any) -> None:
    answer = bench.raw(message)
    assert (None if answer is None else cbor2.loads(answer[8:])) == reply


def test_version_1_gets_no_group_errors(running: Bench) -> None:
    assert running.ask(WRITE, 64, 9, {}, version=0) == {"rc": 1}
    assert running.ask(READ, 0, 6, {}, version=0) == {"buf_size": 1024, "buf_count": 1}


def test_a_reply_that_does_not_fit_says_so(bench: Bench) -> None:
    assert bench.write(0, 0, {"d": "x" * 1000}) == {"r": "x" * 1000}
    bench.fake._tx = bytearray(512)
    assert bench.write(0, 0, {"d": "x" * 600}) == {"rc": 7}


def test_a_message_for_which_memory_lacks_is_lost_and_the_next_one_served(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(bench.module("link").cbor, "encode_into", fail)
        assert bench.raw(bytes([8, 0, 0, 0, 0, 0, 1, 6])) is None
    assert bench.read(0, 6)["buf_count"] == 1


def test_the_start_itself_does_not_count_as_background_of_the_run(running: Bench) -> None:
    running.module("loop").background(running.board)
    before = running.fake.backgrounds
    running.write(64, 6, {"speed": 1})
    assert running.fake.backgrounds == before
    running.read(64, 0)
    assert running.fake.backgrounds == before + 1  # its collection went with the start


def test_a_fault_in_a_handler_does_not_stop_the_board(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.board.facts = None
    assert bench.read(0, 6) == {"rc": 1}
    assert "failed" in capsys.readouterr().out


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.text()
    | st.binary(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = ["off", "data", "len", "sha", "hash", "confirm", "slot", "speed", "task", "cursor", "max"]
KEYS += ["name", "d", "format", "lease_ms", "period_ms", "image", "upgrade"]
COMMANDS = [(0, c) for c in (0, 2, 6, 7)] + [(1, c) for c in (0, 1, 5)] + [(2, 0), (2, 1)]
COMMANDS += [(64, c) for c in range(12)]


@given(
    st.sampled_from([READ, WRITE]),
    st.sampled_from(COMMANDS),
    st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=5),
)
def test_requests_with_arbitrary_values_never_fault(
    op: int, where: tuple[int, int], body: Any
) -> None:
    bench = Bench()
    try:
        bench.install(DATA)
        payload = cbor2.dumps(body)
        group, command = where
        header = bytes([8 | op, 0, len(payload) >> 8, len(payload) & 255, 0, group, 1, command])
        if len(payload) > 1000:
            return
        reply = bench.raw(header + payload)
        assert reply is not None
        # rc 1 would be the catch-all for a fault of ours.
        assert cbor2.loads(reply[8:]).get("rc") != 1, (where, body)
        assert bench.states()[0] == CONFIRMED
    finally:
        bench.close()


@given(st.binary(min_size=1, max_size=200))
def test_arbitrary_bytes_as_a_message_never_fault(message: bytes) -> None:
    bench = Bench()
    try:
        reply = bench.raw(message)
        assert reply is None or cbor2.loads(reply[8:]).get("rc") != 1
    finally:
        bench.close()
