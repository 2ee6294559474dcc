"""Deltas: what to send to a board that has one package so that it makes another out of it.

Each message is complete in itself and begins at a place of the result, so that after any interruption the rest is
encoded anew from where the board is. Section "Patch ops" of protocol/SPEC.md.
"""

import hashlib
from bisect import bisect_right
from dataclasses import dataclass, field

from host.package import delta_code
from host.package.delta_align import align
from host.package.delta_code import COPY, DIFF, LITERAL, Op

BASE_NAME_BYTES = 8  # of its SHA-256: what comes out is checked as a whole
# A board makes at most so many bytes before it answers: a second or two of flash work, and progress is seen.
RESULT_BYTES_MAX = 1 << 16
PART_BYTES_MIN = 16  # room that any op, or a first part of it, fits into
# Header, CBOR around the data, and framing, of a request and its reply; what the first one says besides.
_EXCHANGE_BYTES = 56
_FIRST_BYTES = 72
_WORTH = 0.75  # of the whole


@dataclass(frozen=True, slots=True)
class Delta:
    """The way from one package file to another."""

    base: bytes = field(repr=False)
    result: bytes = field(repr=False)
    ops: tuple[Op, ...] = field(repr=False)

    @property
    def base_name(self) -> bytes:
        """Of the file that the board must have: the first bytes of its SHA-256."""
        return hashlib.sha256(self.base).digest()[:BASE_NAME_BYTES]

    @property
    def result_sha256(self) -> bytes:
        """Of the file that comes out."""
        return hashlib.sha256(self.result).digest()

    def part(self, offset: int, room: int) -> tuple[bytes, int]:
        """Ops of at most `room` >= PART_BYTES_MIN bytes that go on at `offset` of the result, and where they end."""
        out = bytearray()
        at, cursor = offset, offset
        limit = min(len(self.result), offset + RESULT_BYTES_MAX)
        first = bisect_right(self.ops, offset, key=lambda op: op.end)
        for op in self.ops[first:]:
            place = op.base + at - op.start
            move = b"" if op.kind == LITERAL or place == cursor else delta_code.seek(place - cursor)
            code, end = self._code(op, at, min(op.end, limit), room - len(out) - len(move))
            if end == at:
                break
            out += move + code
            cursor = end - at + (cursor if op.kind == LITERAL else place)
            at = end
            if end < op.end:
                break
        return bytes(out), at

    def sent_bytes(self, message_room: int) -> int:
        """About what goes over the line both ways, framing apart, when each message has room for so many bytes."""
        total, at = _FIRST_BYTES, 0
        while at < len(self.result):
            code, at = self.part(at, message_room - (_FIRST_BYTES if at == 0 else 0))
            total += len(code) + _EXCHANGE_BYTES
        return total

    def _code(self, op: Op, start: int, end: int, room: int) -> tuple[bytes, int]:
        """As much of one op as fits, and where in the result it ends; `start` when nothing does."""
        if end <= start:
            return b"", start
        if op.kind == COPY:
            code = delta_code.head(COPY, end - start)
            return (code, end) if len(code) <= room else (b"", start)
        if op.kind == LITERAL:
            return self._literal(start, end, room)
        place = op.base + start - op.start
        delta = delta_code.changes(self.base, self.result, start, end, place)
        most = 8 * (room - len(delta_code.head(DIFF, end - start)) - 1)
        bits, covered = delta_code.diff_bits(delta, op.same_bits, op.change_bits, most)
        if not covered:  # a change that is seldom has a code that is long
            return self._literal(start, end, room)
        parameters = bytes([op.change_bits << 4 | op.same_bits])
        packed = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8))
        return delta_code.head(DIFF, covered) + parameters + packed, start + covered

    def _literal(self, start: int, end: int, room: int) -> tuple[bytes, int]:
        size = min(end - start, room - len(delta_code.head(LITERAL, end - start)))
        if size <= 0:
            return b"", start
        return delta_code.head(LITERAL, size) + self.result[start : start + size], start + size


def make(base: bytes, result: bytes) -> Delta:
    """The best way found from any bytes to any others."""
    ops = delta_code.best_ops(base, result, align(base, result))
    return Delta(base, result, tuple(ops))


def plan(base: bytes, result: bytes, message_room: int) -> Delta | None:
    """The delta, or None when sending all of `result` costs little more: of that, more than one message is under way.

    message_room: bytes of a package that fit into one message of the board.
    """
    delta = make(base, result)
    whole = len(result) + -(-len(result) // message_room) * _EXCHANGE_BYTES + _FIRST_BYTES // 2
    return delta if delta.sent_bytes(message_room) < _WORTH * whole else None
