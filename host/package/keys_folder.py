"""A folder of keys for real boards: root and signing keys, encrypted, and what everybody may know in `keys.json`.

    keys.json              root keys, threshold, the signed key set, the id of the key that signs
    root-<key id>.pem      PKCS#8, encrypted; may be kept elsewhere until a rotation needs them
    package-<key id>.pem   PKCS#8, encrypted; what `build` needs

keys.json changes in one piece and after the key it names is on disk.
"""

import json
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from host.boards import BUILD, ROOT
from host.errors import MissingError, UsageError
from host.package.keys import Signer, load_key, public_bytes, write_key
from host.package.keys_roots import ROOTS_MAX, RootKeys
from host.package.keys_set import FOREVER, key_id, read_key_set, sign_key_set
from protocol import cose
from protocol.keyset import REVOKED_MAX, KeySet, KeySetError

INDEX = "keys.json"
PASSPHRASE_MIN = 8  # characters
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class KeyFolder:
    """An opened folder. `key_set` is checked against `roots`; `signing` is the id of the key that signs."""

    path: Path
    roots: RootKeys
    signing: bytes
    document: bytes
    key_set: KeySet

    @classmethod
    def open(cls, path: Path) -> "KeyFolder":
        """Read keys.json; needs no passphrase. Raises MissingError or UsageError."""
        file = path / INDEX
        try:
            index = json.loads(file.read_text())
            roots = RootKeys(tuple(map(bytes.fromhex, index["roots"])), index["threshold"])
            document = bytes.fromhex(index["key_set"])
            signing = bytes.fromhex(index["signing"])
            key_set = read_key_set(document, roots)
        except OSError as error:
            raise MissingError(
                f"no keys in {path}: {error.strerror}", f"make them: keys create --folder {path}"
            ) from error
        except (ValueError, KeyError, TypeError, KeySetError, cose.CoseError) as error:
            raise UsageError(f"{file} is damaged: {error}", "restore it from a copy") from error
        if signing not in key_set.keys:
            raise UsageError(f"{file}: its key set does not name its key", "restore it from a copy")
        return cls(path, roots, signing, document, key_set)

    def signer(self, passphrase: bytes) -> Signer:
        """What `build` signs with. Raises MissingError, or UsageError for an expired key set."""
        if self.key_set.is_expired(int(time.time())):
            raise UsageError(
                f"the key set in {self.path} has expired: boards that know the time refuse it",
                f"issue a new one: keys rotate --folder {self.path}",
            )
        key = load_key(self.path / _file("package", self.signing), passphrase)
        return Signer(key, self.document, f"key {self.signing.hex()} of {self.path.name}")

    def trusted(self) -> tuple[RootKeys, str]:
        """What the firmware of these boards trusts, and its name."""
        names = " ".join(key_id(root).hex() for root in self.roots.keys)
        return self.roots, f"{self.roots.threshold} of {len(self.roots.keys)} roots {names}"

    def describe(self) -> dict[str, Any]:
        """Everything that is no secret, as JSON values; which private keys lie here."""
        return {
            "folder": str(self.path),
            **describe_keys(self.roots, self.key_set, self.signing),
            "private_keys": sorted(file.name for file in self.path.glob("*.pem")),
        }


def describe_keys(roots: RootKeys, key_set: KeySet, signing: bytes) -> dict[str, Any]:
    """Roots, threshold and key set, keys by their ids."""
    return {
        "roots": [key_id(root).hex() for root in roots.keys],
        "threshold": roots.threshold,
        "version": key_set.version,
        "expires": key_set.expires,
        "keys": [kid.hex() for kid in key_set.keys],
        "signing": signing.hex(),
        "revoked": [kid.hex() for kid in key_set.revoked],
    }


