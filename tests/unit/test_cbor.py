"""Properties of the device's CBOR codec; its vectors run in tests/scripts/check_cbor.py."""

from __future__ import annotations

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.package import canonical
from protocol import cbor

KEYS = st.text(max_size=40) | st.integers(-(2**64), 2**64 - 1)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.text(max_size=40)
    | st.binary(max_size=300)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)


def depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


@given(VALUES.filter(lambda value: depth(value) < 8))
def test_what_it_writes_is_what_the_host_writes_and_both_read_it(value: object) -> None:
    data = cbor.encode(value)
    assert data == canonical.encode(value)
    assert cbor2.loads(data) == value
    assert cbor.decode(data, canonical=True, floats=False) == value


@given(VALUES.filter(lambda value: depth(value) < 8))
def test_a_buffer_one_byte_short_is_refused_and_not_overrun(value: object) -> None:
    size = len(cbor.encode(value))
    buffer = bytearray(size + 1)
    with pytest.raises(cbor.CborError):
        cbor.encode_into(memoryview(buffer)[: size - 1], 0, value)
    assert not any(buffer)
    assert cbor.encode_into(memoryview(buffer)[:size], 0, value) == size


@given(st.binary(max_size=60))
def test_any_bytes_decode_or_raise_the_typed_error(data: bytes) -> None:
    try:
        value = cbor.decode(data)
    except cbor.CborError:
        return
    # What is accepted is understood in the same way by an independent reader.
    theirs = cbor2.loads(data)
    assert repr(theirs) == repr(value)


@given(st.binary(max_size=60))
def test_the_canonical_check_accepts_exactly_one_encoding(data: bytes) -> None:
    try:
        value = cbor.decode(data, canonical=True, floats=False)
    except cbor.CborError:
        return
    assert cbor.encode(value) == data


@given(VALUES.filter(lambda value: depth(value) < 8), st.data())
def test_a_changed_byte_never_breaks_the_decoder(value: object, draw: st.DataObject) -> None:
    data = bytearray(cbor.encode(value))
    at = draw.draw(st.integers(0, len(data) - 1))
    data[at] = draw.draw(st.integers(0, 255))
    try:
        cbor.decode(data)
    except cbor.CborError:
        pass


@pytest.mark.parametrize(
    "value",
    [
        1.5,
        2**64,
        -(2**64) - 1,
        object(),
        {1, 2},
        {b"a": 1},
        {True: 1},
        {None: 1},
        {1.5: 1},
        "\ud800",
    ],
)
def test_values_without_an_encoding_are_refused(value: object) -> None:
    with pytest.raises(cbor.CborError):
        cbor.encode(value)


def test_nesting_ends_at_the_same_depth_for_both_directions() -> None:
    value: object = 1
    for _ in range(cbor.DEPTH_MAX):
        value = [value]
    assert cbor.decode(cbor.encode(value)) == value
    with pytest.raises(cbor.CborError):
        cbor.encode([value])
    with pytest.raises(cbor.CborError):
        cbor.decode(b"\x81" * (cbor.DEPTH_MAX + 1) + b"\x01")


def test_a_value_is_read_in_place_from_the_middle_of_a_buffer() -> None:
    assert cbor.decode(b"\xff\x82\x01\x02\xff", 1, 4) == [1, 2]
    with pytest.raises(cbor.CborError):
        cbor.decode(b"\xff\x82\x01\x02\xff", 1, 3)
