"""A strict subset of CBOR (RFC 8949) for messages, manifests and signatures.

Values: int of up to 64 bits, bytes, str, list, dict with int or str keys, bool, None; float32 and float64 are
read (not written) where the caller allows them. Refused: tags, indefinite lengths, float16, undefined, other
simple values, duplicate keys, bytes after the value, text that is not UTF-8, lengths beyond the data, nesting
deeper than DEPTH_MAX. The encoder always writes the deterministic form of RFC 8949 section 4.2.1.

The data is hostile: decode() raises CborError or returns; it never reads outside and never allocates more
than a small multiple of the data's size.
"""

import struct

from protocol.pieces import finish

TYPE_CHECKING = False
if TYPE_CHECKING:  # never at run time: MicroPython has neither module
    from collections.abc import Callable, Generator
    from typing import Any

DEPTH_MAX = 8
PIECE_ITEMS = 12  # some 5 ms of a 25 MHz Cortex-M4

_UINT, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
_KEY_TYPES = (_UINT, _NEGATIVE, _TEXT)


# fmt: off
_UINT_HEADS = (
    b"\x00", b"\x01", b"\x02", b"\x03", b"\x04", b"\x05", b"\x06", b"\x07",
    b"\x08", b"\x09", b"\x0a", b"\x0b", b"\x0c", b"\x0d", b"\x0e", b"\x0f",
    b"\x10", b"\x11", b"\x12", b"\x13", b"\x14", b"\x15", b"\x16", b"\x17",
)
_TEXT_HEADS = (
    b"\x60", b"\x61", b"\x62", b"\x63", b"\x64", b"\x65", b"\x66", b"\x67",
    b"\x68", b"\x69", b"\x6a", b"\x6b", b"\x6c", b"\x6d", b"\x6e", b"\x6f",
    b"\x70", b"\x71", b"\x72", b"\x73", b"\x74", b"\x75", b"\x76", b"\x77",
)
# fmt: on
_KEYS: "dict[object, bytes]" = {}  # text keys met before -> their encoding; the same few come all the time
_KEYS_MAX = 128


class CborError(ValueError):
    """The data breaks the rules above, a value has no encoding, or it does not fit the buffer."""


def decode(
    data: "bytes | bytearray | memoryview",
    offset: int = 0,
    end: int = -1,
    canonical: bool = False,
    floats: bool = True,
) -> object:
    """Read the one value that fills data[offset:end] exactly; end -1 means the end of the data.

    `canonical` demands the deterministic form: shortest lengths and integers, keys sorted bytewise.
    Raises CborError.
    """
    return finish(decode_in_pieces(data, offset, end, canonical, floats))


def decode_in_pieces(
    data: "bytes | bytearray | memoryview",
    offset: int = 0,
    end: int = -1,
    canonical: bool = False,
    floats: bool = True,
) -> "Generator[None, None, object]":
    """decode() of which each piece reads PIECE_ITEMS items; a container counts as one, and each of its items, too."""
    if end < 0:
        end = len(data)
    at = offset
    items_left = PIECE_ITEMS
    # The container that is being filled; `left` counts the keys and values that it lacks.
    container: list[object] | dict[object, object] | None = None
    left = 0
    key: object = None
    previous = b""
    around: list[Any] = []  # those around it
    while True:
        if items_left == 0:
            items_left = PIECE_ITEMS
            yield
        items_left -= 1
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
        value: object
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

    Raises CborError, and leaves the buffer as it is, when it does not fit or has no encoding (float, other types, integers
    beyond 64 bits, nesting beyond DEPTH_MAX).
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


# The encoder answers every request on an interpreter that takes 10 us a bytecode on a slow board, while models
# wait. Hence small functions (MicroPython puts the frame of a large one on the heap), a table of writers instead of
# a chain of isinstance(), constant heads, the table of keys met before, and one copy into the buffer at the end
# (each slice assignment in MicroPython moves the rest of the buffer).


def _put(parts: "list[bytes]", value: object, depth: int) -> None:
    writer = _WRITERS.get(type(value))
    if writer is None:
        raise CborError("a value of a type that has no encoding")
    writer(parts, value, depth)


def _put_int(parts: "list[bytes]", value: int, depth: int) -> None:
    if 0 <= value < 24:
        parts.append(_UINT_HEADS[value])
    else:
        parts.append(_head(_UINT, value) if value >= 0 else _head(_NEGATIVE, -1 - value))


def _put_bool(parts: "list[bytes]", value: bool, depth: int) -> None:
    parts.append(b"\xf5" if value else b"\xf4")


def _put_null(parts: "list[bytes]", value: None, depth: int) -> None:
    parts.append(b"\xf6")


def _put_text(parts: "list[bytes]", value: str, depth: int) -> None:
    raw = _utf8(value)
    size = len(raw)
    parts.append(_TEXT_HEADS[size] if size < 24 else _head(_TEXT, size))
    parts.append(raw)


def _put_bytes(parts: "list[bytes]", value: "bytes | bytearray | memoryview", depth: int) -> None:
    parts.append(_head(_BYTES, len(value)))
    parts.append(bytes(value))


def _put_array(parts: "list[bytes]", value: "list[object]", depth: int) -> None:
    if depth == 0:
        raise CborError("nested too deeply")
    parts.append(_head(_ARRAY, len(value)))
    for item in value:
        _put(parts, item, depth - 1)


def _put_map(parts: "list[bytes]", value: "dict[object, object]", depth: int) -> None:
    if depth == 0:
        raise CborError("nested too deeply")
    parts.append(_head(_MAP, len(value)))
    # Sorted by the encoded keys. No key function: MicroPython would call it for each comparison.
    pairs = [(_KEYS.get(key) or _encoded_key(key), item) for key, item in value.items()]
    pairs.sort()
    for raw, item in pairs:
        parts.append(raw)
        _put(parts, item, depth - 1)


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


def _encoded_key(key: object) -> bytes:
    parts: list[bytes] = []
    if type(key) is str:
        _put_text(parts, key, 0)
    elif type(key) is int:
        _put_int(parts, key, 0)
    else:
        raise CborError("a key that is neither integer nor text")
    raw = b"".join(parts)
    if type(key) is str and len(_KEYS) < _KEYS_MAX and len(raw) < 24:
        _KEYS[key] = raw
    return raw


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeError:  # a lone surrogate; only CPython can hold one
        raise CborError("text that has no UTF-8 form")


_WRITERS: "dict[object, Callable[[list[bytes], Any, int], None]]" = {
    int: _put_int,
    bool: _put_bool,
    str: _put_text,
    bytes: _put_bytes,
    bytearray: _put_bytes,
    memoryview: _put_bytes,
    list: _put_array,
    tuple: _put_array,
    dict: _put_map,
    type(None): _put_null,
}
