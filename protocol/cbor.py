"""A strict subset of CBOR (RFC 8949) for messages, manifests and signatures.

Values: int of up to 64 bits, bytes, str, list, dict with int or str keys, bool, None; float32 and float64 are
read (not written) where the caller allows them. Refused: tags, indefinite lengths, float16, undefined, other
simple values, duplicate keys, bytes after the value, text that is not UTF-8, lengths beyond the data, nesting
deeper than DEPTH_MAX. The encoder always writes the deterministic form of RFC 8949 section 4.2.1.

The data is hostile: decode() raises CborError or returns; it never reads outside and never allocates more
than a small multiple of the data's size.
"""

import struct

DEPTH_MAX = 8

_UINT, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)


class CborError(ValueError):
    """The data breaks the rules above, or a value does not fit the buffer."""


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
    if end < 0:
        end = len(data)
    value, at = _item(data, offset, end, DEPTH_MAX, canonical, floats)
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


def _item(
    data: "bytes | bytearray | memoryview",
    at: int,
    end: int,
    depth: int,
    canonical: bool,
    floats: bool,
) -> "tuple[object, int]":
    major, number, at = head(data, at, end, canonical)
    if major == _UINT:
        return number, at
    if major == _NEGATIVE:
        return -1 - number, at
    if major == _SIMPLE:
        return _simple(data, number, at, end, floats)
    if major == _TAG:
        raise CborError("a tag")
    if number > end - at:
        raise CborError("a length beyond the data")
    if major == _BYTES:
        return bytes(data[at : at + number]), at + number
    if major == _TEXT:
        return _text(bytes(data[at : at + number])), at + number
    if depth == 0:
        raise CborError("nested too deeply")
    if major == _ARRAY:
        items = []
        for _ in range(number):
            item, at = _item(data, at, end, depth - 1, canonical, floats)
            items.append(item)
        return items, at
    if 2 * number > end - at:
        raise CborError("a length beyond the data")
    return _map(data, number, at, end, depth, canonical, floats)


def _map(
    data: "bytes | bytearray | memoryview",
    count: int,
    at: int,
    end: int,
    depth: int,
    canonical: bool,
    floats: bool,
) -> "tuple[object, int]":
    result: dict[object, object] = {}
    previous = b""
    for _ in range(count):
        start = at
        if at < end and data[at] >> 5 not in (_UINT, _NEGATIVE, _TEXT):
            raise CborError("a key that is neither integer nor text")
        key, at = _item(data, at, end, depth - 1, canonical, floats)
        if key in result:
            raise CborError("a key occurs twice")
        if canonical:
            encoded = bytes(data[start:at])
            if encoded <= previous:
                raise CborError("keys are not sorted")
            previous = encoded
        result[key], at = _item(data, at, end, depth - 1, canonical, floats)
    return result, at


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

    Raises CborError when it does not fit or has no encoding (float, other types, integers beyond 64 bits, nesting
    beyond DEPTH_MAX). What was written before the error stays in the buffer.
    """
    return _put(buffer, offset, value, DEPTH_MAX)


def encode(value: object, size_max: int = 4096) -> bytes:
    """Encode into fresh bytes of at most `size_max`. Raises CborError."""
    buffer = bytearray(size_max)
    return bytes(memoryview(buffer)[: encode_into(buffer, 0, value)])


def put_head(buffer: "bytearray | memoryview", offset: int, major: int, number: int) -> int:
    """Write one item head in its shortest form; return the offset after it. Raises CborError."""
    if number < 24:
        size, short = 0, number
    elif number < 0x100:
        size, short = 1, 24
    elif number < 0x10000:
        size, short = 2, 25
    elif number < 0x100000000:
        size, short = 4, 26
    elif number < 0x10000000000000000:
        size, short = 8, 27
    else:
        raise CborError("an integer beyond 64 bits")
    if offset + 1 + size > len(buffer):
        raise CborError("the value does not fit the buffer")
    buffer[offset] = major << 5 | short
    offset += 1
    for shift in range(8 * size - 8, -8, -8):
        buffer[offset] = (number >> shift) & 0xFF
        offset += 1
    return offset


def _put(buffer: "bytearray | memoryview", at: int, value: object, depth: int) -> int:
    if value is None or value is True or value is False:
        return put_head(buffer, at, _SIMPLE, 22 if value is None else 20 + int(value is True))
    if isinstance(value, int):
        if value < 0:
            return put_head(buffer, at, _NEGATIVE, -1 - value)
        return put_head(buffer, at, _UINT, value)
    if isinstance(value, str):
        return _put_raw(buffer, at, _TEXT, _utf8(value))
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _put_raw(buffer, at, _BYTES, value)
    if not isinstance(value, (list, tuple, dict)):
        raise CborError("a value of a type that has no encoding")
    if depth == 0:
        raise CborError("nested too deeply")
    if isinstance(value, dict):
        at = put_head(buffer, at, _MAP, len(value))
        for key in sorted(value, key=_key_order):
            at = _put(buffer, at, key, depth - 1)
            at = _put(buffer, at, value[key], depth - 1)
        return at
    at = put_head(buffer, at, _ARRAY, len(value))
    for item in value:
        at = _put(buffer, at, item, depth - 1)
    return at


def _put_raw(
    buffer: "bytearray | memoryview", at: int, major: int, raw: "bytes | bytearray | memoryview"
) -> int:
    at = put_head(buffer, at, major, len(raw))
    end = at + len(raw)
    if end > len(buffer):
        raise CborError("the value does not fit the buffer")
    buffer[at:end] = raw
    return end


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeError:  # a lone surrogate; only CPython can hold one
        raise CborError("text that has no UTF-8 form")


def _key_order(key: object) -> "tuple[int, int, bytes]":
    # The order of the encoded keys: by major type, then by the number in the head, then by the bytes.
    if isinstance(key, str):
        raw = _utf8(key)
        return _TEXT, len(raw), raw
    if isinstance(key, int) and not isinstance(key, bool):
        return (_UINT, key, b"") if key >= 0 else (_NEGATIVE, -1 - key, b"")
    raise CborError("a key that is neither integer nor text")
