"""What a board answers to patch messages: a package made out of the one that runs, resumed, refused."""

from __future__ import annotations

import hashlib
from typing import Any

import package_builder as build
import pytest
from device_bench import Bench
from fake_store import BAD, CONFIRMED, EMPTY, RECEIVING, STAGED, TRIED

from host.package.delta import Delta, make
from protocol import errors, smp

DATA = build.build()  # what `running` runs
NEXT = build.build(build.manifest(version="2.0.0", counter=6))
ROOM = 64


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def first(delta: Delta) -> dict[str, Any]:
    return {
        "off": 0,
        "len": len(delta.result),
        "sha": delta.result_sha256,
        "base": delta.base_name,
    }


def send(bench: Bench, body: dict[str, Any]) -> Any:
    return bench.write(64, smp.TACTUS_PATCH, body)


def step(bench: Bench, delta: Delta, offset: int) -> Any:
    """One message, as the host sends it."""
    ops, _ = delta.part(offset, ROOM)
    return send(bench, (first(delta) if offset == 0 else {"off": offset}) | {"ops": ops})


def rest(bench: Bench, delta: Delta, offset: int = 0) -> Any:
    """All messages from an offset on; the last reply."""
    while True:
        reply = step(bench, delta, offset)
        if reply.get("off", len(delta.result)) == len(delta.result):
            return reply
        assert reply["off"] > offset
        offset = reply["off"]


def other(bench: Bench) -> Any:
    return bench.store.slots[1]


def test_a_patch_makes_the_next_package_and_it_runs(running: Bench) -> None:
    delta = make(DATA, NEXT)
    assert rest(running, delta) == {"off": len(NEXT), "match": True}
    assert bytes(other(running).data) == NEXT
    assert running.states() == [CONFIRMED, STAGED]
    running.write(1, 0, {"hash": sha(NEXT), "confirm": False})
    running.reset()
    assert running.read(64, 0)["version"] == "2.0.0"
    # On trial it is already good enough to be the base of the one after it.
    after = make(NEXT, build.build(build.manifest(version="3", counter=6)))
    assert send(running, first(after) | {"ops": b""}) == {"err": {"group": 64, "rc": errors.STATE}}
    running.write(1, 0, {"confirm": True})
    assert rest(running, after)["match"] and running.states() == [STAGED, CONFIRMED]


def test_it_goes_on_after_a_reset_and_says_where(running: Bench) -> None:
    delta = make(DATA, NEXT)
    offset = step(running, delta, 0)["off"]
    assert 0 < offset < len(NEXT)
    other(running).received -= 5  # what waited in RAM
    del other(running).data[offset - 5 :]
    running.reset()
    assert send(running, first(delta) | {"ops": b""}) == {"off": offset - 5}
    running.reset()  # and once more, with another message than the first
    assert step(running, delta, offset - 5)["off"] > offset - 5
    assert rest(running, delta, other(running).received)["match"]


def test_a_message_that_comes_twice_is_applied_once(running: Bench) -> None:
    delta = make(DATA, NEXT)
    wanted = step(running, delta, 0)
    for _ in range(2):
        assert step(running, delta, 0) == wanted
    reply = rest(running, delta, wanted["off"])
    assert step(running, delta, 0) == step(running, delta, len(NEXT) - 1) == reply


def test_the_rest_may_come_whole(running: Bench) -> None:
    offset = step(running, make(DATA, NEXT), 0)["off"]
    assert running.upload(NEXT, start=offset) == {"off": len(NEXT), "match": True}


def test_without_its_base_it_is_refused_and_nothing_changes(running: Bench) -> None:
    delta = make(NEXT, DATA + b"?")
    refused = {"err": {"group": 64, "rc": errors.PKG_BASE}}
    assert send(running, first(delta) | {"ops": b"\1"}) == refused
    running.upload(NEXT)  # whole, but nobody has run it: what follows would overwrite it
    assert send(running, first(delta) | {"ops": b""}) == refused
    assert running.states() == [CONFIRMED, STAGED]


def test_the_older_package_is_no_base_for_what_would_overwrite_it(running: Bench) -> None:
    running.install(NEXT)
    assert running.states() == [CONFIRMED, CONFIRMED]
    delta = make(DATA, build.build(build.manifest(version="3", counter=6)))
    refused = {"err": {"group": 64, "rc": errors.PKG_BASE}}
    assert send(running, first(delta) | {"ops": b""}) == refused
    assert running.states() == [CONFIRMED, CONFIRMED]


def test_a_board_without_packages_has_no_base(bench: Bench) -> None:
    body = first(make(DATA, NEXT)) | {"ops": b""}
    assert send(bench, body) == {"err": {"group": 64, "rc": errors.PKG_BASE}}
    assert send(bench, {"off": 7, "ops": b""}) == {"rc": smp.RC_BAD_STATE}
    assert bench.states() == [EMPTY, EMPTY]


BROKEN = {
    "an op of nothing": b"\0",
    "a copy beyond the base": b"\xfd\xff\x7f",
    "bytes that are missing": b"\x40ab",
    "more than was announced": b"\x04a" * 4,
}


@pytest.mark.parametrize("what", BROKEN)
def test_ops_that_break_a_rule_are_refused_as_a_whole(running: Bench, what: str) -> None:
    body = first(make(DATA, NEXT)) | {"len": 3, "ops": b"\x08ab" + BROKEN[what]}
    assert send(running, body) == {"rc": smp.RC_INVALID}
    assert other(running).state == RECEIVING and other(running).received == 0


@pytest.mark.parametrize("key", ["off", "ops", "len", "sha"])
def test_a_first_message_that_lacks_something_is_invalid(running: Bench, key: str) -> None:
    body = first(make(DATA, NEXT)) | {"ops": b""}
    del body[key]
    assert send(running, body) == {"rc": smp.RC_INVALID}
    assert running.states() == [CONFIRMED, EMPTY]


def test_a_wrong_result_ends_like_a_wrong_upload(running: Bench) -> None:
    delta = make(DATA, NEXT)
    body = first(delta) | {"sha": sha(b"another"), "ops": delta.part(0, 4000)[0]}
    assert send(running, body) == {"off": len(NEXT), "match": False}
    assert running.states() == [CONFIRMED, BAD] and running.board.running
    assert rest(running, delta) == {"off": len(NEXT), "match": True}
    assert TRIED not in running.states()
