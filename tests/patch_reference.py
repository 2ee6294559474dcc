"""A decoder of patch ops written from protocol/SPEC.md, for golden vectors and tests; and the C one, called from here.

Shares no code with host/package/delta.py or device/store/patch.c.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, byref, c_int, c_uint8, c_uint32
from functools import cache

from store_library import DEVICE, build_library


class PatchError(Exception):
    """The ops break a rule, or leave the base."""


def decode(ops: bytes, base: bytes, offset: int) -> bytes:
    """What the ops of one message make that begins at `offset` of the result. Raises PatchError."""
    out = bytearray()
    at, cursor = 0, offset
    while at < len(ops):
        value, at = _head(ops, at)
        kind, count = value & 3, value >> 2
        if kind == 3:
            cursor += -(count + 1) // 2 if count % 2 else count // 2
            if not 0 <= cursor <= len(base):
                raise PatchError("seek")
            continue
        if count == 0:
            raise PatchError("empty op")
        if kind == 0:
            part = ops[at : at + count]
            at += count
        else:
            part = base[cursor : cursor + count]
            if cursor + count > len(base):
                raise PatchError("beyond the base")
            if kind == 2:
                part, at = _changed(ops, at, part)
        if len(part) != count:
            raise PatchError("literal cut short")
        out += part
        cursor += count
    return bytes(out)


def _head(ops: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(ops[at : at + 4]):
        value |= (byte & 127) << 7 * index
        if byte < 128:
            if byte == 0 and index:
                raise PatchError("not the shortest head")
            return value, at + index + 1
    raise PatchError("head")


def _changed(ops: bytes, at: int, part: bytes) -> tuple[bytes, int]:
    parameters = ops[at : at + 1]
    if not parameters or parameters[0] > 0x7F:
        raise PatchError("parameters")
    bits = iter("".join(f"{byte:08b}" for byte in ops[at + 1 :]))
    used = 0

    def rice(low_bits: int, most: int) -> int:
        nonlocal used
        value = 0
        try:
            while next(bits) == "1":
                value += 1
                used += 1
            used += 1
            for _ in range(low_bits):
                value = 2 * value + (next(bits) == "1")
                used += 1
        except StopIteration:
            raise PatchError("bits") from None
        if value > most:
            raise PatchError("too large")
        return value

    out = bytearray(part)
    place = 0
    while place < len(part):
        place += rice(parameters[0] & 15, len(part) - place - 1)
        size = rice(parameters[0] >> 4, 255)
        change = -(size + 1) // 2 if size % 2 else size // 2 + 1
        out[place] = (out[place] + change) % 256
        place += 1
    if "1" in "".join(next(bits, "") for _ in range(-used % 8)):
        raise PatchError("padding")
    return bytes(out), at + 1 + (used + 7) // 8


class _State(Structure):
    _fields_ = [
        ("at", c_uint32),
        ("cursor", c_uint32),
        ("left", c_uint32),
        ("same", c_uint32),
        ("change", c_uint8),
        ("bit", c_uint8),
        ("kind", c_uint8),
        ("same_bits", c_uint8),
        ("change_bits", c_uint8),
    ]


class _Source(Structure):
    _fields_ = [
        ("ops", ctypes.c_char_p),
        ("base", ctypes.c_char_p),
        ("ops_bytes", c_uint32),
        ("base_bytes", c_uint32),
    ]


@cache
def _library() -> ctypes.CDLL:
    library = build_library("patch", [DEVICE / "store" / "patch.c"], [], [])
    library.tac_patch_start.argtypes = [POINTER(_State), c_uint32]
    library.tac_patch_next.argtypes = [POINTER(_State), POINTER(_Source), ctypes.c_void_p, c_uint32]
    library.tac_patch_next.restype = c_int
    return library


def measure_in_c(ops: bytes, base: bytes, offset: int, most: int = 1 << 26) -> int:
    """How many bytes the ops make as tac_patch_next() says without room. Raises PatchError."""
    state, source = _State(), _Source(ops, base, len(ops), len(base))
    _library().tac_patch_start(byref(state), offset)
    made = int(_library().tac_patch_next(byref(state), byref(source), None, most))
    if made < 0:
        raise PatchError(str(made))
    return made


def decode_in_c(ops: bytes, base: bytes, offset: int, room: int = 64) -> bytes:
    """decode() by device/store/patch.c, in pieces of `room` bytes. Raises PatchError."""
    state, source = _State(), _Source(ops, base, len(ops), len(base))
    _library().tac_patch_start(byref(state), offset)
    out = bytearray()
    while True:
        buffer = ctypes.create_string_buffer(room)
        made = int(_library().tac_patch_next(byref(state), byref(source), buffer, room))
        if made < 0:
            raise PatchError(str(made))
        out += buffer.raw[:made]
        if made < room:
            return bytes(out)
