"""CBOR of any bytes: a CborError, or the value that cbor2 reads; what is written again reads the same."""

from __future__ import annotations

import math
from typing import Any

import cbor2
from mutate import main, must, typed

from protocol import cbor


def same(left: Any, right: Any) -> bool:
    """Equal in value and type, as cbor2 and protocol.cbor must agree; NaN equals NaN."""
    if type(left) is not type(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, float) and math.isnan(left):
        return math.isnan(right)
    return bool(left == right)


def has_floats(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(has_floats, value.values()))
    return any(map(has_floats, value)) if isinstance(value, list) else isinstance(value, float)


def run(data: bytes) -> None:
    for floats in (True, False):
        for canonical in (False, True):
            found = typed(
                lambda **how: [cbor.decode(data, **how)], canonical=canonical, floats=floats
            )
            if found is None:
                continue
            (value,) = found
            must(same(value, cbor2.loads(data)), "cbor2 reads another value")
            must(floats or not has_floats(value), "a float that was not allowed")
            if has_floats(value):
                continue
            again = cbor.encode(value)
            must(again == data if canonical else len(again) <= len(data), "another encoding")
            must(same(cbor.decode(again, canonical=True), value), "another value")


if __name__ == "__main__":
    main(run)
