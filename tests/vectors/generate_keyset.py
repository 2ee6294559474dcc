"""Writes protocol/vectors/keyset.json with cbor2 and cryptography. Run: python tests/vectors/generate_keyset.py

Every case is a whole key set, the root keys and threshold of a board, and what reading and verifying it say.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cbor2
import package_builder as build
from package_builder import KEY, OTHER_KEY, ROOTS, key_set, kid, public, sign_by
from vector_file import write

GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493  # L of Ed25519, RFC 8032
SMALL_ORDER = (1).to_bytes(32, "little")  # the neutral element, as a root key
FOUR = [public(build.Ed25519PrivateKey.from_private_bytes(bytes([n] * 32))) for n in range(4)]


def last_signature(document: bytes, change: Any) -> bytes:
    """The document with another S in its last signature."""
    value = int.from_bytes(document[-32:], "little")
    return document[:-32] + change(value).to_bytes(32, "little")


def payload(**changes: Any) -> dict[str, Any]:
    content: dict[str, Any] = cbor2.loads(cbor2.loads(key_set()).value[2])
    return content | changes


def signed(content: bytes) -> bytes:
    return sign_by(content, ROOTS[:1])


def enveloped(signatures: list[Any], body: Any = b"", unprotected: Any = None) -> bytes:
    parts = [body, unprotected or {}, cbor2.dumps(payload(), canonical=True), signatures]
    return cbor2.dumps(cbor2.CBORTag(98, parts))


def main() -> None:
    one, two, three = ROOTS
    good = key_set()
    entry = cbor2.loads(good).value[3][0]
    both = cbor2.loads(key_set(roots=ROOTS[:2])).value[3]
    twice = cbor2.dumps(payload(), canonical=True)
    twice = b"\xa6" + twice[1:] + cbor2.dumps("version") + b"\x09"
    unsorted = cbor2.dumps(dict(reversed(list(payload().items()))))
    shapes: dict[str, bytes] = {
        "empty": b"",
        "a COSE_Sign1": build.envelope(cbor2.dumps(payload(), canonical=True)),
        "no tag": good[2:],
        "a protected body header": enveloped([entry], body=b"\xa0"),
        "an unprotected body header": enveloped([entry], unprotected={1: 2}),
        "no signature": enveloped([]),
        "five signatures": enveloped([entry] * 5),
        "one signer twice": enveloped([entry, entry]),
        "signers in descending order": enveloped(both[::-1]),
        "an unprotected signature header": enveloped([[entry[0], {1: 2}, entry[2]]]),
        "a short signature": enveloped([[entry[0], {}, entry[2][:63]]]),
        "another algorithm": enveloped(
            [[cbor2.dumps({1: -7, 4: kid(one)}, canonical=True), {}, entry[2]]]
        ),
        "a critical header": enveloped(
            [[cbor2.dumps({1: -8, 2: [9], 4: kid(one)}, canonical=True), {}, entry[2]]]
        ),
        "a length that is not the shortest": good[:5] + b"\x59\0" + good[6:],
        "an indefinite array of signatures": good.replace(b"\x81\x83\x4d", b"\x9f\x83\x4d")
        + b"\xff",
        "a byte after it": good + b"\0",
        "a later format": key_set(format=2),
        "version 0": key_set(version=0),
        "a version of 33 bits": key_set(version=1 << 32),
        "a version that is true": key_set(version=True),
        "a negative expiry": key_set(expires=-1),
        "no keys": key_set(keys=()),
        "five keys": signed_keys(5),
        "a key twice": signed(
            cbor2.dumps(payload(keys=[public(KEY), public(KEY)]), canonical=True)
        ),
        "keys in descending order": signed(
            cbor2.dumps(
                payload(keys=sorted([public(KEY), public(OTHER_KEY)])[::-1]), canonical=True
            )
        ),
        "a key of 31 bytes": signed(cbor2.dumps(payload(keys=[bytes(31)]), canonical=True)),
        "a key both valid and revoked": key_set(revoked=[KEY]),
        "17 revoked keys": signed(
            cbor2.dumps(payload(revoked=[bytes([n] * 8) for n in range(17)]), canonical=True)
        ),
        "a revoked id of 7 bytes": signed(cbor2.dumps(payload(revoked=[bytes(7)]), canonical=True)),
        "an extra field": key_set(more=1),
        "a field less": signed(cbor2.dumps({"format": 1}, canonical=True)),
        "a field twice": signed(twice),
        "fields in another order": signed(unsorted),
        "no map": signed(b"\x80"),
        "no CBOR": signed(b"\xff"),
    }
    cases = [
        {"name": name, "document": data.hex(), "shape": False} for name, data in shapes.items()
    ]

    def case(name: str, document: bytes, roots: list[bytes], threshold: int, good: bool) -> None:
        cases.append(
            {
                "name": name,
                "document": document.hex(),
                "shape": True,
                "roots": [root.hex() for root in roots],
                "threshold": threshold,
                "good": good,
            }
        )

    roots = [public(root) for root in ROOTS]
    case("one of one", good, roots[:1], 1, True)
    case("one of three, one asked", good, roots, 1, True)
    case("two of three, two asked", key_set(roots=[one, three]), roots, 2, True)
    case("three of three, two asked", key_set(roots=ROOTS), roots, 2, True)
    case("one of three, two asked", good, roots, 2, False)
    case("two of three, three asked", key_set(roots=[one, two]), roots, 3, False)
    case("a root that the board lacks", key_set(roots=[two]), roots[:1], 1, False)
    case("a known and an unknown root", key_set(roots=[one, two]), roots[:1], 1, False)
    case("no root keys", good, [], 1, False)
    case("S + L", last_signature(good, lambda s: s + GROUP_ORDER), roots, 1, False)
    case("S + 2 L", last_signature(good, lambda s: s + 2 * GROUP_ORDER), roots, 1, False)
    case("one bit of S", last_signature(good, lambda s: s ^ 1), roots, 1, False)
    spoilt = key_set(roots=[one, two])
    case(
        "one bad signature of two, one asked",
        last_signature(spoilt, lambda s: s ^ 2),
        roots,
        1,
        False,
    )
    small_kid = build.hashlib.sha256(SMALL_ORDER).digest()[:8]
    small_header = cbor2.dumps({1: -8, 4: small_kid}, canonical=True)
    small = enveloped([[small_header, {}, SMALL_ORDER + bytes(32)]])
    case("a root key of small order", small, [SMALL_ORDER], 1, False)
    as_package = one.sign(
        cbor2.dumps(["Signature1", entry[0], b"", cbor2.dumps(payload(), canonical=True)])
    )
    case("a signature made for a package", enveloped([[entry[0], {}, as_package]]), roots, 1, False)
    case(
        "all the format holds",
        sign_by(
            cbor2.dumps(
                payload(
                    version=2**32 - 1,
                    expires=2**32 - 1,
                    keys=sorted(FOUR),
                    revoked=[bytes([n] * 8) for n in range(16)],
                ),
                canonical=True,
            ),
            ROOTS,
        ),
        roots,
        3,
        True,
    )
    write("keyset", {"cases": cases})
    print(len(cases), "cases")


def signed_keys(count: int) -> bytes:
    keys = sorted(bytes([n] * 32) for n in range(count))
    return signed(cbor2.dumps(payload(keys=keys), canonical=True))


if __name__ == "__main__":
    main()
