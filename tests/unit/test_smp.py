"""The SMP header."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import smp


@given(
    st.integers(0, 3),
    st.integers(0, 0xFFFF),
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(0, 0xFFFF),
    st.integers(0, 3),
)
def test_a_header_survives_the_round_trip(
    op: int, group: int, command: int, sequence: int, length: int, version: int
) -> None:
    data = smp.pack_header(op, group, command, sequence, length, version)
    first = version << 3 | op
    assert data == struct.pack(">BBHHBB", first, 0, length, group, sequence, command)
    assert smp.parse_header(data) == (op, group, command, sequence, length)
    assert smp.version(data) == version
    buffer = bytearray(10)
    smp.put_header(memoryview(buffer), op, group, command, sequence, length, version)
    assert buffer == data + b"\0\0"


@given(st.binary(max_size=20))
def test_any_bytes_parse_or_raise_the_typed_error(data: bytes) -> None:
    if len(data) < smp.HEADER_BYTES:
        with pytest.raises(smp.SmpError):
            smp.parse_header(data)
    else:
        op, group, command, sequence, length = smp.parse_header(data)
        assert op == data[0] & 7 and length == int.from_bytes(data[2:4], "big")
        assert (group, sequence, command) == (int.from_bytes(data[4:6], "big"), data[6], data[7])
