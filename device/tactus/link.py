"""Serving SMP: one received message in, one reply out. Whatever comes, the board goes on."""

import _tactus

from protocol import cbor, errors, smp
from tactus import groups_enum, groups_fs, groups_image, groups_os, groups_stat, groups_tactus
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


def serve(board, length):
    """Answer the message of `length` bytes that waits in the receive buffer."""
    board.messages += 1
    try:
        size = respond(board, _tactus.link_rx()[:length], _tactus.link_tx())
    finally:
        _tactus.link_done()
    if size:
        _tactus.link_send(size)


def respond(board, message, transmit):
    """Handle one message; write the reply into `transmit` and return its size, 0 for no reply.

    No reply goes to what has no header to answer, and to replies: that could go round for ever.
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
        reply = _reply(board, version, op, group, command, message, length)
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
        return handler(board, _request(message, length))
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
    request = cbor.decode(message, smp.HEADER_BYTES)
    if not isinstance(request, dict):
        raise StatusError(smp.RC_INVALID)
    return request
