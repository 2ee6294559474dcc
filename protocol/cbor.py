"""A strict subset of CBOR (RFC 8949) for messages, manifests and signatures.

Values: int of up to 64 bits, bytes, str, list, dict with int or str keys, bool, None; float32 and float64 are
read (not written) where the caller allows them. Refused: tags, indefinite lengths, float16, undefined, other
simple values, duplicate keys, bytes after the value, text that is not UTF-8, lengths beyond the data, nesting
deeper than DEPTH_MAX. The encoder always writes the deterministic form of RFC 8949 section 4.2.1.

Boards on MicroPython have the same in C (device/bindings/micropython/cbor_module.c), with the same words: a message
takes 0.5 ms there and 20 ms here. What is long is decoded here on boards, too, since a piece must end: in C a manifest of
1.6 kB takes 20 ms in one go, nearly all of it to look texts up among the interned strings and to find room on the heap.

The data is hostile: decode() raises CborError or returns; it never reads outside and never allocates more
than a small multiple of the data's size.
"""

import struct

from protocol.pieces import finish

TYPE_CHECKING = False
if TYPE_CHECKING:  # never at run time: MicroPython has neither module
    from collections.abc import Generator
    from typing import Any

DEPTH_MAX = 8
PIECE_ITEMS = 6  # up to 8 ms of a 25 MHz Cortex-M4 with a full heap

_UINT, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
_KEY_TYPES = (_UINT, _NEGATIVE, _TEXT)


class CborError(ValueError):
    """The data breaks the rules above, a value has no encoding, or it does not fit the buffer."""


def decode(
    data: "bytes | bytearray | memoryview",
    offset: int = 0,
    end: int = -1,
    canonical: bool = False,
    floats: bool = True,
    items: int = -1,
) -> object:
    """Read the one value that fills data[offset:end] exactly; end -1 means the end of the data.

    `canonical` demands the deterministic form: shortest lengths and integers, keys sorted bytewise. `items`, where
    it is not negative, is how many values may come, keys and containers included. Raises CborError.
    """
    return finish(decode_in_pieces(data, offset, end, canonical, floats, items))


def decode_in_pieces(
    data: "bytes | bytearray | memoryview",
    offset: int = 0,
    end: int = -1,
    canonical: bool = False,
    floats: bool = True,
    items: int = -1,
) -> "Generator[None, None, object]":
    """decode() as work in pieces of PIECE_ITEMS items: keys, values and containers. For what is long, as a manifest is."""
    if end < 0:
        end = len(data)
    at = offset
    piece = PIECE_ITEMS
    # The container that is being filled; `left` counts the keys and values that it lacks.
    container: Any = None
    left = 0
    key: object = None
    previous = b""
    around: list[Any] = []  # those around it
    while True:
        if piece == 0:
            piece = PIECE_ITEMS
            yield
        piece -= 1
        if items == 0:
            raise CborError("too many items")
        items -= 1
        start = at
        if at >= end:
            raise CborError("the data ends early")
        number = data[at]
        major = number >> 5
        number &= 31
        at += 1
        if number > 23 and major != _SIMPLE:
            major, number, at = head(data, start, end, canonical)
        is_key = left & 1 == 0 and type(container) is dict
        if is_key and major not in _KEY_TYPES:
            raise CborError("a key that is neither integer nor text")
        value: Any
        if major == _UINT:
            value = number
        elif major == _NEGATIVE:
            value = -1 - number
        elif major == _SIMPLE:
            value, at = _simple(data, number, at, end, floats)
        elif major == _TAG:
            raise CborError("a tag")
        elif number > end - at:
            raise CborError("a length beyond the data")
        elif major == _BYTES:
            value = bytes(data[at : at + number])
            at += number
        elif major == _TEXT:
            value = _text(bytes(data[at : at + number]))
            at += number
        else:
            if len(around) == DEPTH_MAX:
                raise CborError("nested too deeply")
            if major == _MAP:
                number *= 2
                if number > end - at:
                    raise CborError("a length beyond the data")
            value = [] if major == _ARRAY else {}
            if number:
                around.append((container, left, key, previous))
                container = value
                left = number
                previous = b""
                continue
        while (
            container is not None
        ):  # value is whole: it goes where it belongs, and closes what is full now
            if type(container) is list:
                container.append(value)
            elif is_key:
                if value in container:
                    raise CborError("a key occurs twice")
                if canonical:
                    encoded = bytes(data[start:at])
                    if encoded <= previous:
                        raise CborError("keys are not sorted")
                    previous = encoded
                key = value
            else:
                container[key] = value
            left -= 1
            if left:
                break
            value = container
            container, left, key, previous = around.pop()
            is_key = False
        else:
            if at != end:
                raise CborError("bytes after the value")
            return value


