"""A board survives any message: odd headers, wrong types, lack of memory, faults of its own."""

from __future__ import annotations

import hashlib
from typing import Any

import cbor2
import package_builder as build
import pytest
from device_bench import READ, WRITE, Bench
from fake_store import CONFIRMED
from hypothesis import given
from hypothesis import strategies as st

from protocol import errors

DATA = build.build()
SHA = hashlib.sha256(DATA).digest()
STATE_ERROR = {"err": {"group": 64, "rc": errors.STATE}}


@pytest.mark.parametrize(
    ("message", "reply"),
    [
        (b"\x08", None),
        (b"\x08\0\0\0\0\0\1", None),
        (bytes([9, 0, 0, 0, 0, 0, 1, 6]), None),  # a reply
        (bytes([11, 0, 0, 0, 0, 0, 1, 5]), None),
        (bytes([8, 0, 0, 0, 0, 0, 1, 6]), {"buf_size": 1024, "buf_count": 2}),  # no payload: {}
        (bytes([8, 0, 0, 5, 0, 0, 1, 6]), {"rc": 3}),  # length says more
        (bytes([8, 0, 0, 0, 0, 0, 1, 6, 0xA0]), {"rc": 3}),  # length says less
        (bytes([8, 0, 3, 249, 0, 0, 1, 6]) + bytes(1016), {"rc": 7}),  # a byte beyond the buffer
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
    assert running.ask(READ, 0, 6, {}, version=0) == {"buf_size": 1024, "buf_count": 2}


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
    assert bench.read(0, 6)["buf_count"] == 2


def test_the_start_itself_does_not_count_as_background_of_the_run(running: Bench) -> None:
    running.module("loop").background(running.board)
    before = running.fake.backgrounds
    collections = running.fake.collections
    running.write(64, 6, {"speed": 1})
    assert running.fake.collections == collections + 1  # with the start
    assert running.fake.backgrounds == before + 1  # the reply leaves after it


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
KEYS += [
    "name",
    "d",
    "format",
    "lease_ms",
    "period_ms",
    "image",
    "upgrade",
    "type",
    "index",
    "groups",
]
COMMANDS = [(0, c) for c in (0, 2, 6, 7)] + [(1, c) for c in (0, 1, 5, 6)] + [(2, 0), (2, 1)]
COMMANDS += [(8, c) for c in range(5)] + [(10, c) for c in range(4)] + [(64, c) for c in range(12)]


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
