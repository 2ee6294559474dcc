"""The console link in C: golden vectors, any chunking, garbage and corruption, against a second decoder."""

import base64
import binascii
import json

import pytest
from console_reference import decode
from hypothesis import example, given, settings
from hypothesis import strategies as st
from store_library import ConsoleDecoder, console_send, store_library

from host.boards import ROOT
from protocol.console import Decoder

VECTORS = json.loads((ROOT / "protocol/vectors/console.json").read_text())
CAPACITY = 600

messages = st.binary(min_size=1, max_size=CAPACITY)
# Text as it occurs on a port, and text made to hurt: marks, base64 characters, line ends.
nasty = st.lists(
    st.sampled_from([b"\x06", b"\x09", b"\x04", b"\x14", b"\x06\x09", b"\x04\x14", b"\r", b"\n"])
    | st.sampled_from(
        [b"\r\n", b"=", b"==", b"AAAA", b"AB", b"+/", b"\x00", b"log text", b"\x06\x09ABA"]
    )
    | st.binary(max_size=3),
    max_size=12,
).map(b"".join)
log_text = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40).map(
    lambda text: text.encode() + b"\n"
)


def wire(message: bytes, end: bytes = b"\n") -> bytes:
    raw = (len(message) + 2).to_bytes(2, "big") + message
    text = base64.b64encode(raw + binascii.crc_hqx(message, 0).to_bytes(2, "big"))
    lines = [text[i : i + 124] for i in range(0, len(text), 124)]
    return b"".join((b"\x04\x14" if i else b"\x06\x09") + lines[i] + end for i in range(len(lines)))


@st.composite
def bent_frames(draw: st.DrawFn) -> bytes:
    """A right frame but for line breaks and padding in odd places: decodes only where that is legal."""
    message = draw(st.binary(min_size=1, max_size=9))
    raw = (len(message) + 2).to_bytes(2, "big") + message
    raw += binascii.crc_hqx(message, 0).to_bytes(2, "big")
    cut = draw(st.integers(0, len(raw)))
    parts = draw(st.sampled_from([[raw], [raw[:cut], raw[cut:]]]))
    text = b"".join(map(base64.b64encode, parts))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        odd = [
            b"\n\x04\x14",
            b"\r\n\x04\x14",
            b"\r\x04\x14",
            b"\nlog\x04\x14",
            b"=",
            b"==",
            b"====",
        ]
        text = text[:at] + draw(st.sampled_from(odd)) + text[at:]
    return b"\x06\x09" + text + b"\n"


def fed_in_pieces(data: bytes, sizes: list[int], capacity: int = CAPACITY) -> ConsoleDecoder:
    decoder = ConsoleDecoder(capacity)
    at = turn = 0
    while at < len(data):
        size = sizes[turn % len(sizes)] if sizes else len(data)
        decoder.feed(data[at : at + size])
        at += size
        turn += 1
    return decoder


@pytest.mark.parametrize(
    "frame", VECTORS["frames"], ids=lambda f: f"{len(f['message']) // 2} bytes"
)
def test_a_message_is_sent_as_the_vector_says(frame: dict[str, str]) -> None:
    lines = console_send(bytes.fromhex(frame["message"]))
    assert b"".join(lines) == bytes.fromhex(frame["wire"])
    assert all(len(line) <= 127 and line.endswith(b"\n") for line in lines)


@pytest.mark.parametrize("stream", VECTORS["streams"], ids=lambda s: s["name"])
@pytest.mark.parametrize("piece", [1, 3, 10_000])
def test_a_stream_is_decoded_as_the_vector_says(stream: dict[str, object], piece: int) -> None:
    data, capacity = bytes.fromhex(str(stream["data"])), int(str(stream["capacity"]))
    wanted = [bytes.fromhex(m) for m in stream["messages"]]
    errors = tuple(stream[f"errors_{kind}"] for kind in ("crc", "format", "size"))
    device = fed_in_pieces(data, [piece], capacity)
    assert device.messages == wanted
    assert device.counters == (len(wanted), *errors)
    reference = decode(data, capacity)
    assert (reference.messages, reference.counters[1:]) == (wanted, errors)
    host = Decoder(capacity)
    got = [m for i in range(0, len(data), piece) for m in host.feed(data[i : i + piece])]
    assert got == wanted


def test_messages_outside_the_length_field_are_not_sent() -> None:
    assert console_send(b"") == []
    assert console_send(bytes(65534)) == []
    assert len(b"".join(console_send(bytes(65533)))) > 65533


@given(st.binary(max_size=200), st.integers(0, 0xFFFF))
def test_crc16_is_xmodem_and_chains(data: bytes, start: int) -> None:
    assert store_library().tac_crc16(start, data, len(data)) == binascii.crc_hqx(data, start)


