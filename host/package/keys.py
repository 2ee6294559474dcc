"""Ed25519 keys in PEM files that only their owner may read, and the demo keys of this checkout."""

import contextlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from host.boards import BUILD
from host.errors import MissingError, UsageError
from host.package.keys_roots import DEMO_NAME, RootKeys
from host.package.keys_set import FOREVER, key_id, sign_key_set

DEMO_FOLDER = BUILD / "keys"
DEMO_KEY = DEMO_FOLDER / "demo.pem"
_MAKE = "make keys with `keys create`"


@dataclass(frozen=True, slots=True)
class Signer:
    """What signs a package: a key, and the signed key set that names it and travels in the package."""

    key: Ed25519PrivateKey
    key_set: bytes
    name: str

    @property
    def identity(self) -> bytes:
        """What of it shapes a package: the same identity gives the same bytes."""
        return public_bytes(self.key) + self.key_set


def demo_key(path: Path = DEMO_KEY) -> Ed25519PrivateKey:
    """A key of this checkout, made on first use. It protects nothing but the demo's own boards."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_key(path, Ed25519PrivateKey.generate(), None)
    return load_key(path)


def demo_signer(folder: Path = DEMO_FOLDER) -> Signer:
    """The demo key under a key set of version 1 without an end, signed by the demo root."""
    key = demo_key(folder / DEMO_KEY.name)
    public = public_bytes(key)
    key_set = sign_key_set(1, FOREVER, [public], [], [demo_root(folder)])
    return Signer(key, key_set, f"demo key {key_id(public).hex()}")


def trusted(folder: Path = DEMO_FOLDER) -> tuple[RootKeys, str]:
    """What a board of this checkout trusts: the demo root's public bytes, and its name."""
    public = public_bytes(demo_root(folder))
    return RootKeys((public,), 1), f"{DEMO_NAME} {key_id(public).hex()}"


def demo_root(folder: Path = DEMO_FOLDER) -> Ed25519PrivateKey:
    """The one root key of the boards of this checkout."""
    return demo_key(folder / "demo-root.pem")


def load_key(path: Path, passphrase: bytes | None = None) -> Ed25519PrivateKey:
    """Read an Ed25519 key in PEM; None for one that is not encrypted. Raises MissingError or UsageError."""
    try:
        pem = path.read_bytes()
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise MissingError(f"no signing key: {path}: {error.strerror}", _MAKE) from error
    if mode & 0o077:
        raise UsageError(f"{path} can be read by others", f"run: chmod 600 {path}")
    try:
        key = load_pem_private_key(pem, password=passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if passphrase is not None and b"ENCRYPTED" in pem:
            raise UsageError(f"the passphrase does not open {path}", "type it again") from error
        raise UsageError(
            f"{path} is not {'an encrypted' if passphrase else 'an unencrypted'} private key in PEM",
            _MAKE,
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{path} holds another kind of key than Ed25519", _MAKE)
    return key


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """The 32 raw bytes of a public key."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def write_key(path: Path, key: Ed25519PrivateKey, passphrase: bytes | None) -> None:
    """Create `path` (PKCS#8 in PEM, encrypted with a passphrase) whole or not at all, mode 0600.

    Of two that race the first one wins; a file that is there is left as it is.
    """
    hidden: KeySerializationEncryption = (
        NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase)
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, hidden)
    descriptor, draft = tempfile.mkstemp(dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)
