"""SMP group 8, files: what a board can show for itself, by name. Nothing can be written.

What changes while it is read, and is too long for one reply, is kept as it was at offset 0 until another
download begins.
"""

import hashlib

import _tactus

from protocol import package as container
from protocol import smp
from tactus import evidence
from tactus.request import GroupError, StatusError, check, text, uint
from tactus.telemetry_file import TelemetryFile

_REPLY_OVERHEAD = 48  # header, map head, keys and numbers around the data
_TASK = "/stats/"


def download(board, request):
    """Read from an offset on as much as one reply holds, in pieces."""
    name = text(request, "name")
    offset = uint(request, "off")
    if offset == 0:
        board.download = None
    content, is_steady = yield from _content(board, name)
    yield
    size = len(content)
    if offset > size:
        raise GroupError(smp.GROUP_FS, smp.FS_OFFSET_BEYOND)
    if offset > 0 and not is_steady:
        raise GroupError(smp.GROUP_FS, smp.FS_OFFSET_NOT_VALID)
    room = len(board.scratch) - _REPLY_OVERHEAD
    if not is_steady and size > room:
        if not isinstance(content, TelemetryFile):
            content = bytes(content)
        board.download = (name, content)
    data = yield from _part(content, offset, room)
    reply = {"off": offset, "data": data}
    if offset == 0:
        reply["len"] = size
    return reply


def upload(board, request):
    """Refuse: packages come by the image group, and nothing else is taken."""
    text(request, "name")
    raise StatusError(smp.RC_ACCESS_DENIED)


def status(board, request):
    """Tell a file's length, in pieces."""
    content, _ = yield from _content(board, text(request, "name"))
    yield
    return {"len": len(content)}


def hash_of(board, request):
    """Tell the SHA-256 of a file, or of a part of it, in pieces."""
    if text(request, "type", "sha256") != "sha256":
        raise GroupError(smp.GROUP_FS, smp.FS_HASH_UNKNOWN)
    content, _ = yield from _content(board, text(request, "name"))
    yield
    offset = uint(request, "off", default=0)
    if offset > len(content):
        raise GroupError(smp.GROUP_FS, smp.FS_OFFSET_BEYOND)
    end = offset + uint(request, "len", 1, default=len(content) or 1)
    end = min(end, len(content))
    total = hashlib.sha256()
    at = offset
    while at < end:
        part = yield from _part(content, at, min(end - at, evidence.HASH_BYTES))
        total.update(part)
        at += len(part)
        yield
    reply = {"type": "sha256", "len": end - offset, "output": total.digest()}
    if offset > 0:
        reply["off"] = offset
    return reply


def hash_types(board, request):
    """Tell how files can be hashed: to a byte string (format 1)."""
    return {"types": {"sha256": {"format": 1, "size": 32}}}


def close(board, request):
    """Forget a download."""
    board.download = None
    return {}


def _part(content, offset, size):
    if isinstance(content, TelemetryFile):
        return (yield from content.read_pieces(offset, size))
    return content[offset : offset + size]


def _content(board, name):
    # In pieces: (bytes or TelemetryFile, whether they stay the same from one request to the next)
    if board.download is not None and board.download[0] == name:
        return board.download[1], True
    if name == "/telemetry":
        return TelemetryFile(board), False
    if name == "/evidence":
        return (yield from evidence.statement_pieces(board)), False
    if name == "/events":
        return board.scratch[: check(_tactus.sched_events(board.scratch))], False
    if name == "/loop":
        return board.scratch[: check(_tactus.sched_loop(board.scratch))], False
    if name.startswith(_TASK):
        tasks = board.tasks()
        for index in range(len(tasks)):
            if tasks[index]["name"] == name[len(_TASK) :]:
                return board.scratch[: check(_tactus.sched_stats(index, board.scratch))], False
    if board.package and name == "/manifest":
        return container.envelope_bytes(_tactus.slot_data(board.slot)), True
    if board.package and name == "/keyset":
        return container.key_set(_tactus.slot_data(board.slot)), True
    raise GroupError(smp.GROUP_FS, smp.FS_NOT_FOUND)


NAME = "fs mgmt"
READ = {
    smp.FS_FILE: download,
    smp.FS_STATUS: status,
    smp.FS_HASH: hash_of,
    smp.FS_HASH_TYPES: hash_types,
}
WRITE = {smp.FS_FILE: upload, smp.FS_CLOSE: close}
