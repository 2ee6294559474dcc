"""Sending a delta: patch messages of group 64, out of which a board makes a package from the one it runs."""

from collections.abc import Mapping
from dataclasses import dataclass

import cbor2

from host.errors import DoesNotFitError, VerificationError
from host.link.client import SmpClient
from host.link.errors import BadReplyError, NoAnswerError
from host.link.os_group import OsGroup
from host.package.delta import PART_BYTES_MIN, Delta
from host.progress import Progress, silent
from protocol import smp

SENDING = "sending the delta"
# A board makes the bytes before it answers, and checks the whole package before it answers the last message. Asking
# again costs nothing: the question waits in its buffer, and is answered with the offset wanted by then.
_TIMEOUT_S = 4.0
_TIMEOUT_S_PER_BYTE = 1 / 16_384
_RETRIES = 1
_SETBACKS_MAX = 20


@dataclass(frozen=True, slots=True)
class PatchResult:
    """How a delta went: messages, bytes of ops in them, and where in the result the board was when it began."""

    messages: int
    ops_bytes: int
    resumed_at: int


def message_room(message_bytes: int, delta: Delta | None = None) -> int:
    """Bytes of ops that fit into a message of the board; into the first one when a delta is given.

    Raises DoesNotFitError for a board whose messages are too small.
    """
    body = dict(_head(delta, 0)) if delta else {"off": 1 << 24}
    # The empty byte string is replaced by one with a length of up to 5 bytes.
    room = message_bytes - smp.HEADER_BYTES - len(cbor2.dumps({**body, "ops": b""})) - 4
    if room < PART_BYTES_MIN:
        raise DoesNotFitError(
            f"the board takes messages of {message_bytes} bytes only",
            "raise link_bytes in its board.toml and build the firmware again",
        )
    return room


def send_delta(client: SmpClient, delta: Delta, progress: Progress = silent) -> PatchResult:
    """Send what the board lacks and return when it has verified the whole.

    It goes on where an earlier try, of this or of another way, was cut off. Raises DeviceError when the board
    refuses: PKG_BASE when it does not keep the base; VerificationError when what it made has another digest;
    NoAnswerError.
    """
    message_bytes = OsGroup(client).params().buf_size
    limit = message_room(message_bytes)
    offset = messages = ops_bytes = setbacks = 0
    resumed_at: int | None = None
    while offset < len(delta.result) or not messages:
        room = min(limit, message_room(message_bytes, None if offset else delta))
        ops, end = delta.part(offset, room)
        try:
            wanted = _send(client, delta, offset, ops, end)
        except NoAnswerError:
            if limit == PART_BYTES_MIN:
                raise
            # A short message gets through a line that damages every long one.
            limit = max(limit // 4, PART_BYTES_MIN)
            continue
        messages += 1
        ops_bytes += len(ops)
        if resumed_at is None:
            resumed_at = 0 if wanted == end else wanted
        setbacks += wanted <= offset
        if setbacks > _SETBACKS_MAX:
            raise BadReplyError(f"patch: the board stays at offset {wanted}")
        offset = wanted
        progress(SENDING, offset / len(delta.result))
    return PatchResult(messages, ops_bytes, resumed_at or 0)


def _send(client: SmpClient, delta: Delta, offset: int, ops: bytes, end: int) -> int:
    """Send one message, of ops that make the bytes up to `end`; the offset that the board wants next."""
    reply = client.write(
        smp.GROUP_TACTUS,
        smp.TACTUS_PATCH,
        {**_head(delta, offset), "ops": ops},
        timeout_s=_TIMEOUT_S + _TIMEOUT_S_PER_BYTE * (end - offset),
        retries=_RETRIES,
    )
    wanted = reply.uint("off")
    if wanted > len(delta.result):
        raise BadReplyError(f"patch: the board asks for offset {wanted} of {len(delta.result)}")
    if not reply.flag("match", True):
        raise VerificationError(
            "patch: the SHA-256 of what the board made differs from the file's",
            "send it again; if it happens again, the board's flash is worn",
        )
    return wanted


def _head(delta: Delta, offset: int) -> Mapping[str, object]:
    """All of a request but its ops."""
    if offset:
        return {"off": offset}
    return {
        "off": 0,
        "len": len(delta.result),
        "sha": delta.result_sha256,
        "base": delta.base_sha256,
    }
