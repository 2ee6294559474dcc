"""SMP group 8, files: what a board can show for itself, by name. Nothing can be written.

What changes while it is read, and is too long for one reply, is kept as it was at offset 0 until another
download begins.
"""

import hashlib

import _tactus

from protocol import package as container
from protocol import smp
from tactus.request import GroupError, StatusError, check, text, uint

_REPLY_OVERHEAD = 48  # header, map head, keys and numbers around the data
_TASK = "/stats/"
_HASHED_AT_ONCE = 512  # bytes a piece


def download(board, request):
    """Read from an offset on as much as one reply holds."""
    name = text(request, "name")
    offset = uint(request, "off")
    if offset == 0:
        board.download = None
    content, is_steady = _content(board, name)
    size = len(content)
    if offset > size:
        raise GroupError(smp.GROUP_FS, smp.FS_OFFSET_BEYOND)
    if offset > 0 and not is_steady:
        raise GroupError(smp.GROUP_FS, smp.FS_OFFSET_NOT_VALID)
    room = len(board.scratch) - _REPLY_OVERHEAD
    if not is_steady and size > room:
        content = bytes(content)
        board.download = (name, content)
    reply = {"off": offset, "data": content[offset : offset + room]}
    if offset == 0:
        reply["len"] = size
    return reply


def upload(board, request):
    """Refuse: packages come by the image group, and nothing else is taken."""
    text(request, "name")
    raise StatusError(smp.RC_ACCESS_DENIED)


def status(board, request):
    """Tell a file's length."""
    return {"len": len(_content(board, text(request, "name"))[0])}


def hash_of(board, request):
    """Tell the SHA-256 of a file, or of a part of it."""
    if text(request, "type", "sha256") != "sha256":
        raise GroupError(smp.GROUP_FS, smp.FS_HASH_UNKNOWN)
    content, _ = _content(board, text(request, "name"))
    offset = uint(request, "off", default=0)
    if offset > len(content):
        raise GroupError(smp.GROUP_FS, smp.FS_OFFSET_BEYOND)
    part = content[offset : offset + uint(request, "len", 1, default=len(content) or 1)]
    digest = hashlib.sha256()
    for at in range(0, len(part), _HASHED_AT_ONCE):
        digest.update(part[at : at + _HASHED_AT_ONCE])
        yield
    reply = {"type": "sha256", "len": len(part), "output": digest.digest()}
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


def _content(board, name):
    # (bytes, whether they stay the same from one request to the next)
    if board.download is not None and board.download[0] == name:
        return board.download[1], True
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
