"""Properties of the console framing in Python; its vectors run in tests/scripts/check_link.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import console

TEXT = st.binary(max_size=80).map(lambda data: data.replace(b"\x06", b"?").replace(b"\x04", b"?"))
MESSAGES = st.lists(st.binary(min_size=1, max_size=400), max_size=4)


def pieces(data: bytes, draw: st.DataObject) -> list[bytes]:
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=12)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@given(MESSAGES, TEXT, st.data())
def test_messages_arrive_whole_and_in_order_however_the_stream_is_cut(
    messages: list[bytes], text: bytes, draw: st.DataObject
) -> None:
    data = b"".join(text + b"\n" + console.encode(message) for message in messages) + text
    decoder = console.Decoder()
    found: list[bytes] = []
    for piece in pieces(data, draw):
        found += decoder.feed(piece)
    assert found == messages
    assert (decoder.errors_crc, decoder.errors_format, decoder.errors_size) == (0, 0, 0)


@given(st.binary(min_size=1, max_size=1000))
def test_lines_are_short_and_hold_nothing_that_a_terminal_acts_on(message: bytes) -> None:
    data = console.encode(message)
    assert data.endswith(b"\n")
    for line in data[:-1].split(b"\n"):
        assert len(line) < console.LINE_MAX
        assert line[:2] in (b"\x06\x09", b"\x04\x14") and line[2:].isascii()
        assert min(line[2:]) >= 0x2B


@given(st.binary(max_size=300), st.data())
def test_any_bytes_leave_the_decoder_usable(noise: bytes, draw: st.DataObject) -> None:
    decoder = console.Decoder()
    for piece in pieces(noise, draw):
        decoder.feed(piece)
    # Whatever came before, the second of two frames is never lost.
    good = console.encode(b"good")
    assert decoder.feed(b"\n" + good + good)[-1] == b"good"


@given(st.binary(min_size=1, max_size=300), st.data())
def test_a_damaged_frame_is_dropped_and_never_altered(message: bytes, draw: st.DataObject) -> None:
    data = bytearray(console.encode(message))
    at = draw.draw(st.integers(0, len(data) - 1))
    data[at] ^= draw.draw(st.integers(1, 255))
    for found in console.Decoder().feed(bytes(data) + b"\n"):
        # One changed base64 character is a burst of at most 6 bits, which CRC-16 always sees.
        assert found == message


@pytest.mark.parametrize("size", [400, 600, 2000])
def test_a_long_line_of_text_costs_no_memory_and_no_frame(size: int) -> None:
    decoder = console.Decoder()
    for _ in range(10):
        assert decoder.feed(b"x" * size) == []
        assert len(decoder._line) <= 4 * console.LINE_MAX
    assert decoder.feed(console.encode(b"hello")) == [b"hello"]


def test_a_message_beyond_the_length_field_is_refused() -> None:
    assert console.Decoder().feed(console.encode(bytes(console.MESSAGE_MAX))) != []
    with pytest.raises(ValueError, match="1 to 65533 bytes"):
        console.encode(bytes(console.MESSAGE_MAX + 1))
