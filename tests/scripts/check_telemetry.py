"""Telemetry on the real `_tactus`: the ring, records in pieces, files and commands. Prints the same on both interpreters."""

import hashlib

import _tactus
from tactus import link, pieces, state
from vector_file import show

from protocol import cbor, smp, stats, telemetry
from protocol.histogram import Histogram, bucket_index

HOSTILE = (
    b"",
    b"\x80",
    b"\xa0",
    b"\x86\x01\x01\x01\xf6\x01",
    b"\x86\x01\x01\x01\xf6\x01\x80",
    b"\x86\x20\x01\x01\xf6\x01\xa0",
    b"\x86\x01\x01\x01\x82\x01\x20\x01\xa0",
    b"\x86\x01\x01\x01\x81\x01\x01\xa0",
    b"\x86\x01\x01\x01\xf6\x01\xa1\x00\x61a",
    b"\x86\x01\x01\x01\xf6\x01\xa1\x61a\x00",
    b"\x86\x01\x01\x01\xf6\x01\xa1\x01\x00",
    b"\x86\xf5\x01\x01\xf6\x01\xa0",
    b"\x86\x01\x18\x01\x01\xf6\x01\xa0",
    b"\x86\x01\x01\x01\xf6\x01\xa0\x00",
    b"\x86\x01\x01\x01\xf6\x03\xa1\x06\x81\x81\x01",
)


def ask(board, op, group, command, request):
    """One request and its reply."""
    message = bytearray(256)
    end = cbor.encode_into(message, smp.HEADER_BYTES, request)
    smp.put_header(message, op, group, command, 5, end - smp.HEADER_BYTES)
    message[1] = smp.OWN_CODES
    reply = _tactus.link_tx()
    size = pieces.finish(link.respond(board, memoryview(message)[:end], reply))
    return cbor.decode(reply, smp.HEADER_BYTES, size)


def page(board, request):
    """A page of group 64, decoded."""
    reply = ask(board, smp.READ, smp.GROUP_TACTUS, smp.TACTUS_TELEMETRY, request)
    found = [telemetry.decode(content) for _, content in telemetry.unpack_page(reply.pop("data"))]
    return sorted(reply.items()), found


def plain(record):
    """A record without what differs from run to run."""
    return record.sequence, record.kind, record.utc_s, sorted(record.fields.items())


def fetch(board, name):
    """A file as a client downloads it."""
    content, size = b"", 1
    while len(content) < size:
        request = {"name": name, "off": len(content)}
        reply = ask(board, smp.READ, smp.GROUP_FS, smp.FS_FILE, request)
        size = reply.get("len", size)
        content += reply["data"]
    return content


def check_format():
    """What is not a record is refused; what is comes back."""
    for data in HOSTILE:
        try:
            show("FAIL: taken", telemetry.decode(data))
        except telemetry.TelemetryError as error:
            show("refused", error)
    took = {"took": [[0, 5], [255, 7]], "value": -3, "task": "left"}
    data = telemetry.encode(7, 9, 1 << 40, [1_800_000_000, 3], telemetry.FIRST_MISS, took)
    found = telemetry.decode(data)
    show("record", tuple(found)[:-1], sorted(found.fields.items()), found.fields == took)
    show("later kind", telemetry.decode(b"\x86\x01\x02\x03\xf6\x18\x63\xa1\x00\x00"))
    show("later field", telemetry.decode(b"\x86\x01\x02\x03\xf6\x02\xa1\x18\x63\x00").fields)
    for data in (b"\x01", b"\x01\x00\x00\x00\x02a", b"\x00\x00\x00\x00\x00"):
        try:
            show("FAIL: taken", telemetry.unpack_page(data))
        except telemetry.TelemetryError as error:
            show("refused", error)


