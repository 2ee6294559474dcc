"""The signature check: RFC 8032 and hand-made negative vectors, and agreement with `cryptography`."""

import json
import random
import re
from collections.abc import Callable
from ctypes import byref
from itertools import product

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from store_library import ERR_PKG_SIGNATURE, Field, ed25519_library

from host.boards import ROOT

VECTORS = json.loads((ROOT / "protocol/vectors/ed25519.json").read_text())["vectors"]


def check(signature: bytes, key: bytes, message: bytes) -> int:
    return int(ed25519_library().tac_ed25519_check(signature, key, message, len(message)))


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_the_vector_is_judged_right(vector: dict[str, str]) -> None:
    fields = (bytes.fromhex(vector[name]) for name in ("signature", "key", "message"))
    assert check(*fields) == (0 if vector["valid"] else ERR_PKG_SIGNATURE)


def test_the_vectors_cover_both_answers_and_small_order_keys() -> None:
    assert sum(vector["valid"] for vector in VECTORS) >= 20
    # 8 points; two more encodings of zero x, and those with y >= p
    assert sum("small order" in vector["name"] for vector in VECTORS) >= 2 * 12


def test_signatures_of_cryptography_verify_and_any_flipped_bit_is_refused() -> None:
    dice = random.Random(4)
    for _ in range(25):
        private = Ed25519PrivateKey.from_private_bytes(dice.randbytes(32))
        key = private.public_key().public_bytes_raw()
        message = dice.randbytes(dice.randrange(700))
        signature = private.sign(message)
        assert check(signature, key, message) == 0
        whole = bytearray(signature + key + message)
        for _ in range(6):
            bit = dice.randrange(8 * len(whole))
            whole[bit // 8] ^= 1 << bit % 8
            parts = (bytes(whole[:64]), bytes(whole[64:96]), bytes(whole[96:]))
            assert check(*parts) == ERR_PKG_SIGNATURE, f"bit {bit}"
            whole[bit // 8] ^= 1 << bit % 8


P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
# Where carries run through all words, and where numbers stop being the only ones of their element.
EDGES = sorted(
    {
        (base + step) % 2**256
        for base in (0, 2**32, 2**224, 2**255 - 19, 2**255, 2**256 - 38, 2**256)
        for step in (-1, 0, 1, 18, 19, 37, 38, 57)
    }
    | {2**256 - 2**32, 2**256 - 2**224, int("ffffffff00000000" * 4, 16), int("7" * 64, 16)}
)


def element(value: int) -> Field:
    field = Field()
    ed25519_library().tac_fe_load(byref(field), value.to_bytes(32, "little"))
    return field


def packed(field: Field) -> int:
    out = bytes(32)
    ed25519_library().tac_fe_pack(out, byref(field))
    return int.from_bytes(out, "little")


def operate(name: str, *values: int) -> int:
    result = Field()
    function = getattr(ed25519_library(), f"tac_fe_{name}")
    function(byref(result), *(byref(element(value)) for value in values))
    return packed(result)


@pytest.mark.parametrize(
    ("name", "exact"),
    [("add", int.__add__), ("sub", int.__sub__), ("mul", int.__mul__)],
)
def test_the_field_is_exact_at_every_pair_of_edges(
    name: str, exact: Callable[[int, int], int]
) -> None:
    for a, b in product(EDGES, EDGES):
        assert operate(name, a, b) == exact(a, b) % P, (hex(a), hex(b))


def test_results_of_the_field_may_be_operands_again() -> None:
    dice = random.Random(7)
    library = ed25519_library()
    values = [dice.choice(EDGES) for _ in range(8)]
    fields = [element(value) for value in values]
    for _ in range(5000):
        name, exact = dice.choice(
            [("add", int.__add__), ("sub", int.__sub__), ("mul", int.__mul__)]
        )
        to, a, b = (dice.randrange(8) for _ in range(3))  # in place, too
        getattr(library, f"tac_fe_{name}")(byref(fields[to]), byref(fields[a]), byref(fields[b]))
        values[to] = exact(values[a], values[b]) % P
        assert packed(fields[to]) == values[to]


def test_powers_of_the_field() -> None:
    dice = random.Random(8)
    for value in [*EDGES[:12], *(dice.getrandbits(256) for _ in range(12))]:
        assert operate("invert", value) == pow(value, P - 2, P)
        assert operate("root", value) == pow(value, (P - 5) // 8, P)


def test_the_table_of_the_base_point_is_what_it_says() -> None:
    def add(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
        (x1, y1), (x2, y2) = a, b
        k = D * x1 * x2 * y1 * y2 % P
        x = (x1 * y2 + x2 * y1) * pow(1 + k, -1, P) % P
        return x, (y1 * y2 + x1 * x2) * pow(1 - k, -1, P) % P

    source = (ROOT / "device/store/ed25519.c").read_text()
    table = source[source.index("BASE[BASE_POINTS] = {") :]
    words = re.findall(r"0x([0-9a-f]{8})", table[: table.index("};")])
    found = [
        sum(int(word, 16) << 32 * i for i, word in enumerate(words[at : at + 8]))
        for at in range(0, len(words), 8)
    ]
    y = 4 * pow(5, -1, P) % P  # RFC 8032 section 5.1
    x = 15112221349535400772501151409588531511454012693041857206046113283949847762202
    point, twice = (x, y), add((x, y), (x, y))
    expected = []
    for _ in range(8):
        x, y = point
        expected += [(y + x) % P, (y - x) % P, 2 * D * x * y % P]
        point = add(point, twice)
    assert found == expected


def test_what_is_no_canonical_key_or_signature_is_refused() -> None:
    """A second encoding of a good point, and R of another encoding, are not taken."""
    private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    key = private.public_key().public_bytes_raw()
    signature = private.sign(b"m")
    assert check(signature, key, b"m") == 0
    for y in range(19):  # y + p < 2^255 for these alone
        for sign in (0, 1):
            other = (y + P | sign << 255).to_bytes(32, "little")
            assert check(signature, other, b"m") == ERR_PKG_SIGNATURE
            assert check(other + signature[32:], key, b"m") == ERR_PKG_SIGNATURE
