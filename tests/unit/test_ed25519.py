"""The signature check: RFC 8032 and hand-made negative vectors, and agreement with `cryptography`."""

import json
import random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from store_library import ERR_PKG_SIGNATURE, ed25519_library

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
