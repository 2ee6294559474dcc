"""SHA-256 and SHA-512 against FIPS 180-4 examples and hashlib, in pieces of any size."""

import ctypes
import hashlib
import random

import pytest
from store_library import store_library


def digest(name: str, pieces: list[bytes]) -> bytes:
    library = store_library()
    state = ctypes.create_string_buffer(256)  # larger than either tac_sha*_t
    out = ctypes.create_string_buffer(hashlib.new(name).digest_size)
    getattr(library, f"tac_{name}_init")(state)
    for piece in pieces:
        getattr(library, f"tac_{name}_update")(state, piece, ctypes.c_size_t(len(piece)))
    getattr(library, f"tac_{name}_final")(state, out)
    return out.raw


# FIPS 180-4 examples (NIST CSRC, "Examples with intermediate values")
EXAMPLES = [
    ("sha256", b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    ("sha256", b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    (
        "sha512",
        b"abc",
        (
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
            "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
        ),
    ),
]


@pytest.mark.parametrize(("name", "message", "expected"), EXAMPLES)
def test_published_examples_give_their_digest(name: str, message: bytes, expected: str) -> None:
    assert digest(name, [message]).hex() == expected


@pytest.mark.parametrize("name", ["sha256", "sha512"])
def test_every_length_up_to_some_blocks_agrees_with_hashlib(name: str) -> None:
    data = random.Random(1).randbytes(600)
    for size in range(600):
        assert digest(name, [data[:size]]) == hashlib.new(name, data[:size]).digest(), size


@pytest.mark.parametrize("name", ["sha256", "sha512"])
def test_the_digest_does_not_depend_on_how_the_bytes_arrive(name: str) -> None:
    dice = random.Random(2)
    for _ in range(200):
        pieces = [dice.randbytes(dice.choice([0, 1, 63, 64, 65, 127, 128, 300])) for _ in range(9)]
        assert digest(name, pieces) == hashlib.new(name, b"".join(pieces)).digest()


def test_a_megabyte_agrees_with_hashlib() -> None:
    data = random.Random(3).randbytes(1_000_000)
    assert digest("sha256", [data]) == hashlib.sha256(data).digest()
