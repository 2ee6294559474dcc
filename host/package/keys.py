"""Signing keys: Ed25519 in PEM files that only their owner may read."""

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from host.boards import BUILD
from host.errors import MissingError, UsageError

DEMO_KEY = BUILD / "keys" / "demo.pem"
KEY_ID_BYTES = 8


def demo_key(path: Path = DEMO_KEY) -> Ed25519PrivateKey:
    """The key of this checkout, made on first use. It protects nothing but the demo's own boards."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        pem = Ed25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        _write_once(path, pem)
    return load_key(path)


def trusted() -> tuple[bytes, str]:
    """What a board of this checkout trusts: the demo key's public bytes, and its name."""
    public = public_bytes(demo_key())
    return public, f"demo key {key_id(public).hex()}"


def load_key(path: Path) -> Ed25519PrivateKey:
    """Read an unencrypted Ed25519 key in PEM. Raises MissingError or UsageError."""
    try:
        pem = path.read_bytes()
    except OSError as error:
        raise MissingError(
            f"no signing key: {path}: {error.strerror}",
            "make one with `openssl genpkey -algorithm ed25519 -out KEY.pem`",
        ) from error
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UsageError(
            f"{path} is not an unencrypted private key in PEM",
            "make one with `openssl genpkey -algorithm ed25519 -out KEY.pem`",
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(
            f"{path} holds another kind of key than Ed25519",
            "make one with `openssl genpkey -algorithm ed25519 -out KEY.pem`",
        )
    return key


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """The 32 bytes that a board's firmware trusts."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def key_id(public: bytes) -> bytes:
    """The first 8 bytes of the SHA-256 of a raw public key: the `kid` of a package."""
    return hashlib.sha256(public).digest()[:KEY_ID_BYTES]


def _write_once(path: Path, pem: bytes) -> None:
    """Create `path` whole or not at all, mode 0600; of two racing builds the first one wins."""
    descriptor, draft = tempfile.mkstemp(dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)