@given(st.lists(messages, max_size=4), st.lists(log_text, min_size=5, max_size=5), st.data())
def test_messages_arrive_through_any_chunking_line_ends_and_log_lines(
    sent: list[bytes], logs: list[bytes], data: st.DataObject
) -> None:
    end = data.draw(st.sampled_from([b"\n", b"\r\n"]))
    stream = b"".join(log + wire(m, end) for m, log in zip(sent, logs, strict=False)) + logs[-1]
    if data.draw(st.booleans()):
        stream = stream.replace(end, end + logs[-1])
    decoder = fed_in_pieces(stream, data.draw(st.lists(st.integers(1, 200), max_size=5)))
    assert decoder.messages == sent
    assert decoder.counters == (len(sent), 0, 0, 0)


@settings(max_examples=400)
@given(st.lists(messages.map(wire) | nasty, max_size=8), st.lists(st.integers(1, 40), max_size=4))
@example([b"\x06\x09AB=", b"="], [1])
@example([b"\x06\x09AAAA\r", b"\x06\x09"], [])
def test_hostile_streams_give_what_the_second_decoder_gives(
    parts: list[bytes], sizes: list[int]
) -> None:
    stream = b"".join(parts)
    expected = decode(stream, CAPACITY)
    decoder = fed_in_pieces(stream, sizes)
    assert decoder.messages == expected.messages
    assert decoder.counters == expected.counters


@settings(max_examples=600)
@given(st.lists(bent_frames(), min_size=1, max_size=3))
@example([b"\x06\x09AAMBEC\n\x04\x14Eg=A"])
@example([b"\x06\x09AAMBEC\n\x04\x14Eg==\n"])
def test_line_breaks_and_padding_count_only_where_they_belong(parts: list[bytes]) -> None:
    stream = b"".join(parts)
    expected = decode(stream, CAPACITY)
    decoder = fed_in_pieces(stream, [])
    assert decoder.messages == expected.messages
    assert decoder.counters == expected.counters


@settings(max_examples=400)
@given(st.lists(messages, min_size=1, max_size=3), st.data())
def test_corruption_costs_messages_but_never_alters_one(
    sent: list[bytes], data: st.DataObject
) -> None:
    stream = bytearray(b"".join(map(wire, sent)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(stream) - 1))
        kind = data.draw(st.sampled_from(["change", "lose", "insert", "twice"]))
        if kind == "change":
            stream[at] = data.draw(st.integers(0, 255))
        elif kind == "lose":
            del stream[at : at + data.draw(st.integers(1, 200))]
        elif kind == "insert":
            stream[at:at] = data.draw(st.binary(min_size=1, max_size=8))
        else:
            stream[at:at] = stream[at : at + 130]
        if not stream:
            stream = bytearray(b"\n")
    stream += wire(b"the one behind it all")
    decoder = fed_in_pieces(bytes(stream), [])
    got = decoder.messages
    expected = decode(bytes(stream), CAPACITY)
    assert got == expected.messages
    # The newest frame always arrives, whatever was lost before it.
    assert got[-1] == b"the one behind it all"
    # A wrong message needs a CRC-16 that fits by chance (2^-16 a damaged frame).
    strangers = [m for m in got[:-1] if m not in sent]
    assert len(strangers) <= 1


def test_one_changed_byte_is_always_noticed() -> None:
    """CRC-16 finds every burst of up to 16 bits, so a single changed character never passes."""
    message = bytes(range(30))
    good = wire(message)
    for at in range(len(good)):
        for value in range(0, 256, 5):
            if value == good[at]:
                continue
            decoder = ConsoleDecoder(CAPACITY)
            got = decoder.feed(good[:at] + bytes([value]) + good[at + 1 :] + wire(b"next"))
            assert got in ([b"next"], [message, b"next"]), (at, value)
            if 2 <= at < len(good) - 1:
                assert got == [b"next"], (at, value)


def test_a_waiting_message_stays_until_it_is_released() -> None:
    library = store_library()
    decoder = ConsoleDecoder(CAPACITY)
    two = wire(b"first") + wire(b"second")
    used = library.tac_console_feed(decoder.decoder, two, len(two))
    assert used <= len(wire(b"first"))
    assert library.tac_console_feed(decoder.decoder, two[used:], len(two) - used) == 0
    assert decoder.decoder.message_bytes == 5
    library.tac_console_release(decoder.decoder)
    assert decoder.feed(two[used:]) == [b"second"]


def test_a_message_beyond_the_buffer_can_be_taken_for_an_answer() -> None:
    decoder = ConsoleDecoder(CAPACITY)
    decoder.decoder.limit = CAPACITY + 100
    message = bytes(range(256)) * 2 + bytes(188)
    assert decoder.feed(wire(message)) == [message[:CAPACITY]]
    assert decoder.feed(wire(bytes(CAPACITY + 101)) + wire(b"on")) == [b"on"]
    damaged = bytearray(wire(message))
    damaged[40] ^= 1
    assert decoder.feed(bytes(damaged) + wire(b"on")) == [b"on"]
    assert decoder.counters[0] == 2 and decoder.counters[3] == 2
