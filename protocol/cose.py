"""COSE with Ed25519 (RFC 9052 sections 4.1 and 4.2, RFC 9053 section 2.2), in the two shapes that packages use.

    18([ << {1: -8, 4: kid} >>, {}, payload, signature ])                         COSE_Sign1, a manifest
    98([ h'', {}, payload, [ + [ << {1: -8, 4: kid} >>, {}, signature ] ] ])      COSE_Sign, a key set

Algorithm and key id stand in the protected header, the unprotected header is empty, everything is in
deterministic CBOR. Signers of a COSE_Sign come in ascending order of their ids, each once. Any other shape is
refused, so one signed content has one encoding.
"""

from protocol import cbor

ALG_EDDSA = -8
KID_BYTES = 8
SIGNATURE_BYTES = 64
SIGNATURES_MAX = 4

_HEADER_ALG = 1
_HEADER_KID = 4
_TAG_SIGN1 = 0xD2
_TAG_SIGN = b"\xd8\x62"
_ARRAY_OF_3 = 0x83
_ARRAY_OF_4 = 0x84
_NO_BYTES = 0x40
_EMPTY_MAP = 0xA0
_BYTES = 2
_ARRAY = 4


class CoseError(ValueError):
    """The bytes are not such a COSE_Sign1 or COSE_Sign."""


class Sign1:
    """A parsed envelope: `protected`, `kid` and `signature` are bytes, `payload` is a view into the data."""

    def __init__(
        self, protected: bytes, kid: bytes, payload: "memoryview", signature: bytes
    ) -> None:
        self.protected = protected
        self.kid = kid
        self.payload = payload
        self.signature = signature


class Sign:
    """A parsed envelope of several signers: `payload` is a view, `signatures` lists (protected, kid, signature)."""

    def __init__(
        self, payload: "memoryview", signatures: "list[tuple[bytes, bytes, bytes]]"
    ) -> None:
        self.payload = payload
        self.signatures = signatures


def parse(data: "bytes | bytearray | memoryview") -> Sign1:
    """Read an envelope that fills `data` exactly. Checks the shape, not the signature. Raises CoseError."""
    try:
        return _parse(memoryview(data))
    except cbor.CborError as error:
        raise CoseError("not a COSE_Sign1: %s" % error)


def _parse(data: "memoryview") -> Sign1:
    end = len(data)
    if end < 3 or data[0] != _TAG_SIGN1 or data[1] != _ARRAY_OF_4:
        raise CoseError("not a tagged COSE_Sign1")
    start, at = _bytes(data, 2, end)
    protected = bytes(data[start:at])
    kid = _kid(protected)
    if at >= end or data[at] != _EMPTY_MAP:
        raise CoseError("the unprotected header is not empty")
    payload_start, payload_end = _bytes(data, at + 1, end)
    start, at = _bytes(data, payload_end, end)
    if at - start != SIGNATURE_BYTES:
        raise CoseError("the signature has not 64 bytes")
    if at != end:
        raise CoseError("bytes after the envelope")
    return Sign1(protected, kid, data[payload_start:payload_end], bytes(data[start:at]))


def parse_sign(data: "bytes | bytearray | memoryview") -> Sign:
    """Read an envelope of 1 to SIGNATURES_MAX signers that fills `data` exactly. Checks the shape. Raises CoseError."""
    try:
        return _parse_sign(memoryview(data))
    except cbor.CborError as error:
        raise CoseError("not a COSE_Sign: %s" % error)


def _parse_sign(data: "memoryview") -> Sign:
    end = len(data)
    if end < 5 or bytes(data[:2]) != _TAG_SIGN or data[2] != _ARRAY_OF_4:
        raise CoseError("not a tagged COSE_Sign")
    if data[3] != _NO_BYTES or data[4] != _EMPTY_MAP:
        raise CoseError("the headers of the body are not empty")
    payload_start, payload_end = _bytes(data, 5, end)
    major, count, at = cbor.head(data, payload_end, end, True)
    if major != _ARRAY or not 1 <= count <= SIGNATURES_MAX:
        raise CoseError("not 1 to %d signatures" % SIGNATURES_MAX)
    signatures: list[tuple[bytes, bytes, bytes]] = []
    previous = b""
    for _ in range(count):
        if at >= end or data[at] != _ARRAY_OF_3:
            raise CoseError("a signature is not an array of three")
        start, at = _bytes(data, at + 1, end)
        protected = bytes(data[start:at])
        kid = _kid(protected)
        if kid <= previous:
            raise CoseError("the signers are not in ascending order")
        previous = kid
        if at >= end or data[at] != _EMPTY_MAP:
            raise CoseError("the unprotected header is not empty")
        start, at = _bytes(data, at + 1, end)
        if at - start != SIGNATURE_BYTES:
            raise CoseError("the signature has not 64 bytes")
        signatures.append((protected, kid, bytes(data[start:at])))
    if at != end:
        raise CoseError("bytes after the envelope")
    return Sign(data[payload_start:payload_end], signatures)


def _bytes(data: "memoryview", at: int, end: int) -> "tuple[int, int]":
    major, size, at = cbor.head(data, at, end, True)
    if major != _BYTES or size > end - at:
        raise CoseError("a byte string is missing or too long")
    return at, at + size


def _kid(protected: bytes) -> bytes:
    header = cbor.decode(protected, canonical=True, floats=False)
    if not isinstance(header, dict) or len(header) != 2 or header.get(_HEADER_ALG) != ALG_EDDSA:
        raise CoseError("the protected header does not name EdDSA and a key, and nothing else")
    kid = header.get(_HEADER_KID)
    if not isinstance(kid, bytes) or len(kid) != KID_BYTES:
        raise CoseError("the key id has not 8 bytes")
    return kid


def to_be_signed(protected: bytes, payload: "bytes | bytearray | memoryview") -> bytes:
    """The Sig_structure that the signature covers, external data empty (RFC 9052 section 4.4)."""
    return signed_head(protected, len(payload)) + bytes(payload)


def to_be_signed_by(protected: bytes, payload: "bytes | bytearray | memoryview") -> bytes:
    """The Sig_structure that one signature of a COSE_Sign covers; the body has no protected header."""
    return signed_head_by(protected, len(payload)) + bytes(payload)


def signed_head(protected: bytes, payload_bytes: int) -> bytes:
    """to_be_signed() without the payload at its end, which a board reads in place."""
    return _head(["Signature1", protected, b""], payload_bytes)


def signed_head_by(protected: bytes, payload_bytes: int) -> bytes:
    """to_be_signed_by() without the payload at its end."""
    return _head(["Signature", b"", protected, b""], payload_bytes)


def _head(fields: "list[object]", payload_bytes: int) -> bytes:
    parts = [bytes([_ARRAY << 5 | len(fields) + 1])] + [cbor.encode(field) for field in fields]
    return b"".join(parts) + cbor.bytes_head(payload_bytes)