def create(path: Path, passphrase: bytes, roots: int, threshold: int, days: int) -> KeyFolder:
    """Make root keys, a signing key and key set 1, good for `days` (0 = without an end). Raises UsageError."""
    if not 1 <= threshold <= roots <= ROOTS_MAX:
        raise UsageError(
            f"{threshold} of {roots} root keys",
            f"choose 1 to {ROOTS_MAX} roots, at most all of them",
        )
    _check_place(path)
    _check_passphrase(passphrase)
    if (path / INDEX).exists():
        raise UsageError(f"there are keys in {path} already", "name another folder, or rotate them")
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    root_keys = [_make(path, "root", passphrase) for _ in range(roots)]
    signing = _make(path, "package", passphrase)
    document = sign_key_set(1, _end(days), [public_bytes(signing)], [], root_keys)
    index = RootKeys(tuple(map(public_bytes, root_keys)), threshold)
    return _write_index(path, index, document, key_id(public_bytes(signing)))


def rotate(folder: KeyFolder, passphrase: bytes, days: int, revoke: bool) -> KeyFolder:
    """Replace the signing key by a new one in the next key set; `revoke` also lists the old one as revoked.

    Needs as many root keys in the folder as the threshold asks for. A board follows when it confirms
    a package that was built afterwards. Raises MissingError or UsageError.
    """
    old = folder.key_set
    revoked = [*old.revoked, *([folder.signing] if revoke else [])]
    if len(revoked) > REVOKED_MAX:
        raise UsageError(
            f"a key set lists {REVOKED_MAX} revoked keys",
            "rotate without --revoke: an older key set is refused in any case",
        )
    roots = _load_roots(folder, passphrase)
    key = _make(folder.path, "package", passphrase)
    keys = [public for kid, public in old.keys.items() if kid != folder.signing]
    document = sign_key_set(old.version + 1, _end(days), [*keys, public_bytes(key)], revoked, roots)
    return _write_index(folder.path, folder.roots, document, key_id(public_bytes(key)))


def _load_roots(folder: KeyFolder, passphrase: bytes) -> list[Ed25519PrivateKey]:
    files = [folder.path / _file("root", key_id(root)) for root in folder.roots.keys]
    here = [file for file in files if file.exists()]
    if len(here) < folder.roots.threshold:
        missing = ", ".join(file.name for file in files if not file.exists())
        raise MissingError(
            f"{len(here)} root keys in {folder.path}, {folder.roots.threshold} must sign",
            f"bring back for the rotation, one or more of: {missing}",
        )
    return [load_key(file, passphrase) for file in here]


def _make(path: Path, kind: str, passphrase: bytes) -> Ed25519PrivateKey:
    key = Ed25519PrivateKey.generate()
    write_key(path / _file(kind, key_id(public_bytes(key))), key, passphrase)
    return key


def _file(kind: str, kid: bytes) -> str:
    return f"{kind}-{kid.hex()}.pem"


def _end(days: int) -> int:
    return int(time.time()) + days * _DAY_S if days else FOREVER


def _check_place(path: Path) -> None:
    """Private keys never go into the repository; build/ is not part of it."""
    place = path.resolve()
    if place.is_relative_to(ROOT) and not place.is_relative_to(BUILD):
        raise UsageError(
            f"{path} lies in the source tree: a key there is committed one day",
            "name a folder outside of it",
        )


def _check_passphrase(passphrase: bytes) -> None:
    if len(passphrase.decode(errors="replace")) < PASSPHRASE_MIN:
        raise UsageError(
            "the passphrase is too short", f"choose at least {PASSPHRASE_MIN} characters"
        )


def _write_index(path: Path, roots: RootKeys, document: bytes, signing: bytes) -> KeyFolder:
    index = {
        "threshold": roots.threshold,
        "roots": [root.hex() for root in roots.keys],
        "signing": signing.hex(),
        "key_set": document.hex(),
    }
    descriptor, draft = tempfile.mkstemp(dir=path)
    with os.fdopen(descriptor, "w") as file:
        json.dump(index, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path / INDEX)
    return KeyFolder.open(path)