def check_percentiles():
    """The C that reads packed histograms agrees with Histogram."""
    for values in ([], [0], [7, 7, 9], [1 << 24, 5, 70, 900], list(range(1, 400, 3))):
        h = Histogram()
        for value in values:
            h.add(value)
        data = h.n.to_bytes(4, "little") + h.min_us.to_bytes(4, "little")
        data += h.max_us.to_bytes(4, "little") + h.sum_us.to_bytes(8, "little")
        used = h.nonzero()
        data += bytes([len(used)])
        for index, count in used:
            data += bytes([index, count])
        found = _tactus.percentiles(data, 0)
        show("percentiles", found == (len(data), h.percentile(50), h.percentile(99), h.max_us))
        show("cut off", used == [] or _tactus.percentiles(data[:-1], 0) < 0)
    show("bucket", bucket_index(5), stats.HISTOGRAMS_AT)


def step(board, count):
    """Do pieces as they come due, without waiting."""
    for _ in range(count):
        board.telemetry.step(board)


def main():
    """Run."""
    check_format()
    check_percentiles()
    show("init", _tactus.init())
    board = state.Board()
    board.boot_id = 77
    show("empty", _tactus.telemetry_info(), page(board, {}))
    board.utc.set(1_800_000_000)
    step(board, 12)
    show("boot", [plain(r) for r in page(board, {})[1]])
    show("written", board.telemetry.written, board.telemetry.failed)
    board.telemetry.quicken(250, 60_000)
    step(board, 60)
    _, found = page(board, {})
    show("quick", [plain(r)[:3] for r in found[:4]], len(found) > 10)
    whole = b"".join([content for _, content in all_of(board)])
    show("file", fetch(board, "/telemetry") == whole, len(whole) == _tactus.telemetry_info()[4])
    hashed = ask(board, smp.READ, smp.GROUP_FS, smp.FS_HASH, {"name": "/telemetry"})
    show("hash", hashed["len"] == len(whole), hashed["output"] == hashlib.sha256(whole).digest())
    part = {"name": "/telemetry", "off": 500, "len": 321}
    hashed = ask(board, smp.READ, smp.GROUP_FS, smp.FS_HASH, part)
    show("part", hashed["output"] == hashlib.sha256(whole[500:821]).digest())
    status = ask(board, smp.READ, smp.GROUP_FS, smp.FS_STATUS, {"name": "/telemetry"})
    show("status", status == {"len": len(whole)})
    for request in ({"acknowledged": 3}, {"acknowledged": 2}, {"acknowledged": 10**6}, {}):
        show("ack", ask(board, smp.WRITE, smp.GROUP_TACTUS, smp.TACTUS_TELEMETRY, request))
    show("acknowledged", _tactus.telemetry_info()[2], page(board, {})[1][0].sequence)
    statement = cbor.decode(fetch(board, "/evidence"), canonical=True)
    show("evidence", sorted(statement))
    show("round", round_the_ring(board))


def all_of(board):
    """Everything in the ring."""
    found, cursor = [], 1
    while True:
        reply = ask(board, smp.READ, smp.GROUP_TACTUS, smp.TACTUS_TELEMETRY, {"cursor": cursor})
        records = telemetry.unpack_page(reply["data"])
        if not records:
            return found
        found += records
        cursor = reply["next"]


def round_the_ring(board):
    """A download whose first record is overwritten is refused, and the ring goes on."""
    name = {"name": "/telemetry", "off": 0}
    first = ask(board, smp.READ, smp.GROUP_FS, smp.FS_FILE, name)
    content = bytes(180)
    while _tactus.telemetry_info()[0] == 1:
        _tactus.telemetry_append(content)
    request = {"name": "/telemetry", "off": len(first["data"])}
    refused = ask(board, smp.READ, smp.GROUP_FS, smp.FS_FILE, request)
    oldest, following, _, lost, size = _tactus.telemetry_info()
    return refused["err"]["rc"], oldest > 1, following > oldest, lost == oldest - 1 - 3, size > 0


main()
