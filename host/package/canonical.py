"""Deterministic CBOR: RFC 8949 section 4.2.1, without floats.

One value has one encoding: shortest integers, definite lengths, map keys in bytewise order of their
encodings. cbor2's own `canonical` sorts by length first (RFC 7049) and shortens floats, hence the
maps are put in order here. Floats are refused: where a real number is needed the manifest carries
its IEEE-754 bits as an integer. The reading side is protocol/cbor.py, which shares no code with this.
"""

from collections.abc import Mapping

import cbor2

_DEPTH_MAX = 8
_INT_MIN, _INT_END = -(1 << 64), 1 << 64


class CanonicalError(ValueError):
    """A value has no place in a manifest."""


def encode(value: object) -> bytes:
    """Encode `value`. Raises CanonicalError for floats, other types, and nesting deeper than 8."""
    return cbor2.dumps(_ordered(value, _DEPTH_MAX))


def encode_tagged(tag: int, value: object) -> bytes:
    """Encode `value` under one CBOR tag."""
    return cbor2.dumps(cbor2.CBORTag(tag, _ordered(value, _DEPTH_MAX)))


def _ordered(value: object, depth: int) -> object:
    """A copy whose maps iterate in the order of their encoded keys."""
    if depth == 0:
        raise CanonicalError(f"nested deeper than {_DEPTH_MAX}")
    if value is None or isinstance(value, (bool, str, bytes)):
        return value
    if isinstance(value, int):
        if not _INT_MIN <= value < _INT_END:
            raise CanonicalError(f"integer {value} needs more than 64 bits")
        return value
    if isinstance(value, Mapping):
        if not all(isinstance(key, (str, int)) and not isinstance(key, bool) for key in value):
            raise CanonicalError("map keys are text or integers")
        items = [(cbor2.dumps(key), key, item) for key, item in value.items()]
        return {key: _ordered(item, depth - 1) for _, key, item in sorted(items, key=_first)}
    if isinstance(value, (list, tuple)):
        return [_ordered(item, depth - 1) for item in value]
    raise CanonicalError(f"{type(value).__name__} has no place in a manifest")


def _first(item: tuple[bytes, object, object]) -> bytes:
    return item[0]
