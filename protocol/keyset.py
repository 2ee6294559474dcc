"""The key set: which keys may sign packages. Root keys sign it; it travels in every package. SPEC.md, section "Key set".

    COSE_Sign over {"format": 1, "version", "expires", "keys", "revoked"}, in deterministic CBOR

parse() checks the shape, verify() the signatures of the roots, signer() which key a package may be signed with.
"""

import hashlib

from protocol import cbor, cose
from protocol.pieces import finish

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator

FORMAT = 1
KEYS_MAX = 4
REVOKED_MAX = 16
KEY_BYTES = 32
FOREVER = 0  # `expires` of a set without an end

_UINT32_MAX = (1 << 32) - 1
_FIELDS = ("format", "version", "expires", "keys", "revoked")


class KeySetError(ValueError):
    """The bytes are no key set of this format."""


class KeySet:
    """A parsed key set: `keys` maps a key id to a raw public key, `revoked` lists key ids, `expires` is UTC in seconds."""

    def __init__(
        self,
        version: int,
        expires: int,
        keys: "dict[bytes, bytes]",
        revoked: "list[bytes]",
        envelope: "cose.Sign",
    ) -> None:
        self.version = version
        self.expires = expires
        self.keys = keys
        self.revoked = revoked
        self.envelope = envelope

    def is_expired(self, utc_s: int) -> bool:
        """Whether its time is over at `utc_s`, seconds since 1970; False without an end."""
        return self.expires != FOREVER and utc_s >= self.expires


def key_id(public: bytes) -> bytes:
    """The first 8 bytes of the SHA-256 of a raw public key."""
    return hashlib.sha256(public).digest()[: cose.KID_BYTES]


def parse(data: "bytes | bytearray | memoryview") -> KeySet:
    """Read a key set that fills `data` exactly. Signatures are not checked. Raises KeySetError or cose.CoseError."""
    return finish(parse_in_pieces(data))


def parse_in_pieces(
    data: "bytes | bytearray | memoryview",
) -> "Generator[None, None, KeySet]":
    """parse() as work in pieces."""
    envelope = cose.parse_sign(data)
    yield
    try:
        content = cbor.decode(envelope.payload, canonical=True, floats=False)
    except cbor.CborError as error:
        raise KeySetError("not deterministic CBOR: %s" % error)
    yield
    if not isinstance(content, dict) or len(content) != len(_FIELDS):
        raise KeySetError("not a map of five fields")
    for name in _FIELDS:
        if name not in content:
            raise KeySetError("no field " + name)
    _uint(content["format"], "format", FORMAT, FORMAT)
    version = _uint(content["version"], "version", 1, _UINT32_MAX)
    expires = _uint(content["expires"], "expires", 0, _UINT32_MAX)
    revoked = _ascending(content["revoked"], "revoked", 0, REVOKED_MAX, cose.KID_BYTES)
    keys: dict[bytes, bytes] = {}
    for key in _ascending(content["keys"], "keys", 1, KEYS_MAX, KEY_BYTES):
        if key_id(key) in revoked:
            raise KeySetError("a key is both valid and revoked")
        keys[key_id(key)] = key
    return KeySet(version, expires, keys, revoked, envelope)


def verify(
    key_set: KeySet,
    roots: "list[bytes]",
    threshold: int,
    check: "Callable[[bytes, bytes, bytes], bool]",
) -> bool:
    """Whether at least `threshold` of the root keys signed it and every signature on it is good.

    check(signature, key, message) judges one Ed25519 signature.
    """
    wanted = to_check(key_set, roots, threshold)
    if wanted is None:
        return False
    payload = bytes(key_set.envelope.payload)
    return all(check(signature, key, head + payload) for signature, key, head in wanted)


def to_check(
    key_set: KeySet, roots: "list[bytes]", threshold: int
) -> "list[tuple[bytes, bytes, bytes]] | None":
    """What is left to check: (signature, key, message up to the payload) of each signature. All must be good.

    None when that would not do: fewer than `threshold`, or one of an unknown key: what nobody can check has no place in
    a signed file.
    """
    envelope = key_set.envelope
    known = {}
    for root in roots:
        known[key_id(root)] = root
    if len(envelope.signatures) < threshold:
        return None
    wanted = []
    for protected, kid, signature in envelope.signatures:
        if kid not in known:
            return None
        head = cose.signed_head_by(protected, len(envelope.payload))
        wanted.append((signature, known[kid], head))
    return wanted


def _uint(value: object, name: str, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise KeySetError("%s is no integer from %d to %d" % (name, low, high))
    return value


def _ascending(value: object, name: str, low: int, high: int, size: int) -> "list[bytes]":
    if not isinstance(value, list) or not low <= len(value) <= high:
        raise KeySetError("%s is no array of %d to %d items" % (name, low, high))
    previous = b""
    items: list[bytes] = []
    for item in value:
        if not isinstance(item, bytes) or len(item) != size:
            raise KeySetError("%s: an item has not %d bytes" % (name, size))
        if item <= previous:
            raise KeySetError("%s: not in ascending order" % name)
        previous = item
        items.append(item)
    return items
