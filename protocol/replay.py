"""The replay image: recorded sensor data in its own flash region. SPEC.md, section "Replay image".

    "TRP1", u32le record count, records of 48 bytes, then data and window tables where the records say
    record: name (16 bytes, NUL padded), u32le data offset, sample count, channels, window count, windows offset, 12 x 0
    data: int16le[sample count][channels]; windows: u32le first sample of each window

Offsets count from the start of the image and are multiples of 4. A record has at most 2^28 - 1 samples and windows, 65,535
channels and 2^29 values.
"""

import struct

MAGIC = b"TRP1"
HEAD_BYTES = 8
RECORD_BYTES = 48
NAME_BYTES = 16
RECORDS_MAX = 16

_RECORD = "<16sIIIII12s"
_COUNT_MAX = (1 << 28) - 1  # products of two counts are formed after each was bounded
_CHANNELS_MAX = 0xFFFF
_VALUES_MAX = 1 << 29  # samples x channels: an index stays a small integer on MicroPython


class ReplayError(ValueError):
    """The bytes are not a replay image."""


class Record:
    """One recorded stream: where its samples and its window starts lie in the image (bytes, counts)."""

    def __init__(
        self,
        name: str,
        data_offset: int,
        sample_count: int,
        channels: int,
        window_count: int,
        windows_offset: int,
    ) -> None:
        self.name = name
        self.data_offset = data_offset
        self.sample_count = sample_count
        self.channels = channels
        self.window_count = window_count
        self.windows_offset = windows_offset


def find(image: "bytes | bytearray | memoryview", name: str) -> "Record | None":
    """The record of this name, None when there is none. Raises ReplayError for a damaged image."""
    for record in parse(image):
        if record.name == name:
            return record
    return None


def parse(image: "bytes | bytearray | memoryview") -> "list[Record]":
    """Read the record table and check every bound in it. Raises ReplayError."""
    view = memoryview(image)
    if len(view) < HEAD_BYTES or bytes(view[:4]) != MAGIC:
        raise ReplayError("not a replay image")
    (count,) = struct.unpack("<I", bytes(view[4:8]))
    if count > RECORDS_MAX or HEAD_BYTES + count * RECORD_BYTES > len(view):
        raise ReplayError("too many records")
    records = []
    for index in range(count):
        start = HEAD_BYTES + index * RECORD_BYTES
        records.append(_record(bytes(view[start : start + RECORD_BYTES]), len(view)))
    return records


def _record(raw: bytes, size: int) -> Record:
    fields = struct.unpack(_RECORD, raw)
    name = fields[0].rstrip(b"\0")
    data_offset, samples, channels, windows, windows_offset = fields[1:6]
    for character in name:
        if not 0x21 <= character <= 0x7E:
            raise ReplayError("a record name that is not printable ASCII")
    if not name or not samples or not channels or not windows:
        raise ReplayError("an empty record")
    if samples > _COUNT_MAX or channels > _CHANNELS_MAX or windows > _COUNT_MAX:
        raise ReplayError("a count out of range")
    if samples * channels > _VALUES_MAX:
        raise ReplayError("more than %d values" % _VALUES_MAX)
    if fields[6] != bytes(12):
        raise ReplayError("reserved bytes that are not zero")
    if data_offset % 4 or windows_offset % 4:
        raise ReplayError("an offset that is not a multiple of 4")
    if data_offset + 2 * samples * channels > size or windows_offset + 4 * windows > size:
        raise ReplayError("a record that leaves the image")
    return Record(name.decode(), data_offset, samples, channels, windows, windows_offset)


def build(
    streams: "list[tuple[str, bytes, int, list[int]]]",
) -> bytes:
    """Write an image from (name, int16le samples, channels, first sample of each window).

    Raises ValueError for a stream that the format cannot say.
    """
    if len(streams) > RECORDS_MAX:
        raise ValueError("more than %d streams" % RECORDS_MAX)
    at = HEAD_BYTES + RECORD_BYTES * len(streams)
    table = [struct.pack("<4sI", MAGIC, len(streams))]
    body = []
    for name, samples, channels, windows in streams:
        count = len(samples) // (2 * channels)
        if len(samples) != 2 * channels * count or len(name.encode()) > NAME_BYTES:
            raise ValueError("stream %s: ragged samples or a name of more than 16 bytes" % name)
        data = samples + bytes(-len(samples) % 4)
        starts = struct.pack("<%dI" % len(windows), *windows)
        table.append(
            struct.pack(
                _RECORD,
                name.encode(),
                at,
                count,
                channels,
                len(windows),
                at + len(data),
                b"",
            )
        )
        body.append(data)
        body.append(starts)
        at += len(data) + len(starts)
    image = b"".join(table + body)
    parse(image)
    return image
