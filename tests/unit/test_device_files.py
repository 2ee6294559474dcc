"""What stock SMP clients ask a board beside packages: files, enumeration, slots."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import package_builder as build
import pytest
from device_bench import Bench

from protocol import package as container

DATA = build.build()
NOT_FOUND = {"err": {"group": 8, "rc": 3}}


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


def fetch(bench: Bench, name: str) -> bytes:
    """Download as a client does: on from what came."""
    reply = bench.read(8, 0, {"name": name, "off": 0})
    content, size = reply["data"], reply["len"]
    while len(content) < size:
        reply = bench.read(8, 0, {"name": name, "off": len(content)})
        assert set(reply) == {"off", "data"} and reply["off"] == len(content)
        content += reply["data"]
    assert len(content) == size
    return bytes(content)


def test_the_signed_parts_of_the_package_can_be_fetched(running: Bench) -> None:
    assert fetch(running, "/manifest") == bytes(container.envelope_bytes(DATA))
    assert fetch(running, "/keyset") == bytes(container.key_set(DATA))
    size = len(container.envelope_bytes(DATA))
    assert running.read(8, 1, {"name": "/manifest"}) == {"len": size}


def test_statistics_and_events_are_files(running: Bench) -> None:
    assert fetch(running, "/stats/right") == b"stats1"
    assert fetch(running, "/events") == running.fake.event_ring
    assert len(fetch(running, "/loop")) == 72


def test_a_file_that_changes_meanwhile_is_read_as_it_was(running: Bench) -> None:
    before = bytes(range(256)) * 4
    running.fake.stats = {0: before}
    first = running.read(8, 0, {"name": "/stats/left", "off": 0})
    assert first["len"] == 1024 and len(first["data"]) < 1024
    running.fake.stats = {0: bytes(1000)}
    at = len(first["data"])
    rest = running.read(8, 0, {"name": "/stats/left", "off": at})
    assert first["data"] + rest["data"] == before
    again = running.read(8, 0, {"name": "/stats/left", "off": at})
    assert again == rest
    assert running.read(8, 2, {"name": "/stats/left"})["output"] == hashlib.sha256(before).digest()
    assert running.write(8, 4) == {}
    lost = running.read(8, 0, {"name": "/stats/left", "off": at})
    assert lost == {"err": {"group": 8, "rc": 11}}
    assert fetch(running, "/stats/left") == bytes(1000)


def test_a_hash_covers_the_part_asked_for(running: Bench) -> None:
    envelope = bytes(container.envelope_bytes(DATA))
    whole = {"type": "sha256", "len": len(envelope), "output": hashlib.sha256(envelope).digest()}
    assert running.read(8, 2, {"name": "/manifest"}) == whole
    part = running.read(8, 2, {"name": "/manifest", "type": "sha256", "off": 5, "len": 7})
    digest = hashlib.sha256(envelope[5:12]).digest()
    assert part == {"type": "sha256", "off": 5, "len": 7, "output": digest}
    assert running.read(8, 2, {"name": "/manifest", "type": "crc32"})["err"]["rc"] == 13
    assert running.read(8, 2, {"name": "/manifest", "off": 10**6})["err"]["rc"] == 12
    assert running.read(8, 3) == {"types": {"sha256": {"format": 1, "size": 32}}}


@pytest.mark.parametrize("name", ["", "/", "events", "/stats/", "/stats/nobody", "/../manifest"])
def test_other_names_are_no_files(running: Bench, name: str) -> None:
    for command in (1, 2):
        assert running.read(8, command, {"name": name}) == NOT_FOUND
    assert running.read(8, 0, {"name": name, "off": 0}) == NOT_FOUND


def test_no_package_no_manifest(bench: Bench) -> None:
    assert bench.read(8, 1, {"name": "/manifest"}) == NOT_FOUND


@pytest.mark.parametrize("name", ["/manifest", "/events", "/new", "/../boot.py"])
def test_nothing_can_be_written(running: Bench, name: str) -> None:
    body = {"name": name, "off": 0, "data": b"x", "len": 1}
    assert running.write(8, 0, body) == {"rc": 11}
    assert fetch(running, "/manifest") == bytes(container.envelope_bytes(DATA))


@pytest.mark.parametrize(
    ("command", "body"),
    [
        (0, {"name": "/loop"}),
        (0, {"name": 5, "off": 0}),
        (0, {"name": "/loop", "off": -1}),
        (1, {}),
        (2, {"name": "/loop", "len": 0}),
        (2, {"name": "/loop", "type": 1}),
    ],
)
def test_wrong_file_requests_are_refused(bench: Bench, command: int, body: Any) -> None:
    assert bench.read(8, command, body) == {"rc": 3}


def test_an_offset_beyond_the_end_is_refused(running: Bench) -> None:
    beyond = {"err": {"group": 8, "rc": 12}}
    assert running.read(8, 0, {"name": "/manifest", "off": 10**6}) == beyond
    assert running.ask(0, 8, 0, {"name": "/manifest", "off": 10**6}, version=0) == {"rc": 1}


def test_the_groups_are_enumerated(bench: Bench) -> None:
    groups = [0, 1, 2, 8, 10, 64]
    assert bench.read(10, 0) == {"count": 6}
    assert bench.read(10, 1) == {"groups": groups}
    assert bench.read(10, 2) == {"group": 0}
    assert [bench.read(10, 2, {"index": i})["group"] for i in range(6)] == groups
    assert bench.read(10, 2, {"index": 5}) == {"group": 64, "end": True}
    assert bench.read(10, 2, {"index": 6}) == {"err": {"group": 10, "rc": 4}}
    details = bench.read(10, 3)["groups"]
    assert [entry["group"] for entry in details] == groups
    assert all(set(entry) == {"group", "name", "handlers"} for entry in details)
    (image,) = bench.read(10, 3, {"groups": [1, 99]})["groups"]
    assert image == {"group": 1, "name": "img mgmt", "handlers": 4}
    assert bench.read(10, 3, {"groups": 1}) == {"rc": 3}


def test_slot_info_tells_the_sizes(bench: Bench) -> None:
    size = bench.board.facts["slot_bytes"]
    slots = [{"slot": 0, "size": size}, {"slot": 1, "size": size}]
    assert bench.read(1, 6) == {"images": [{"image": 0, "slots": slots, "max_image_size": size}]}


def test_stock_clients_get_only_codes_that_they_know(running: Bench) -> None:
    """Codes 2 to 33 of group 1 are those of Zephyr's image group; others break smpclient."""

    def ask(command: int, body: Any) -> Any:
        return running.ask(2, 1, command, body, flags=0)

    assert ask(5, {"slot": 0}) == {"rc": 6}
    assert ask(0, {"hash": bytes(32)}) == {"err": {"group": 1, "rc": 24}}
    for at, code in ((200, 5), (-16, 24), (0, 23)):
        bad = bytearray(build.build(build.manifest(version="2")))
        bad[at] ^= 16
        announced = {"len": len(bad), "sha": hashlib.sha256(bad).digest()}
        for off in range(0, len(bad), 500):
            chunk = {"off": off, "data": bytes(bad[off : off + 500])}
            reply = ask(1, chunk | announced if off == 0 else chunk)
        assert reply == {"err": {"group": 1, "rc": code}}, at
        assert running.refusal() >= 32  # the slot has the reason
