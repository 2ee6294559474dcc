"""SMP group 1, images: the two package slots of a board, and the upload into one of them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import cbor2

from host.errors import DoesNotFitError, UsageError, VerificationError
from host.link.client import SmpClient
from host.link.errors import BadReplyError
from host.link.fields import Fields
from host.link.os_group import OsGroup
from host.progress import Progress, silent
from protocol import smp

# The first chunk may erase, the last one makes the board verify the whole package.
_LONG_TIMEOUT_S = 20.0
_SETBACKS_MAX = 20


@dataclass(frozen=True, slots=True)
class ImageSlot:
    """One slot as the image group tells it; `hash` is the SHA-256 of the package file."""

    slot: int
    version: str
    hash: bytes
    bootable: bool
    pending: bool
    confirmed: bool
    active: bool
    permanent: bool


@dataclass(frozen=True, slots=True)
class UploadResult:
    """How an upload went: bytes sent in this session and the offset it resumed at."""

    sha256: bytes
    total_bytes: int
    sent_bytes: int
    resumed_at: int


class ImageGroup:
    """Typed calls of the image group."""

    def __init__(self, client: SmpClient) -> None:
        self._client = client

    def state(self) -> tuple[ImageSlot, ...]:
        """List the slots that hold something."""
        return _slots(self._client.read(smp.GROUP_IMAGE, smp.IMAGE_STATE))

    def test(self, sha256: bytes) -> tuple[ImageSlot, ...]:
        """Choose the package with this SHA-256 for the next start, on trial."""
        request = {"hash": sha256, "confirm": False}
        return _slots(
            self._client.write(smp.GROUP_IMAGE, smp.IMAGE_STATE, request, _LONG_TIMEOUT_S)
        )

    def confirm(self) -> tuple[ImageSlot, ...]:
        """Keep the package that runs on trial."""
        return _slots(
            self._client.write(smp.GROUP_IMAGE, smp.IMAGE_STATE, {"confirm": True}, _LONG_TIMEOUT_S)
        )

    def erase(self, slot: int) -> None:
        """Empty a slot. The board refuses the one that runs and the only confirmed one."""
        self._client.write(smp.GROUP_IMAGE, smp.IMAGE_ERASE, {"slot": slot}, _LONG_TIMEOUT_S)

    def upload(self, data: bytes, progress: Progress = silent) -> UploadResult:
        """Send a package file to the free slot, going on where an earlier try was cut off.

        The board names the offset it wants next; a repeated or lost chunk is therefore never
        written twice. Raises DeviceError when the board refuses (its sentence says why),
        VerificationError when what arrived is not what was sent.
        """
        if not data:
            raise UsageError("the package is empty", "build it again")
        message_bytes = OsGroup(self._client).params().buf_size
        announcement: dict[str, object] = {
            "off": 0,
            "image": 0,
            "len": len(data),
            "sha": hashlib.sha256(data).digest(),
        }
        # Without data, so that the answer says exactly how much the board has already.
        resumed_at = offset = self._send(announcement, b"", len(data))
        sent, setbacks = 0, 0
        while offset < len(data):
            head = {"off": offset} if offset else announcement
            chunk = data[offset : offset + _room(message_bytes, head)]
            wanted = self._send(head, chunk, len(data))
            sent += min(len(chunk), max(wanted - offset, 0))
            setbacks += wanted <= offset
            if setbacks > _SETBACKS_MAX:
                raise BadReplyError(f"upload: the board stays at offset {wanted}")
            offset = wanted
            progress("sending the package", offset / len(data))
        return UploadResult(hashlib.sha256(data).digest(), len(data), sent, resumed_at)

    def _send(self, head: Mapping[str, object], chunk: bytes, total: int) -> int:
        """Send one chunk; the offset that the board wants next."""
        offset = head["off"]
        slow = offset == 0 or offset == total - len(chunk)
        reply = self._client.write(
            smp.GROUP_IMAGE,
            smp.IMAGE_UPLOAD,
            {**head, "data": chunk},
            _LONG_TIMEOUT_S if slow else None,
        )
        wanted = reply.uint("off")
        if wanted > total:
            raise BadReplyError(f"upload: the board asks for offset {wanted} of {total}")
        if not reply.flag("match", True):
            raise VerificationError(
                "upload: the board's SHA-256 differs from the file's",
                "send it again; if it happens again, the board's flash is worn",
            )
        return wanted


def _room(message_bytes: int, head: Mapping[str, object]) -> int:
    """Payload bytes that fit beside `head` in one message of the board."""
    # The empty byte string is replaced by one with a length of up to 5 bytes.
    used = smp.HEADER_BYTES + len(cbor2.dumps({**head, "data": b""})) + 4
    room = message_bytes - used
    if room < 16:
        raise DoesNotFitError(
            f"the board takes messages of {message_bytes} bytes only",
            "raise link_bytes in its board.toml and build the firmware again",
        )
    return room


def _slots(reply: Fields) -> tuple[ImageSlot, ...]:
    return tuple(
        ImageSlot(
            slot=item.uint("slot"),
            version=item.text("version"),
            hash=item.blob("hash", b""),
            bootable=item.flag("bootable", False),
            pending=item.flag("pending", False),
            confirmed=item.flag("confirmed", False),
            active=item.flag("active", False),
            permanent=item.flag("permanent", False),
        )
        for item in reply.maps("images")
    )
