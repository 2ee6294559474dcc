"""Reading a package: everything the format promises is checked before a value leaves here."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from host.errors import VerificationError
from host.package.keys import key_id
from protocol import cose, errors
from protocol import manifest as schema
from protocol import package as layout


class PackageError(VerificationError):
    """A package is not what it should be. `code` is the one a board would refuse it with."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(f"package refused: {errors.sentence(code)}: {detail}", errors.remedy(code))
        self.code = code


@dataclass(frozen=True, slots=True)
class Payload:
    """One payload of a package."""

    name: str
    offset: int
    data: bytes
    sha256: bytes


@dataclass(frozen=True, slots=True)
class PackageInfo:
    """A package whose layout, manifest and digests are right.

    `manifest` is the map of protocol/manifest.py. `signer` is the id of the key that signed, taken
    from the package; it means nothing before `verify_signature`.
    """

    sha256: bytes
    total_bytes: int
    envelope_bytes: int
    signer: bytes
    manifest: dict[str, Any]
    payloads: tuple[Payload, ...]

    @property
    def app(self) -> str:
        """Name of the application."""
        return str(self.manifest["app"])

    @property
    def version(self) -> str:
        """Version of the application."""
        return str(self.manifest["version"])

    def plan(self, task: int) -> bytes:
        """The plan image of a task."""
        index: int = self.manifest["tasks"][task]["plan"]
        return self.payloads[index].data


def read_package(data: bytes, trusted: Iterable[bytes]) -> PackageInfo:
    """Check everything, the signature by one of the raw public keys in `trusted` included.

    Raises PackageError.
    """
    info = parse_package(data)
    verify_signature(data, trusted)
    return info


def parse_package(data: bytes) -> PackageInfo:
    """Check layout, schema and digests, but not who signed. Raises PackageError."""
    envelope = _envelope(data)
    try:
        manifest: dict[str, Any] = schema.parse(envelope.payload)
        layout.check_layout(data, manifest)
    except (schema.ManifestError, layout.PackageError) as error:
        raise PackageError(errors.PKG_FORMAT, str(error)) from error
    payloads: list[Payload] = []
    for index, entry in enumerate(manifest["payloads"]):
        content = bytes(layout.payload(data, manifest, index))
        if hashlib.sha256(content).digest() != entry["sha256"]:
            raise PackageError(errors.PKG_DIGEST, f"payload {entry['name']}")
        payloads.append(Payload(entry["name"], entry["offset"], content, entry["sha256"]))
    return PackageInfo(
        sha256=hashlib.sha256(data).digest(),
        total_bytes=len(data),
        envelope_bytes=int.from_bytes(data[4:8], "little"),
        signer=envelope.kid,
        manifest=manifest,
        payloads=tuple(payloads),
    )


def verify_signature(data: bytes, trusted: Iterable[bytes]) -> bytes:
    """Check the signature; return the raw public key of `trusted` that made it. Raises PackageError."""
    envelope = _envelope(data)
    for public in trusted:
        if key_id(public) == envelope.kid:
            signed = cose.to_be_signed(envelope.protected, envelope.payload)
            try:
                Ed25519PublicKey.from_public_bytes(public).verify(envelope.signature, signed)
            except InvalidSignature as error:
                raise PackageError(errors.PKG_SIGNATURE, f"key {envelope.kid.hex()}") from error
            return public
    raise PackageError(errors.PKG_KEY, f"key {envelope.kid.hex()}")


def _envelope(data: bytes) -> cose.Sign1:
    try:
        return layout.envelope(data)
    except (layout.PackageError, cose.CoseError) as error:
        raise PackageError(errors.PKG_FORMAT, str(error)) from error
