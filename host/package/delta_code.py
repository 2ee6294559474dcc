"""Patch ops: the shortest way to say aligned pieces, and their bytes (protocol/SPEC.md, section "Patch ops")."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from host.package.delta_align import Piece

LITERAL, COPY, DIFF, SEEK = range(4)
SAME_BITS_MAX, CHANGE_BITS_MAX = 15, 7

_CHANGED = re.compile(rb"[^\0]+")
_HEAD_BITS = 16  # of an op of middle length
_DIFF_BITS = 28  # head, parameters, and half of the last byte
# Parameters that are tried to find out where an op should end; then the best ones for it are chosen.
_MODES = [(same, change) for same in (0, 2, 4, 6, 8) for change in (0, 2, 4, 6)]


@dataclass(frozen=True, slots=True)
class Op:
    """Makes bytes `start` up to `end` of the result. `base`: where its bytes of the base begin; a LITERAL has none.

    `same_bits` and `change_bits` are the Rice parameters of a DIFF, whose last byte is a changed one.
    """

    kind: int
    start: int
    end: int
    base: int = 0
    same_bits: int = 0
    change_bits: int = 0


def best_ops(base: bytes, result: bytes, pieces: Sequence[Piece]) -> list[Op]:
    """The ops of all pieces, in order and without gaps."""
    ops: list[Op] = []
    for piece in pieces:
        if piece.base is None:
            ops.append(Op(LITERAL, piece.start, piece.end))
        else:
            ops += _ops_of(base, result, piece.start, piece.end, piece.base)
    return _merged(ops)


def changes(base: bytes, result: bytes, start: int, end: int, at: int) -> bytes:
    """What to add to each byte of the base from `at` on, modulo 256, for bytes `start` up to `end` of the result."""
    beside = base[at : at + end - start]
    return bytes([(new - old) & 255 for new, old in zip(result[start:end], beside, strict=True)])


def head(kind: int, value: int) -> bytes:
    """The head of an op: LEB128 of the value and the kind."""
    value = value << 2 | kind
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def seek(distance: int) -> bytes:
    """The op that moves the cursor in the base."""
    return head(SEEK, 2 * distance if distance >= 0 else -2 * distance - 1)


def diff_bits(delta: bytes, same_bits: int, change_bits: int, room: int) -> tuple[str, int]:
    """The bits of as many changed bytes as fit into `room` bits, and how many bytes of `delta` they cover."""
    parts: list[str] = []
    used = covered = 0
    for run in _CHANGED.finditer(delta):
        for at in range(*run.span()):
            code = _rice(at - covered, same_bits) + _rice(_SIZE[delta[at]], change_bits)
            used += len(code)
            if used > room:
                return "".join(parts), covered
            parts.append(code)
            covered = at + 1
    return "".join(parts), covered


def _rice(value: int, bits: int) -> str:
    """R. F. Rice, JPL publication 79-22: `value >> bits` ones, a zero, then the low bits."""
    low = value & (1 << bits) - 1
    return "1" * (value >> bits) + "0" + (f"{low:0{bits}b}" if bits else "")


def _size_code(change: int) -> int:
    """A change modulo 256 as a number that is small for small ones: 1, -1, 2, -2, ... are 0, 1, 2, 3, ..."""
    signed = change - 256 if change > 127 else change
    return 2 * signed - 2 if signed > 0 else -2 * signed - 1


_SIZE = (0, *map(_size_code, range(1, 256)))
# Bits of each change; what is longer counts as 255, which no DIFF survives.
_CHANGE_COSTS = [
    bytes(min(255, (_SIZE[change] >> bits) + 1 + bits) for change in range(256))
    for bits in range(CHANGE_BITS_MAX + 1)
]


def _copy_cost(size: int) -> int:
    return 8 * len(head(COPY, size)) if size else 0


def _ops_of(base: bytes, result: bytes, start: int, end: int, at: int) -> list[Op]:
    """The ops of one piece: the cheapest way through its runs of changed bytes (Viterbi over how each is said)."""
    delta = changes(base, result, start, end, at)
    runs = [run.span() for run in _CHANGED.finditer(delta)]
    ops: list[Op] = []
    done = 0
    for kind, first, last in _groups(delta, runs):
        if done < first:
            ops.append(Op(COPY, start + done, start + first, at + done))
        op = Op(kind, start + first, start + last, at + first)
        ops.append(_tuned(op, delta[first:last]) if kind == DIFF else op)
        done = last
    if done < len(delta):
        ops.append(Op(COPY, start + done, end, at + done))
    return ops


def _groups(delta: bytes, runs: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Runs that go into one op each: (LITERAL or DIFF, from, to) within the piece."""
    # Way 0 is LITERAL, way 1 + m is DIFF with _MODES[m].
    costs = [0] * (1 + len(_MODES))
    best, best_way = 0, 0
    back: list[list[tuple[int, int]]] = []  # for each run and way: the way before, and its start
    before = 0
    for first, last in runs:
        gap, size = first - before, last - first
        content = delta[first:last]
        by_bits = {bits: sum(content.translate(_CHANGE_COSTS[bits])) for bits in (0, 2, 4, 6)}
        copied = best + _copy_cost(gap)
        ways: list[tuple[int, int]] = []
        fresh: list[int] = []
        for way in range(len(costs)):
            if way == 0:
                inside, own, opening = 8 * gap, 8 * size, _HEAD_BITS
            else:
                same_bits, change_bits = _MODES[way - 1]
                inside = gap >> same_bits
                own = size * (1 + same_bits) + by_bits[change_bits]
                opening = _DIFF_BITS
            choices = [
                (copied + opening, best_way, first),  # a COPY, then a new op
                (best + opening + inside, best_way, before),  # a new op at once
            ]
            if back:
                choices.append((costs[way] + inside, way, -1))  # the op goes on
            cost, previous, begun = min(choices)
            fresh.append(cost + own)
            ways.append((previous, begun))
        back.append(ways)
        costs = fresh
        best = min(costs)
        best_way = costs.index(best)
        before = last
    groups: list[tuple[int, int, int]] = []
    way, end = best_way, 0
    for (_, last), ways in zip(reversed(runs), reversed(back), strict=True):
        end = end or last
        previous, begun = ways[way]
        if begun >= 0:
            groups.append((DIFF if way else LITERAL, begun, end))
            end = 0
        way = previous
    return groups[::-1]


def _tuned(op: Op, delta: bytes) -> Op:
    """The DIFF with its best parameters."""
    sizes = [len(gap) for gap in re.split(rb"[^\0]", delta)[:-1]]
    same_bits = min(
        range(SAME_BITS_MAX + 1), key=lambda bits: sum((size >> bits) + 1 + bits for size in sizes)
    )
    content = delta.replace(b"\0", b"")
    change_bits = min(
        range(CHANGE_BITS_MAX + 1), key=lambda bits: sum(content.translate(_CHANGE_COSTS[bits]))
    )
    return replace(op, same_bits=same_bits, change_bits=change_bits)


def _merged(ops: Sequence[Op]) -> list[Op]:
    """Neighbours that say the same kind of thing as one op."""
    merged: list[Op] = []
    for op in ops:
        last = merged[-1] if merged else op
        goes_on = op.kind == LITERAL or (
            op.kind == COPY and last.base - last.start == op.base - op.start
        )
        if merged and last.kind == op.kind and goes_on:
            merged[-1] = replace(last, end=op.end)
        else:
            merged.append(op)
    return merged
