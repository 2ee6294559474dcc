"""Key sets: which keys may sign packages, signed by root keys. protocol/SPEC.md, section "Key set"."""

from collections.abc import Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from host.errors import UsageError
from host.package import canonical
from host.package.keys_roots import RootKeys
from protocol import cose, keyset
from protocol.keyset import FOREVER, KeySet, key_id

__all__ = ["FOREVER", "is_good", "key_id", "read_key_set", "sign_key_set"]

_HEADER_ALG, _HEADER_KID, _SIGN_TAG = 1, 4, 98  # RFC 9052


def sign_key_set(
    version: int,
    expires: int,
    keys: Sequence[bytes],
    revoked: Sequence[bytes],
    roots: Sequence[Ed25519PrivateKey],
) -> bytes:
    """Encode and sign a key set with all of `roots`; the same arguments give the same bytes.

    keys: raw public keys; revoked: key ids; expires: UTC in seconds, or FOREVER. Raises UsageError
    for values that the format cannot say.
    """
    payload = canonical.encode(
        {
            "format": keyset.FORMAT,
            "version": version,
            "expires": expires,
            "keys": sorted(keys),
            "revoked": sorted(revoked),
        }
    )
    signatures = []
    for root in roots:
        kid = key_id(root.public_key().public_bytes_raw())
        protected = canonical.encode({_HEADER_ALG: cose.ALG_EDDSA, _HEADER_KID: kid})
        signature = root.sign(cose.to_be_signed_by(protected, payload))
        signatures.append((kid, [protected, {}, signature]))
    body = [b"", {}, payload, [entry for _, entry in sorted(signatures, key=lambda s: s[0])]]
    document = canonical.encode_tagged(_SIGN_TAG, body)
    try:
        keyset.parse(document)
    except (keyset.KeySetError, cose.CoseError) as error:
        raise UsageError(
            f"there is no such key set: {error}",
            "protocol/SPEC.md, section Key set, has the limits",
        ) from error
    return document


def read_key_set(document: bytes, roots: RootKeys | None = None) -> KeySet:
    """Read a key set and, with `roots`, check its signatures. Raises KeySetError or cose.CoseError."""
    found = keyset.parse(document)
    if roots is not None and not keyset.verify(found, list(roots.keys), roots.threshold, is_good):
        raise keyset.KeySetError("not signed by enough of the root keys")
    return found


def is_good(signature: bytes, key: bytes, message: bytes) -> bool:
    """Whether an Ed25519 signature verifies."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True
