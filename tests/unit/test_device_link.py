"""What a board answers on its running application: info, tasks, statistics, results, stream."""

from __future__ import annotations

import hashlib
from typing import Any

import cbor2
import package_builder as build
import pytest
from device_bench import Bench
from fake_store import CONFIRMED
from fake_tactus import ATTENTION, START, UNTIL, Reset

from host.boards import board_names, load_board
from protocol import errors
from protocol.stats import EVENT_BYTES

DATA = build.build()
SHA = hashlib.sha256(DATA).digest()
STATE_ERROR = {"err": {"group": 64, "rc": errors.STATE}}


# OS group


def test_echo_answers_as_read_and_as_write(bench: Bench) -> None:
    assert bench.write(0, 0, {"d": "hé"}) == {"r": "hé"}
    assert bench.read(0, 0, {"d": ""}) == {"r": ""}


def test_params_tells_the_size_of_the_message_buffer(bench: Bench) -> None:
    assert bench.read(0, 6) == {"buf_size": 1024, "buf_count": 2}


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
    memory = running.read(64, 8)
    assert memory["ram"][0] == ["arena", 4096]
    assert [planned for planned, _ in memory["arenas"]] == [
        task["plan_arena_bytes"] for task in running.read(64, 1)["tasks"]
    ]
    assert [touched for _, touched in memory["arenas"]] == [48, 49][: len(memory["arenas"])]
    assert running.read(64, 10) == {"events": bytes(32)}
    slots = running.read(64, 11)
    assert slots["counter"] == 5
    assert slots["slots"][0] == {
        "state": CONFIRMED,
        "reason": 0,
        "length": len(DATA),
        "received": len(DATA),
        "sha": SHA,
        "proven": False,
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


def test_the_events_before_the_first_miss_are_sent_once_a_lease(running: Bench) -> None:
    background = running.module("loop").background

    def frames(count: int) -> list[Any]:
        sent = len(running.fake.sent)
        for _ in range(count):
            running.fake.now_us += 100_000
            background(running.board)
        return [cbor2.loads(frame[8:]) for frame in running.fake.sent[sent:]]

    background(running.board)
    running.write(64, 3, {"lease_ms": 590, "period_ms": 100})
    background(running.board)  # the collection after the message
    assert frames(2) and not any("events" in body for body in frames(1))
    running.fake.frozen = 1
    (first, second) = frames(2)
    assert first["events"] == running.fake.event_ring and "events" not in second
    assert frames(5) == []  # the lease has run out
    running.write(64, 3, {"lease_ms": 590, "period_ms": 100})
    background(running.board)
    assert ["events" in body for body in frames(2)] == [True, False]


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


def test_a_collection_is_a_piece_of_background_work_of_its_own(running: Bench) -> None:
    background = running.module("loop").background
    background(running.board)
    background(running.board)
    before = running.fake.backgrounds
    background(running.board)
    assert running.fake.backgrounds == before  # nothing to do
    running.fake.litter_bytes = 10_000
    running.read(0, 6)
    running.fake.litter_bytes = 10_000
    collections, before = running.fake.collections, running.fake.backgrounds
    running.board.littered = True
    assert running.board.rest_us() == 0
    background(running.board)
    assert (running.fake.collections, running.fake.backgrounds) == (collections + 1, before + 1)
    assert running.board.rest_us() > 0


def test_health_tells_what_the_board_measures_and_no_more(running: Bench) -> None:
    assert running.read(64, 28) == {
        "temperature_mc": None,
        "peaks": [["interpreter heap", 40_000]],
    }
    running.fake.temperature = -1_500
    assert running.read(64, 28)["temperature_mc"] == -1_500


def test_each_boot_has_an_id_of_its_own(bench: Bench) -> None:
    seen = {bench.read(64, 0)["boot_id"]}
    for _ in range(3):
        bench.reset()
        seen.add(bench.read(64, 0)["boot_id"])
    assert len(seen) == 4 and all(0 < boot_id < 1 << 30 for boot_id in seen)
