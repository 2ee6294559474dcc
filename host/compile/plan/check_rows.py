"""The independent judge of a segment: runs its step list on an arena of labels.

Every byte of the arena carries the label of the tensor byte that lies there. Each step of the list,
as it goes into the image, is carried out as device/engine/segment.c does: what it reads must carry
the right labels, what it writes gets new ones, scratch and slides included. Inside a step the
kernel's own order decides (walk.py). Shares nothing with the planner.
"""

import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from host.compile.graph import Kind, Op
from host.compile.plan.walk import survives

_FED = 2  # TAC_OP_FED
_OUTSIDE = 0xFF  # TAC_LINK_OUTSIDE
_SLIDE = 0x80  # TAC_STEP_SLIDE
_ELEMENTWISE = (Kind.ADD, Kind.MUL, Kind.CLAMP, Kind.LUT)
_NOTHING = -1  # the label of bytes that hold nothing of use


class RowError(Exception):
    """A step list that would compute from wrong bytes, or not all of the output."""


@dataclass(frozen=True, slots=True)
class RowSteps:
    """The records of a segment's ops, its list of (what, rows) bytes and its links of 4 bytes."""

    ops: tuple[Op, ...]
    steps: bytes
    links: bytes

    def link(self, index: int) -> tuple[int, int, int]:
        """Ops that make in0 and in1, or 255, and the rows of the ring of the output."""
        first, second, ring = struct.unpack_from("<BBH", self.links, 4 * index)
        return int(first), int(second), int(ring)

    def inside(self) -> dict[str, int]:
        """Bytes of each ring and each scratch, by name."""
        found = {}
        for index, op in enumerate(self.ops[:-1]):
            f, ring = op.fields, self.link(index)[2]
            found[op.output] = ring * _row_bytes(op) if ring else f.out_h * _row_bytes(op)
        for op in self.ops:
            size = 4 * op.fields.in_c if op.fields.flags & _FED else op.scratch_bytes
            if size:
                found[op.scratch] = size
        return found

    def outside(self) -> tuple[str, ...]:
        """Names of the tensors that no op of the segment makes."""
        names = (
            name
            for index, op in enumerate(self.ops)
            for name, source in zip(op.inputs, self.link(index), strict=False)
            if source == _OUTSIDE
        )
        return tuple(dict.fromkeys(names))


def _row_bytes(op: Op) -> int:
    """Bytes of an output row."""
    f = op.fields
    return f.count // f.out_h if op.kind in _ELEMENTWISE else f.out_w * f.out_c


def check_rows(
    segment: RowSteps,
    at: Mapping[str, int],
    sizes: Mapping[str, int],
    kept: Collection[str],
    arena_bytes: int,
) -> None:
    """Raise RowError unless the steps compute the whole output from right bytes only.

    at: arena offsets by name. sizes: bytes of the tensors from outside and of the output.
    kept: inputs that must be whole afterwards.
    """
    _Run(segment, at, sizes, arena_bytes).run(kept)