def head(
    data: "bytes | bytearray | memoryview", offset: int, end: int, canonical: bool = False
) -> "tuple[int, int, int]":
    """Read one item head: (major type, argument, offset after it). Raises CborError.

    For major type 7 the argument is the additional information itself.
    """
    if offset >= end:
        raise CborError("the data ends early")
    first = data[offset]
    major = first >> 5
    short = first & 31
    offset += 1
    if short < 24 or major == _SIMPLE:
        return major, short, offset
    if short > 27:
        raise CborError("an indefinite or reserved length")
    size = 1 << (short - 24)
    if end - offset < size:
        raise CborError("the data ends early")
    number = 0
    for i in range(size):
        number = (number << 8) | data[offset + i]
    if canonical and number < (24 if size == 1 else 1 << (4 * size)):
        raise CborError("a number is not in its shortest form")
    return major, number, offset + size


def _simple(
    data: "bytes | bytearray | memoryview", short: int, at: int, end: int, floats: bool
) -> "tuple[object, int]":
    if short == 20:
        return False, at
    if short == 21:
        return True, at
    if short == 22:
        return None, at
    if floats and short in (26, 27):
        size = 4 if short == 26 else 8
        if end - at < size:
            raise CborError("the data ends early")
        code = ">f" if short == 26 else ">d"
        return struct.unpack(code, bytes(data[at : at + size]))[0], at + size
    raise CborError("a simple value or float that is not allowed")


def _text(raw: bytes) -> str:
    try:
        text = raw.decode()
    except UnicodeError:
        raise CborError("text that is not UTF-8")
    if len(text) == len(raw):
        return text
    # MicroPython lets overlong forms and surrogates through; their lengths give them away.
    size = 0
    for character in text:
        point = ord(character)
        if 0xD800 <= point <= 0xDFFF or point > 0x10FFFF:
            raise CborError("text that is not UTF-8")
        size += 1 if point < 0x80 else 2 if point < 0x800 else 3 if point < 0x10000 else 4
    if size != len(raw):
        raise CborError("text that is not UTF-8")
    return text


def encode_into(buffer: "bytearray | memoryview", offset: int, value: object) -> int:
    """Write a value at buffer[offset:] in deterministic form; return the offset after it.

    Raises CborError when it does not fit, which may leave a part of it in the buffer, or has no encoding (float, other
    types, integers beyond 64 bits, nesting beyond DEPTH_MAX).
    """
    data = encode(value)
    end = offset + len(data)
    if end > len(buffer):
        raise CborError("the value does not fit the buffer")
    buffer[offset:end] = data
    return end


def bytes_head(size: int) -> bytes:
    """What stands in front of a byte string of `size` bytes."""
    return _head(_BYTES, size)


def encode(value: object) -> bytes:
    """Encode into fresh bytes. Raises CborError."""
    parts: list[bytes] = []
    _put(parts, value, DEPTH_MAX)
    return b"".join(parts)


def _put(parts: "list[bytes]", value: "Any", depth: int) -> None:
    kind = type(value)
    if kind is int:
        parts.append(_head(_UINT, value) if value >= 0 else _head(_NEGATIVE, -1 - value))
    elif kind is bool or value is None:
        parts.append(b"\xf6" if value is None else b"\xf5" if value else b"\xf4")
    elif kind is str:
        raw = _utf8(value)
        parts.extend((_head(_TEXT, len(raw)), raw))
    elif kind in (bytes, bytearray, memoryview):
        parts.extend((_head(_BYTES, len(value)), bytes(value)))
    elif kind not in (list, tuple, dict):
        raise CborError("a value of a type that has no encoding")
    elif depth == 0:
        raise CborError("nested too deeply")
    elif kind is dict:
        parts.append(_head(_MAP, len(value)))
        for raw, item in sorted([(_key(key), item) for key, item in value.items()], key=_first):
            parts.append(raw)
            _put(parts, item, depth - 1)
    else:
        parts.append(_head(_ARRAY, len(value)))
        for item in value:
            _put(parts, item, depth - 1)


def _first(pair: "tuple[bytes, object]") -> bytes:
    return pair[0]


def _key(key: object) -> bytes:
    if type(key) not in (str, int):
        raise CborError("a key that is neither integer nor text")
    return encode(key)


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    if number < 0x100:
        return bytes([major << 5 | 24, number])
    if number < 0x10000:
        return struct.pack(">BH", major << 5 | 25, number)
    if number < 0x100000000:
        return struct.pack(">BI", major << 5 | 26, number)
    if number < 0x10000000000000000:
        return struct.pack(">BQ", major << 5 | 27, number)
    raise CborError("an integer beyond 64 bits")


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeError:  # a lone surrogate; only CPython can hold one
        raise CborError("text that has no UTF-8 form")


try:
    from _cbor import CborError, decode, encode, encode_into  # type: ignore  # noqa: F401, F811
except ImportError:
    pass
