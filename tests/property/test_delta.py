"""Whatever two files hold, what is sent makes the one out of the other, from any place on and in any messages."""

from __future__ import annotations

import random

import package_builder as build
import pytest
from hypothesis import given
from hypothesis import strategies as st
from patch_reference import PatchError, decode, decode_in_c, measure_in_c

from host.package.delta import PART_BYTES_MIN, Delta, make, plan

ROOM = 200


def rebuilt(delta: Delta, room: int, start: int = 0) -> bytes:
    """The result as a board makes it that has `start` bytes already; each message by both decoders."""
    made = bytearray(delta.result[:start])
    while len(made) < len(delta.result):
        ops, end = delta.part(len(made), room)
        assert 0 < len(ops) <= room
        part = decode(ops, delta.base, len(made))
        assert measure_in_c(ops, delta.base, len(made)) == len(part) == end - len(made)
        assert decode_in_c(ops, delta.base, len(made), 7) == part
        made += part
    return bytes(made)


def weights(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


@st.composite
def relatives(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Two files that have much in common: bytes changed a little or much, put in, taken out, moved."""
    base = draw(st.binary(max_size=40)) + weights(
        draw(st.integers(0, 900)), draw(st.integers(0, 3))
    )
    result = bytearray(base)
    for _ in range(draw(st.integers(0, 12))):
        at = draw(st.integers(0, len(result)))
        kind = draw(st.integers(0, 4))
        if kind == 0 and at < len(result):
            result[at] = (result[at] + draw(st.integers(-3, 3))) % 256
        elif kind == 1:
            result[at : at + draw(st.integers(0, 60))] = draw(st.binary(max_size=60))
        elif kind == 2:
            start = draw(st.integers(0, len(base)))
            result[at:at] = base[start : start + draw(st.integers(0, 300))]
        elif kind == 3:
            step = draw(st.integers(1, 40))
            for place in range(at, len(result), step):
                result[place] = (result[place] + draw(st.sampled_from((1, 255, 7)))) % 256
        else:
            del result[at : at + draw(st.integers(0, 300))]
    return base, bytes(result)


@given(relatives(), st.integers(PART_BYTES_MIN, 400), st.data())
def test_relatives_come_out_whole_from_any_place_on(
    pair: tuple[bytes, bytes], room: int, data: st.DataObject
) -> None:
    delta = make(*pair)
    start = data.draw(st.integers(0, len(pair[1])))
    assert rebuilt(delta, room, start) == pair[1]


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_two_files_come_out_whole(base: bytes, result: bytes) -> None:
    assert rebuilt(make(base, result), PART_BYTES_MIN) == result


@pytest.mark.parametrize(
    "base",
    [b"", b"\0" * 5000, b"\xff\0" * 2500, bytes(range(256)) * 20, weights(5000)],
    ids=["nothing", "zeros", "two", "counting", "noise"],
)
@pytest.mark.parametrize(
    "result",
    [b"", b"\0" * 7001, b"\0\xff" * 2500, bytes(range(255, -1, -1)) * 20, weights(200_000, 2)],
    ids=["nothing", "zeros", "two", "counting down", "noise"],
)
def test_files_that_are_hard_to_match_come_out_whole(base: bytes, result: bytes) -> None:
    assert rebuilt(make(base, result), 900) == result


@given(st.binary(min_size=1, max_size=120), st.binary(max_size=90), st.integers(0, 100))
def test_both_decoders_agree_on_any_bytes(ops: bytes, base: bytes, offset: int) -> None:
    try:
        expected: bytes | None = decode(ops, base, offset)
    except PatchError:
        expected = None
    for room in (1, 5, 1000):
        try:
            assert decode_in_c(ops, base, offset, room) == expected
        except PatchError:
            assert expected is None
    if expected is None:
        with pytest.raises(PatchError):
            measure_in_c(ops, base, offset)
    else:
        assert measure_in_c(ops, base, offset) == len(expected)


def test_a_part_of_a_change_costs_what_it_is() -> None:
    base = weights(100_000)
    for share, limit in ((0.01, 0.013), (0.05, 0.045), (0.3, 0.175)):
        rng = random.Random(2)
        result = bytes(
            (byte + rng.choice((1, 255))) % 256 if rng.random() < share else byte for byte in base
        )
        delta = make(base, result)
        assert rebuilt(delta, 1900) == result
        # Entropy of where and which way: 0.0113, 0.042, 0.148 of the file.
        assert delta.sent_bytes(1900) < limit * len(base) + 500


def test_what_was_made_anew_is_sent_whole() -> None:
    assert plan(weights(30_000, 1), weights(30_000, 2), 1900) is None
    assert plan(b"", weights(3000), 1900) is None


def version(number: str, weight: int = 3) -> bytes:
    """A package whose manifest and model say what they are told to."""
    content = build.manifest(version=number, evidence_sha256=weights(32, len(number)))
    parts = [("clamp", build.plan().image()), ("vector", build.TEST_INPUT)]
    parts += [("weights", weights(20_000, weight)), ("more", weights(1000, 9))]
    return build.build(content, parts)


def test_a_change_of_the_manifest_that_moves_all_payloads_is_small() -> None:
    base, result = version("1.2.3"), version("1.2.345678901234567890")
    assert len(base) != len(result)
    delta = plan(base, result, 1900)
    assert delta is not None and rebuilt(delta, 1900) == result
    assert delta.sent_bytes(1900) < 450
    other = plan(base, version("2.0.0"), 1900)
    assert other is not None and other.sent_bytes(1900) < 400


def test_one_payload_made_anew_costs_that_payload() -> None:
    delta = make(version("1"), version("1", weight=4))
    assert 20_000 < delta.sent_bytes(1900) < 21_200