class _Run:
    """The arena of labels and the state of all rings."""

    def __init__(
        self, segment: RowSteps, at: Mapping[str, int], sizes: Mapping[str, int], arena_bytes: int
    ) -> None:
        self.segment, self.at, self.sizes = segment, at, sizes
        self.arena = np.full(arena_bytes, _NOTHING, np.int64)
        self.next, self.base = [0] * len(segment.ops), [0] * len(segment.ops)
        self.safe: dict[tuple[object, ...], bool] = {}
        names = [*segment.outside(), *(op.output for op in segment.ops)]
        self.label = {name: (index + 1) << 40 for index, name in enumerate(names)}
        for name in segment.outside():
            self._write(at[name], self.label[name], sizes[name])

    def run(self, kept: Collection[str]) -> None:
        """Carry out all steps."""
        what = self.segment.steps
        for place in range(0, len(what), 2):
            index, rows = what[place], what[place + 1]
            if index & _SLIDE:
                self._slide(index & ~_SLIDE, rows)
            else:
                self._step(index, rows)
        last = self.segment.ops[-1]
        if self.next[-1] != (last.fields.k_h if last.fields.flags & _FED else last.fields.out_h):
            raise RowError(f"{last.name} does not make all its rows")
        for name in (last.output, *kept):
            self._read(name, self.at[name], 0, self.sizes[name], "at the end")

    def _write(self, at: int, label: int, size: int) -> None:
        if at < 0 or at + size > self.arena.size:
            raise RowError("a write ends beyond the arena")
        self.arena[at : at + size] = np.arange(label, label + size) if label >= 0 else _NOTHING

    def _read(self, name: str, at: int, begin: int, size: int, who: str) -> None:
        label = self.label[name] + begin
        if at < 0 or (self.arena[at : at + size] != np.arange(label, label + size)).any():
            raise RowError(f"{name} is overwritten before it is read, {who}")

    def _slide(self, index: int, rows: int) -> None:
        op = self.segment.ops[index]
        held, size = self.next[index] - self.base[index], _row_bytes(op)
        if self.segment.link(index)[2] == 0 or not 0 < rows <= held:
            raise RowError(f"the ring of {op.name} has no {rows} rows to forget")
        start, end = self.at[op.output], self.at[op.output] + held * size
        moved = self.arena[start + rows * size : end].copy()
        self.arena[start : start + moved.size] = moved
        self.base[index] += rows

    def _step(self, index: int, rows: int) -> None:
        op = self.segment.ops[index]
        f, first = op.fields, self.next[index]
        fed = bool(f.flags & _FED)
        if not 0 < rows <= (f.k_h if fed else f.out_h) - first:
            raise RowError(f"{op.name} has no {rows} more rows")
        ring = self.segment.link(index)[2]
        if ring and first + rows - self.base[index] > ring:
            raise RowError(f"the ring of {op.name} has no room for {rows} more rows")
        begin, end, above = first, first + rows, 0
        if op.kind not in _ELEMENTWISE and not fed:
            top = first * f.stride_h - f.pad_t
            bottom = (first + rows - 1) * f.stride_h - f.pad_t + (f.k_h - 1) * f.dil_h + 1
            begin, end = min(max(top, 0), f.in_h), max(min(bottom, f.in_h), 0)
            above = begin - top
        if begin >= end:
            raise RowError(f"a step of {op.name} lies beside its input")
        part, out_bytes = self._part(op, rows, end - begin, above)
        out = self.at[op.output] + (first - self.base[index]) * _row_bytes(op) * (not fed)
        reads = []
        for which, (name, source) in enumerate(
            zip(op.inputs, self.segment.link(index), strict=False)
        ):
            size = f.count // f.out_h if op.kind in _ELEMENTWISE else f.in_w * f.in_c
            base = 0
            if source != _OUTSIDE:
                base = self.base[source]
                if source >= index or self.segment.ops[source].output != name:
                    raise RowError(f"{op.name} is linked to the wrong op")
                if begin < base or end > self.next[source]:
                    raise RowError(f"{op.name} needs rows of {name} that are not there")
            start = self.at[name] + (begin - base) * size
            self._read(name, start, begin * size, (end - begin) * size, f"by {op.name}")
            reads.append((start, (end - begin) * size))
            if not fed and not self._survives(part, which, reads[-1], (out, out_bytes)):
                raise RowError(f"{op.name} overwrites {name} before it has read it")
        self._scratch(op, first, [*reads, (out, out_bytes)])
        self.next[index] += rows
        if not fed or self.next[index] == f.k_h:
            done = 0 if fed else first * _row_bytes(op)
            self._write(out, self.label[op.output] + done, out_bytes)

    def _part(self, op: Op, rows: int, in_rows: int, above: int) -> tuple[Op, int]:
        """The record of one step and the bytes that it writes."""
        f = op.fields
        if op.kind in _ELEMENTWISE:
            count = rows * _row_bytes(op)
            return replace(op, fields=replace(f, count=count, in_c=0, out_h=0)), count
        if f.flags & _FED:
            return op, f.out_c
        part = replace(f, in_h=in_rows, pad_t=above, out_h=rows, row_begin=0, row_end=rows)
        return replace(op, fields=part), rows * _row_bytes(op)

    def _survives(
        self, part: Op, which: int, read: tuple[int, int], write: tuple[int, int]
    ) -> bool:
        (start, size), (out, out_bytes) = read, write
        if start + size <= out or out + out_bytes <= start:
            return True
        f = part.fields
        key = part.name, which, f.in_h, f.pad_t, f.out_h, f.count, start - out
        if key not in self.safe:
            self.safe[key] = survives(part, which, size, out_bytes, start - out)
        return self.safe[key]

    def _scratch(self, op: Op, first: int, used: list[tuple[int, int]]) -> None:
        fed = bool(op.fields.flags & _FED)
        size = 4 * op.fields.in_c if fed else op.scratch_bytes
        if size == 0:
            return
        at = self.at[op.scratch]
        for start, count in used:
            if start < at + size and at < start + count:
                raise RowError(f"the scratch of {op.name} lies in its input or output")
        sums = -2 - self.segment.ops.index(op)  # a label that lasts from step to step
        if fed and first > 0 and (self.arena[at : at + size] != sums).any():
            raise RowError(f"the sums of {op.name} are overwritten between its steps")
        if at < 0 or at + size > self.arena.size:
            raise RowError(f"the scratch of {op.name} ends beyond the arena")
        self.arena[at : at + size] = sums if fed else _NOTHING
