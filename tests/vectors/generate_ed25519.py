"""Writes protocol/vectors/ed25519.json. Run once per format; the file is committed.

Signatures come from `cryptography`; points of small order from curve arithmetic written out here. The RFC's own
signatures are recomputed from its secret keys before they are written.
"""

import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from vector_file import write

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int]

# RFC 8032 section 7.1: name, secret key, public key, message, signature
RFC = [
    (
        "RFC 8032 TEST 1",
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e3970"
            "1cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "RFC 8032 TEST 2",
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613"
            "d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    (
        "RFC 8032 TEST 3",
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760"
            "984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
    (
        "RFC 8032 TEST SHA(abc)",
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        hashlib.sha512(b"abc").hexdigest(),
        (
            "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c6"
            "6431e0303dca179c138ac17ad9bef1177331a704"
        ),
    ),
]


def add(a: Point, b: Point) -> Point:
    """Edwards addition, affine."""
    (x1, y1), (x2, y2) = a, b
    k = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + k, -1, P) % P
    return x, (y1 * y2 + x1 * x2) * pow(1 - k, -1, P) % P


def multiply(n: int, point: Point) -> Point:
    total = (0, 1)
    while n:
        if n & 1:
            total = add(total, point)
        point = add(point, point)
        n >>= 1
    return total


def x_of(y: int) -> int | None:
    """An x on the curve for this y."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    for candidate in (x, x * pow(2, (P - 1) // 4, P) % P):
        if candidate * candidate % P == square:
            return candidate
    return None


def encode(y: int, sign: int) -> bytes:
    return (y | sign << 255).to_bytes(32, "little")


def small_order_encodings() -> list[bytes]:
    """Every 32 bytes that decode to one of the eight points of small order, canonical or not."""
    points: set[Point] = set()
    y = 2
    while len(points) < 8:
        y += 1
        x = x_of(y)
        if x is not None:
            torsion = multiply(L, (x, y))
            points |= {multiply(k, torsion) for k in range(8)}
    found = set()
    for x, y in points:
        for written in (y, y + P):
            if written < 2**255:
                found.add(encode(written, x & 1))
                if x == 0:
                    found.add(encode(written, 1))  # "minus zero"
    return sorted(found)


def main() -> None:
    vectors = []

    def vector(name: str, key: bytes, message: bytes, signature: bytes, valid: bool) -> None:
        vectors.append(
            {
                "name": name,
                "key": key.hex(),
                "message": message.hex(),
                "signature": signature.hex(),
                "valid": valid,
            }
        )

    for name, secret, key, message, signature in RFC:
        private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret))
        assert private.public_key().public_bytes_raw().hex() == key
        assert private.sign(bytes.fromhex(message)).hex() == signature
        vector(name, *(bytes.fromhex(text) for text in (key, message, signature)), True)

    # 64 bytes of R and key go in front: the edges of SHA-512's padding lie at 47/48 and 63/64.
    for size in (1, 46, 47, 48, 49, 62, 63, 64, 65, 127, 128, 175, 176, 191, 192, 300, 1023):
        secret = hashlib.sha256(b"tactus %d" % size).digest()
        message = hashlib.shake_256(secret).digest(size)
        private = Ed25519PrivateKey.from_private_bytes(secret)
        key = private.public_key().public_bytes_raw()
        vector(f"message of {size} bytes", key, message, private.sign(message), True)

    private = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"negative").digest())
    key = private.public_key().public_bytes_raw()
    other = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()
    message = b"a manifest"
    signature = private.sign(message)
    r, s = signature[:32], int.from_bytes(signature[32:], "little")

    def with_s(value: int) -> bytes:
        return r + value.to_bytes(32, "little")

    vector("good, base of the negative ones", key, message, signature, True)
    vector("message changed", key, b"A manifest", signature, False)
    vector("message longer by a zero", key, message + b"\0", signature, False)
    vector("message cut", key, message[:-1], signature, False)
    vector("empty message", key, b"", signature, False)
    vector("another key", other, message, signature, False)
    for bit in (0, 7, 128, 254, 255):
        flipped = int.from_bytes(signature, "little") ^ 1 << bit
        vector(f"bit {bit} of R flipped", key, message, flipped.to_bytes(64, "little"), False)
    for bit in (0, 100, 252, 253, 254, 255):
        vector(f"bit {bit} of S flipped", key, message, with_s(s ^ 1 << bit), False)
    for n in range(1, (2**256 - 1 - s) // L + 1):
        vector(f"S + {n} L", key, message, with_s(s + n * L), False)
    vector("S = 0", key, message, with_s(0), False)
    vector("S = L", key, message, with_s(L), False)
    vector("S = L - 1", key, message, with_s(L - 1), False)
    vector("S = 2^256 - 1", key, message, with_s(2**256 - 1), False)
    vector("-S", key, message, with_s(L - s), False)
    vector("all zero", key, message, bytes(64), False)
    vector("all ones", key, message, b"\xff" * 64, False)
    vector("R and S exchanged", key, message, signature[32:] + r, False)
    off_curve = next(encode(y, 0) for y in range(2, 99) if x_of(y) is None)
    vector("key off the curve", off_curve, message, signature, False)
    vector("R off the curve", key, message, off_curve + signature[32:], False)
    neutral = encode(1, 0)
    for number, small in enumerate(small_order_encodings()):
        # With the cofactor cleared these hold for any message: only a look at the key refuses them.
        vector(f"key of small order {number}", small, message, neutral + bytes(32), False)
        vector(f"key of small order {number}, R too", small, message, small + bytes(32), False)
    write("ed25519", {"vectors": vectors})


if __name__ == "__main__":
    main()
