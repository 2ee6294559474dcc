"""Writes protocol/vectors/cbor.json with cbor2, an implementation independent of protocol/cbor.py.

Run: python tests/vectors/generate_cbor.py
"""

from __future__ import annotations

import struct
from typing import Any

import cbor2
from vector_file import tagged, write

# Deterministic encodings; cbor2 orders maps length first, which equals the bytewise order for these keys.
VALUES: list[Any] = [
    *(0, 1, 10, 23, 24, 25, 100, 255, 256, 1000, 65535, 65536, 1_000_000, 2**32 - 1, 2**32),
    *(2**64 - 1, -1, -10, -24, -25, -100, -1000, -(2**32), -(2**64)),
    *(False, True, None, b"", b"\x01\x02\x03\x04", bytes(23), bytes(24), bytes(300)),
    *("", "a", "IETF", '"\\', "ü", "水", "\U00010151", "x" * 24, "é" * 200),
    *([], [1, 2, 3], [1, [2, 3], [4, 5]], list(range(25)), [[[[[[[[]]]]]]]]),
    *({}, {1: 2, 3: 4}, {"a": 1, "b": [2, 3]}, {"a": {"b": {"c": {}}}}, {1: -8, 4: b"12345678"}),
    {"off": 0, "len": 70_000, "sha": bytes(range(32)), "data": bytes(100), "image": 0},
    {letter: letter.upper() for letter in "edcba"},
    {"bb": 1, "a": 2, "ccc": 3, 10: 4, 9: 5},
]
# Read outside manifests, never written.
FLOATS = ["fa3fc00000", "fac7c35000", "fb3ff199999999999a", "fb7e37e43c8800759c", "82fa00000000f6"]
# Well-formed CBOR that is not deterministic: refused with canonical=True only.
LAX = {
    "1800": "0 in two bytes",
    "190010": "16 in three bytes",
    "1a0000ffff": "65535 in five bytes",
    "1b00000000ffffffff": "2**32 - 1 in nine bytes",
    "3817": "-24 in two bytes",
    "5800": "a byte string whose length could be shorter",
    "780161": "a text whose length could be shorter",
    "9800": "an array whose length could be shorter",
    "b800": "a map whose length could be shorter",
    "a2616202616101": "keys out of order",
    "a203000100": "integer keys out of order",
    "a220000100": "a negative key before a positive one",
    "a2626161016162a0": "a longer key first",
}
BAD = {
    "": "nothing",
    "18": "a number that is cut off",
    "1b000000": "a number that is cut off",
    "5a7fffffff": "a byte string of 2 GiB",
    "5bffffffffffffffff": "a byte string of 2**64 - 1",
    "4401020304ff": "a byte after the value",
    "43010203ff43": "bytes after the value",
    "430102": "a byte string that is cut off",
    "6261": "a text that is cut off",
    "8201": "an array that is cut off",
    "9a7fffffff00": "an array of 2**31 - 1 items",
    "9bffffffffffffffff": "an array of 2**64 - 1 items",
    "a161": "a key that is cut off",
    "a16161": "a key without a value",
    "ba7fffffff0000": "a map of 2**31 - 1 pairs",
    "a26161016161f6": "a key twice",
    "a201010101": "an integer key twice",
    "a1f500": "a boolean key",
    "a14101f6": "a byte string as key",
    "a18000": "an array as key",
    "a1f600": "null as key",
    "c074323031332d30332d32315432303a30343a30305a": "a tag",
    "d28443": "a tag",
    "1c": "a reserved length",
    "1f": "an indefinite integer",
    "5f4101ff": "an indefinite byte string",
    "7f6161ff": "an indefinite text",
    "9f01ff": "an indefinite array",
    "bf616101ff": "an indefinite map",
    "ff": "a break",
    "f93e00": "a float16",
    "f7": "undefined",
    "f0": "an unassigned simple value",
    "f818": "a simple value in two bytes",
    "fa3fc000": "a float32 that is cut off",
    "fb3ff1999999": "a float64 that is cut off",
    "61ff": "text that is not UTF-8",
    "62c080": "an overlong NUL",
    "62c1bf": "an overlong letter",
    "63e08080": "an overlong form of three bytes",
    "63eda080": "a surrogate",
    "64f4908080": "a point beyond Unicode",
    "64f0808080": "an overlong form of four bytes",
    "61c3": "a text that ends within a character",
    "81818181818181818100": "nested nine deep",
    "a1a1a0a0a0": "a map as key",
}


def main() -> None:
    valid = [
        {"hex": cbor2.dumps(value, canonical=True).hex(), "value": tagged(value)}
        for value in VALUES
    ]
    floats = []
    for text in FLOATS:
        value = cbor2.loads(bytes.fromhex(text))
        first = value[0] if isinstance(value, list) else value
        floats.append({"hex": text, "bits": struct.pack(">d", first).hex()})
    write(
        "cbor",
        {
            "valid": valid,
            "floats": floats,
            "lax": [{"hex": text, "why": why} for text, why in LAX.items()],
            "bad": [{"hex": text, "why": why} for text, why in BAD.items()],
        },
    )


if __name__ == "__main__":
    main()
