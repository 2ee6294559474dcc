"""Reading a package: everything the format promises is checked before a value leaves here."""

import hashlib
from dataclasses import dataclass
from typing import Any

from host.errors import VerificationError
from host.package.keys_roots import RootKeys
from host.package.keys_set import is_good
from protocol import cose, errors, keyset
from protocol import manifest as schema
from protocol import package as layout


class PackageError(VerificationError):
    """A package is not what it should be. `code` is the one a board would refuse it with."""

    def __init__(self, code: int, detail: str) -> None:
        sentence = errors.sentence(code)
        said = sentence if sentence.startswith(detail) else f"{sentence}: {detail}"
        super().__init__(f"package refused: {said}", errors.remedy(code))
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
    from the package, as `key_version` of its key set; they mean nothing before `verify_signature`.
    """

    sha256: bytes
    total_bytes: int
    envelope_bytes: int
    signer: bytes
    key_version: int
    key_expires: int
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


def read_package(data: bytes, roots: RootKeys) -> PackageInfo:
    """Check everything, the signatures from `roots` down included. Raises PackageError."""
    info = parse_package(data)
    verify_signature(data, roots)
    return info


def parse_package(data: bytes) -> PackageInfo:
    """Check layout, schema and digests, but not who signed. Raises PackageError."""
    envelope, keys = _envelope(data)
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
        key_version=keys.version,
        key_expires=keys.expires,
        manifest=manifest,
        payloads=tuple(payloads),
    )


def verify_signature(data: bytes, roots: RootKeys) -> None:
    """Check the key set by `roots` and the signature by the key set, as a board does. Raises PackageError."""
    envelope, keys = _envelope(data)
    kid = envelope.kid.hex()
    if not keyset.verify(keys, list(roots.keys), roots.threshold, is_good):
        raise PackageError(errors.PKG_KEYSET, f"key set version {keys.version}")
    if envelope.kid in keys.revoked:
        raise PackageError(errors.PKG_REVOKED, f"key {kid}")
    if envelope.kid not in keys.keys:
        raise PackageError(errors.PKG_KEY, f"key {kid}")
    signed = cose.to_be_signed(envelope.protected, envelope.payload)
    if not is_good(envelope.signature, keys.keys[envelope.kid], signed):
        raise PackageError(errors.PKG_SIGNATURE, f"key {kid}")


def _envelope(data: bytes) -> tuple[cose.Sign1, keyset.KeySet]:
    try:
        return layout.envelope(data), keyset.parse(layout.key_set(data))
    except (layout.PackageError, cose.CoseError, keyset.KeySetError) as error:
        raise PackageError(errors.PKG_FORMAT, str(error)) from error
