"""The COBS framing in C and in Python: golden vectors, any chunking, garbage; each judges the other."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from store_library import CobsDecoder, cobs_send

from host.boards import ROOT
from protocol.cobs import Decoder, encode

VECTORS = json.loads((ROOT / "protocol/vectors/cobs.json").read_text())
CAPACITY = 600

messages = st.binary(min_size=1, max_size=CAPACITY)
zero_rich = st.lists(st.sampled_from([b"\0", b"\1", b"\xff" * 254, b"\0" * 9]), min_size=1).map(
    b"".join
)


def fed_in_pieces(data: bytes, sizes: list[int], capacity: int = CAPACITY) -> CobsDecoder:
    decoder = CobsDecoder(capacity)
    at = turn = 0
    while at < len(data):
        size = sizes[turn % len(sizes)] if sizes else len(data)
        decoder.feed(data[at : at + size])
        at += size
        turn += 1
    return decoder


def counters(decoder: Decoder) -> tuple[int, int, int, int]:
    return decoder.frames, decoder.errors_crc, decoder.errors_format, decoder.errors_size


@pytest.mark.parametrize("frame", VECTORS["frames"], ids=lambda f: f"{len(f['message']) // 2} B")
def test_a_message_is_sent_as_the_vector_says(frame: dict[str, str]) -> None:
    message, wire = bytes.fromhex(frame["message"]), bytes.fromhex(frame["wire"])
    pieces = cobs_send(message)
    assert b"".join(pieces) == wire == encode(message)
    assert all(0 < len(piece) <= 255 for piece in pieces)
    assert len(wire) <= len(message) + 4 + (len(message) + 2) // 254


@pytest.mark.parametrize("stream", VECTORS["streams"], ids=lambda s: s["name"])
@pytest.mark.parametrize("piece", [1, 3, 10_000])
def test_a_stream_is_decoded_as_the_vector_says(stream: dict[str, object], piece: int) -> None:
    data, capacity = bytes.fromhex(str(stream["data"])), int(str(stream["capacity"]))
    wanted = [bytes.fromhex(m) for m in stream["messages"]]
    errors = tuple(stream[f"errors_{kind}"] for kind in ("crc", "format", "size"))
    device = fed_in_pieces(data, [piece], capacity)
    assert device.messages == wanted
    assert device.counters == (len(wanted), *errors)
    host = Decoder(capacity)
    assert [m for i in range(0, len(data), piece) for m in host.feed(data[i : i + piece])] == wanted
    assert counters(host) == device.counters


def test_messages_outside_the_length_limits_are_not_sent() -> None:
    assert cobs_send(b"") == [] and cobs_send(bytes(65534)) == []
    for size in (0, 65534):
        with pytest.raises(ValueError, match="1 to 65533"):
            encode(bytes(size))
    message = bytes(range(256)) * 255
    assert Decoder().feed(encode(message)) == [message]


@given(st.lists(messages | zero_rich, max_size=4), st.lists(st.integers(1, 300), max_size=5))
def test_messages_arrive_through_any_chunking(sent: list[bytes], sizes: list[int]) -> None:
    sent = [message[:CAPACITY] for message in sent]
    decoder = fed_in_pieces(b"\0".join(map(encode, sent)), sizes)
    assert decoder.messages == sent
    assert decoder.counters == (len(sent), 0, 0, 0)


@settings(max_examples=400)
@given(
    st.lists(messages.map(encode) | st.binary(max_size=20) | zero_rich, max_size=8),
    st.lists(st.integers(1, 40), max_size=4),
)
@example([b"\xff" * 255, b"\0"], [])
def test_hostile_streams_give_the_same_in_c_and_python(
    parts: list[bytes], sizes: list[int]
) -> None:
    stream = b"".join(parts)
    device = fed_in_pieces(stream, sizes)
    host = Decoder(CAPACITY)
    assert device.messages == host.feed(stream)
    assert device.counters == counters(host)


@settings(max_examples=200)
@given(messages, st.data())
def test_the_frame_behind_a_zero_always_arrives(message: bytes, data: st.DataObject) -> None:
    stream = bytearray(encode(message))
    at = data.draw(st.integers(0, len(stream) - 1))
    stream[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    decoder = fed_in_pieces(bytes(stream) + b"\0" + encode(b"the next one"), [])
    assert decoder.messages[-1] == b"the next one"


def test_noise_without_end_is_one_error() -> None:
    decoder = CobsDecoder(CAPACITY)
    for _ in range(40):
        decoder.feed(b"\x55" * 5000)
    assert decoder.feed(b"\0" + encode(b"on")) == [b"on"]
    assert decoder.counters in ((1, 0, 1, 0), (1, 0, 0, 1))


def test_a_waiting_message_stays_until_it_is_released() -> None:
    decoder = CobsDecoder(CAPACITY)
    library, two = decoder.library, encode(b"first") + encode(b"second")
    used = library.tac_cobs_feed(decoder.decoder, two, len(two))
    assert used == len(encode(b"first"))
    assert library.tac_cobs_feed(decoder.decoder, two[used:], len(two) - used) == 0
    library.tac_cobs_release(decoder.decoder)
    assert decoder.feed(two[used:]) == [b"second"]


def test_a_message_beyond_the_buffer_can_be_taken_for_an_answer() -> None:
    decoder = CobsDecoder(CAPACITY)
    decoder.decoder.limit = CAPACITY + 100
    message = bytes(range(256)) * 2 + bytes(188)
    assert decoder.feed(encode(message)) == [message[:CAPACITY]]
    assert decoder.feed(encode(bytes(CAPACITY + 101)) + encode(b"on")) == [b"on"]
    damaged = bytearray(encode(message))
    damaged[40] ^= 1
    assert decoder.feed(bytes(damaged) + encode(b"on")) == [b"on"]
    assert decoder.counters[0] == 2 and decoder.counters[3] == 2
