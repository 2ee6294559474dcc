"""Serving SMP: one received message in, one reply out. Whatever comes, the board goes on.

A message is answered in pieces (tactus.pieces), between which models run. One is under way at a time, whatever
link it came by; it stays in the receive buffer until its reply has left, so the next one waits.
"""

import _tactus

from protocol import cbor, errors, smp
from tactus import groups_enum, groups_fs, groups_image, groups_os, groups_stat, groups_tactus
from tactus.pieces import are_pieces
from tactus.platform import log
from tactus.request import GroupError, StatusError

_GROUPS = {
    smp.GROUP_OS: groups_os,
    smp.GROUP_IMAGE: groups_image,
    smp.GROUP_STAT: groups_stat,
    smp.GROUP_FS: groups_fs,
    smp.GROUP_ENUM: groups_enum,
    smp.GROUP_TACTUS: groups_tactus,
}
groups_enum.tell(_GROUPS)
_ITEMS_MAX = 64  # of a request: more would hold the board for too long


def serve(board):
    """Do one piece of answering the link; False when there is nothing to answer."""
    if board.answering is None:
        length = _tactus.link_poll()
        if length <= 0:
            return False
        board.messages += 1
        board.answering = _answer(board, length)
    try:
        next(board.answering)
    except StopIteration:
        board.answering = None
    except MemoryError:  # this message is lost, the next one finds a collected heap
        board.answering = None
        log("tactus: out of memory")
    return True


def _answer(board, length):
    try:
        size = yield from respond(board, _tactus.link_rx()[:length], _tactus.link_tx())
    finally:
        _tactus.link_done()
    if size:
        _tactus.link_send(size)


def respond(board, message, transmit):
    """Handle one message, in pieces; write the reply into `transmit` and return its size, 0 for no reply.

    Only the last piece writes: stream frames use the same buffer. No reply goes to what has no header to answer,
    and to replies: that could go round for ever.
    """
    try:
        op, group, command, sequence, length = smp.parse_header(message)
    except smp.SmpError:
        return 0
    if op not in (smp.READ, smp.WRITE):
        return 0
    version = smp.version(message)
    if version > smp.V2:
        version = smp.V2
        reply = {"rc": smp.RC_TOO_NEW}
    else:
        reply = yield from _reply(board, version, op, group, command, message, length)
        yield
    try:
        end = cbor.encode_into(transmit, smp.HEADER_BYTES, reply)
    except cbor.CborError:
        end = cbor.encode_into(transmit, smp.HEADER_BYTES, {"rc": smp.RC_MESSAGE_SIZE})
    smp.put_header(transmit, op + 1, group, command, sequence, end - smp.HEADER_BYTES, version)
    return end


def _reply(board, version, op, group, command, message, length):
    try:
        if length + smp.HEADER_BYTES > board.facts["link_bytes"]:
            raise StatusError(smp.RC_MESSAGE_SIZE)
        if length != len(message) - smp.HEADER_BYTES:
            raise StatusError(smp.RC_INVALID)
        handlers = _GROUPS.get(group)
        if handlers is None:
            raise StatusError(smp.RC_NOT_SUPPORTED)
        handler = (handlers.READ if op == smp.READ else handlers.WRITE).get(command)
        if handler is None:
            raise StatusError(smp.RC_NOT_SUPPORTED)
        reply = handler(board, _request(message, length))
        if are_pieces(reply):
            yield
            reply = yield from reply
        return reply
    except StatusError as error:
        return {"rc": error.rc}
    except GroupError as error:
        return _refusal(version, group, message[1], error)
    except cbor.CborError:
        return {"rc": smp.RC_INVALID}
    except MemoryError:
        return {"rc": smp.RC_NO_MEMORY}
    except Exception as error:  # noqa: BLE001 a fault of ours must not stop the tasks
        log("tactus: group %d command %d failed: %r" % (group, command, error))
        return {"rc": smp.RC_UNKNOWN}


def _refusal(version, group, flags, error):
    if version == smp.V1:  # version 1 has no group errors
        return {"rc": smp.RC_UNKNOWN}
    of, code = error.group, error.code
    if of == smp.GROUP_TACTUS and group != of and not flags & smp.OWN_CODES:
        # Stock clients break off at a code that the group they asked does not have.
        if code == errors.STATE:
            return {"rc": smp.RC_BAD_STATE}
        if group != smp.GROUP_IMAGE:
            return {"rc": smp.RC_UNKNOWN}
        of, code = group, groups_image.STANDARD_CODES.get(code, smp.IMAGE_UNKNOWN)
    return {"err": {"group": of, "rc": code}}


def _request(message, length):
    if length == 0:
        return {}
    request = cbor.decode(message, smp.HEADER_BYTES, items=_ITEMS_MAX)
    if not isinstance(request, dict):
        raise StatusError(smp.RC_INVALID)
    return request
