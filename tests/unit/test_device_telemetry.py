"""What a board writes down: at boot, at a change of packages, at the first miss; how often, and what becomes of refusals."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import package_builder as build
import pytest
from device_bench import Bench
from report_samples import packed, stats

from protocol import errors, telemetry

DATA = build.build()
SHA = hashlib.sha256(DATA).digest()
MISS_EVENTS = (
    (100, 4, 0, 3, 2, 700),  # an op before the release: another story
    (1_000, 5, 0, 1, 0, 0),
    (1_100, 9, 1, 3, 4, 30_000),
    (31_100, 0, 255, 9, 0, 6_000),
    (37_100, 5, 0, 3, 1, 500),
    (41_000, 5, 0, 7, 1, 500),
)


def records(bench: Bench) -> list[telemetry.Record]:
    found = [telemetry.decode(data) for data in bench.store.telemetry.values()]
    assert [record.sequence for record in found] == list(bench.store.telemetry)
    return found


def pass_time(bench: Bench, seconds: float) -> None:
    """Background work as the loop does it, whenever telemetry says that it is due."""
    background = bench.module("loop").background
    end_us = bench.fake.now_us + int(seconds * 1e6)
    while bench.fake.now_us < end_us:
        bench.fake.now_us += max(bench.board.telemetry.wait_us(), 1000)
        background(bench.board)


def of_kind(bench: Bench, kind: int) -> list[dict[str, Any]]:
    return [record.fields for record in records(bench) if record.kind == kind]


def test_a_boot_says_why_and_what_runs(running: Bench) -> None:
    pass_time(running, 5)
    boot = records(running)[0]
    assert boot.kind == telemetry.BOOT and boot.boot_id == running.board.boot_id
    assert boot.utc_s is None and boot.clock_age_s is None
    assert boot.fields["app"] == "demo" and boot.fields["slot"] == 0
    assert boot.fields["reset_cause"] == 2 and boot.fields["package"] == SHA[:8]
    pass_time(running, 100)
    assert len(of_kind(running, telemetry.BOOT)) == 1
    running.board.utc.set(1_800_000_000)
    running.reset()
    pass_time(running, 5)
    assert len(of_kind(running, telemetry.BOOT)) == 2


def test_the_clock_and_its_age_are_in_each_record(bench: Bench) -> None:
    bench.board.utc.set(1_800_000_000)
    bench.fake.now_us += 90_000_000
    pass_time(bench, 5)
    boot = records(bench)[0]
    assert boot.utc_s is not None and boot.utc_s - 1_800_000_000 == boot.clock_age_s >= 90


def test_an_update_leaves_its_trail(bench: Bench) -> None:
    """Also what the boot itself decided: a trial that was not confirmed."""
    pass_time(bench, 2)
    bench.upload(DATA)
    pass_time(bench, 15)
    bench.write(1, 0, {"hash": SHA, "confirm": False})
    bench.reset()
    pass_time(bench, 5)
    bench.reset()
    pass_time(bench, 5)
    trail = of_kind(bench, telemetry.PACKAGE)
    assert [(f["before"], f["state"], f.get("reason")) for f in trail] == [
        (0, 2, None),
        (3, 4, None),
        (4, 6, errors.PKG_TRIAL),
    ]
    assert all(f["package"] == SHA[:8] and f["slot"] == 0 for f in trail)


def test_the_first_miss_says_who_had_the_processor(running: Bench) -> None:
    pass_time(running, 15)
    running.fake.event_ring = b"".join(struct.pack("<IIBBHI", *event) for event in MISS_EVENTS)
    running.fake.frozen = 1
    pass_time(running, 15)
    (miss,) = of_kind(running, telemetry.FIRST_MISS)
    assert miss["task"] == "left" and miss["how"] == 7 and miss["job"] == 5
    assert miss["took"] == [[0, 500], [255, 6_000], [1, 30_000]]
    pass_time(running, 60)
    assert len(of_kind(running, telemetry.FIRST_MISS)) == 1, "once a start"
    running.write(64, 6, {"speed": 1})
    pass_time(running, 15)
    assert len(of_kind(running, telemetry.FIRST_MISS)) == 2


def test_counters_are_written_as_what_was_added_and_only_then(running: Bench) -> None:
    running.fake.stats = {i: packed(stats(i, 10, 20_000, 0, i)) for i in range(2)}
    pass_time(running, 70)
    assert of_kind(running, telemetry.TASK_EVENTS) == []
    for late in (3, 8):
        running.fake.stats[1] = packed(stats(1, 100, 20_000, late, 1))
        pass_time(running, 70)
    first, second = of_kind(running, telemetry.TASK_EVENTS)
    assert first["task"] == "right" and first["missed_late"] == 3
    assert second["missed_late"] == 5 and "aborted" not in second
    (board,) = of_kind(running, telemetry.BOARD_EVENTS)  # the double's line has had errors
    assert board["errors_crc"] == 1


def test_an_hour_brings_a_summary_of_each_task_and_of_the_board(running: Bench) -> None:
    running.fake.stats = {i: packed(stats(i, 500, 20_000, 0, i)) for i in range(2)}
    pass_time(running, 3700)
    listed = of_kind(running, telemetry.TASK_SUMMARY)
    assert len(listed) in (2, 4) and {f["task"] for f in listed} == {"left", "right"}
    assert listed[0]["done"] == 500 and listed[0]["response_p99_us"] >= 15_000
    assert len(of_kind(running, telemetry.BOARD_SUMMARY)) == len(listed) // 2


def test_records_keep_to_their_budget_and_what_had_no_room_comes_later(running: Bench) -> None:
    module = running.module("telemetry")
    seconds = 1000
    pass_time(running, 15)
    begin = len(records(running))
    for turn in range(seconds // 10):
        running.store.slots[1].sha256 = bytes([turn]) * 32  # a package that changes all the time
        running.store.slots[1].state = 2 + turn % 2
        pass_time(running, 10)
    written = len(records(running)) - begin
    assert written <= seconds * 1000 // module.RECORD_MS + module.BURST + 1
    pass_time(running, 60)
    last = of_kind(running, telemetry.PACKAGE)[-1]
    assert last["package"] == running.store.slots[1].sha256[:8]


def test_a_quick_pace_ends_with_its_lease(running: Bench) -> None:
    running.fake.stats = {i: packed(stats(i, 500, 20_000, 0, i)) for i in range(2)}
    pass_time(running, 15)
    begin = len(records(running))
    assert running.write(64, 25, {"period_ms": 1000, "lease_ms": 30_000}) == {}
    pass_time(running, 30)
    quick = len(records(running)) - begin
    assert 20 <= quick <= 32
    pass_time(running, 120)
    assert len(records(running)) - begin <= quick + 3
    assert running.write(64, 25, {"period_ms": 100, "lease_ms": 30_000}) == {"rc": 3}
    assert running.write(64, 25, {"period_ms": 1000, "lease_ms": 600_001}) == {"rc": 3}


def test_a_flash_that_refuses_stops_nothing(running: Bench) -> None:
    running.fake.mark_fails = True
    pass_time(running, 30)
    assert running.board.telemetry.failed > 0 and records(running) == []
    running.fake.mark_fails = False
    pass_time(running, 30)
    assert of_kind(running, telemetry.BOOT)


def test_no_piece_comes_between_those_of_a_message(running: Bench) -> None:
    pass_time(running, 15)
    running.fake.now_us += 20_000_000
    running.board.answering = iter([None])
    before = running.board.telemetry.written
    for _ in range(5):
        running.module("loop")._telemetry(running.board)
    assert running.board.telemetry.written == before and running.board.telemetry.due()
    running.board.answering = None


@pytest.mark.parametrize(
    ("op", "command", "body"),
    [
        (0, 24, {"cursor": -1}),
        (0, 24, {"cursor": "1"}),
        (2, 24, {}),
        (2, 24, {"acknowledged": True}),
        (2, 25, {"period_ms": 1000}),
    ],
)
def test_wrong_requests_are_refused(bench: Bench, op: int, command: int, body: Any) -> None:
    assert bench.ask(op, 64, command, body) == {"rc": 3}


def test_what_was_not_written_cannot_be_acknowledged(bench: Bench) -> None:
    pass_time(bench, 5)
    newest = bench.read(64, 24)["newest"]
    refused = bench.write(64, 24, {"acknowledged": newest + 1})
    assert refused == {"err": {"group": 64, "rc": errors.ARGUMENT}}
    assert bench.write(64, 24, {"acknowledged": newest}) == {}
    assert bench.read(64, 24)["data"] == b"" and bench.read(64, 24)["acknowledged"] == newest
