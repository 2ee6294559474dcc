"""SMP group 1, images: the two package slots of a board, and the upload into one of them."""

from dataclasses import dataclass

from host.link.client import SmpClient
from host.link.fields import Fields
from host.link.upload import Upload, UploadResult
from host.progress import Progress, silent
from protocol import smp

_GARBLED_MAX = 3


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


class ImageGroup:
    """Typed calls of the image group."""

    def __init__(self, client: SmpClient) -> None:
        self._client = client

    def state(self) -> tuple[ImageSlot, ...]:
        """List the slots that hold something."""
        return _slots(self._client.read(smp.GROUP_IMAGE, smp.IMAGE_STATE))

    def test(self, sha256: bytes) -> tuple[ImageSlot, ...]:
        """Choose the package with this SHA-256 for the next start, on trial."""
        return _slots(self._change({"hash": sha256, "confirm": False}))

    def confirm(self) -> tuple[ImageSlot, ...]:
        """Keep the package that runs on trial."""
        return _slots(self._change({"confirm": True}))

    def _change(self, request: dict[str, object]) -> Fields:
        """Raises GarbledError where no line of this length passes; the change may be done then."""
        return self._client.write(
            smp.GROUP_IMAGE, smp.IMAGE_STATE, request, garbled_max=_GARBLED_MAX
        )

    def slot_bytes(self) -> int:
        """Ask for the largest package that a slot holds."""
        reply = self._client.read(smp.GROUP_IMAGE, smp.IMAGE_SLOT_INFO)
        return reply.maps("images")[0].uint("max_image_size")

    def erase(self, slot: int) -> None:
        """Empty a slot. The board refuses the one that runs and the only confirmed one."""
        self._client.write(smp.GROUP_IMAGE, smp.IMAGE_ERASE, {"slot": slot})

    def upload(self, data: bytes, progress: Progress = silent) -> UploadResult:
        """Send a package file to the free slot, going on where an earlier try was cut off.

        The board names the offset it wants next; a repeated or lost chunk is therefore never
        written twice. Raises DeviceError when the board refuses (its sentence says why),
        VerificationError when what arrived is not what was sent.
        """
        return Upload(self._client, data, progress).run()


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
