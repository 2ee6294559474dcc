"""Writes plan images for tests, straight from device/engine/plan.h (the compiler has its own)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np

MAGIC = 0x50434154
HEADER = struct.Struct("<IHHIIIHHIII7I")
IO = struct.Struct("<II")
SEGMENT, LINK, STEP = struct.Struct("<HHIHHI"), struct.Struct("<BBH"), struct.Struct("<BB")
SLIDE, OUTSIDE, FED = 0x80, 0xFF, 2
FORMATS = {
    "kind": "B", "layout": "B", "flags": "H", "wcet_us": "I",
    "in0": "I", "in1": "I", "out": "I", "scratch": "I",
    "in_h": "H", "in_w": "H", "in_c": "H", "out_h": "H", "out_w": "H", "out_c": "H",
    "k_h": "H", "k_w": "H", "stride_h": "H", "stride_w": "H", "dil_h": "H", "dil_w": "H",
    "pad_t": "h", "pad_l": "h", "row_begin": "H", "row_end": "H",
    "in0_add": "i", "in1_add": "i", "out_add": "i", "act_min": "i", "act_max": "i",
    "weights": "I", "bias": "I", "mult": "I", "shift": "I",
    "mult0": "i", "shift0": "i", "mult1": "i", "shift1": "i", "mult2": "i", "shift2": "i",
    "scale": "f", "param0": "i", "count": "I",
}  # fmt: skip
RECORD = struct.Struct("<" + "".join(FORMATS.values()))
OFFSETS = {
    name: struct.calcsize("<" + "".join(list(FORMATS.values())[:index]))
    for index, name in enumerate(FORMATS)
}
assert HEADER.size == 64 and RECORD.size == 128


class Kind(IntEnum):
    """enum tac_op_kind."""

    QUANTIZE = 1
    DEQUANTIZE = 2
    CONV2D = 3
    DWCONV2D = 4
    LINEAR = 5
    ADD = 6
    MAXPOOL2D = 7
    AVGPOOL2D = 8
    CLAMP = 9
    SOFTMAX = 10
    COPY = 11
    LUT = 12
    PAD = 13
    STRIDED = 14
    MUL = 15
    DIV = 16
    MINIMUM = 17
    MAXIMUM = 18
    MATMUL = 19
    TCONV2D = 20
    CONST = 21
    F32_BINARY = 22
    F32_UNARY = 23
    F32_CLAMP = 24
    F32_CONV2D = 25
    F32_TCONV2D = 26
    F32_MATMUL = 27
    F32_MEAN = 28
    F32_SOFTMAX = 29


def op(kind: Kind, **fields: Any) -> dict[str, Any]:
    """An op record as a dict. Arrays in weights, bias, mult, shift become constants of the image."""
    unknown = set(fields) - set(FORMATS)
    assert not unknown, f"no such field: {unknown}"
    return {"kind": kind, "wcet_us": 1, **fields}


def align(size: int) -> int:
    return -(-size // 16) * 16


@dataclass
class Segment:
    """Ops that run row by row. links: (in0_from, in1_from, ring_rows) of each; steps: (what, rows)."""

    first_op: int
    links: list[tuple[int, int, int]]
    steps: list[tuple[int, int]]
    head: dict[str, int] = field(default_factory=dict)  # overrides by name, for bad images

    @property
    def run_steps(self) -> int:
        return sum(what < SLIDE for what, _ in self.steps)


@dataclass
class Plan:
    """A plan image under construction; change any attribute before image()."""

    ops: list[dict[str, Any]]
    inputs: Sequence[tuple[int, int]]  # (arena offset, bytes)
    outputs: Sequence[tuple[int, int]]
    arena_bytes: int
    header: dict[str, int] = field(default_factory=dict)  # overrides by name, for bad images
    segments: list[Segment] = field(default_factory=list)

    def _segments(self, at: int) -> tuple[int, bytes]:
        """Offset of the table (0 if there is none), and all bytes of the segments."""
        if not self.segments:
            return 0, b""
        tables, body = b"", b""
        end = at + SEGMENT.size * len(self.segments)
        for segment in self.segments:
            links = b"".join(LINK.pack(*link) for link in segment.links)
            steps = b"".join(STEP.pack(*step) for step in segment.steps)
            head = {
                "first_op": segment.first_op,
                "op_count": len(segment.links),
                "steps": end + len(body) + len(links),
                "step_count": len(segment.steps),
                "run_steps": segment.run_steps,
                "links": end + len(body),
            } | segment.head
            tables += SEGMENT.pack(*head.values())
            body += (links + steps).ljust(-(-len(links + steps) // 4) * 4, b"\0")
        data = tables + body
        return at, data.ljust(align(len(data)), b"\0")

    def image(self) -> bytes:
        io = [*self.inputs, *self.outputs]
        io_offset = HEADER.size
        ops_offset = align(io_offset + IO.size * len(io))
        constants = b""
        constants_offset = ops_offset + RECORD.size * len(self.ops)
        placed: dict[int, int] = {}  # id of the array -> offset, so that tiles share
        records = b""
        for fields in self.ops:
            row = dict.fromkeys(FORMATS, 0) | fields
            for name, value in row.items():
                if isinstance(value, np.ndarray):
                    if id(value) not in placed:
                        placed[id(value)] = constants_offset + len(constants)
                        data = value.tobytes()
                        constants += data.ljust(align(len(data)), b"\0")
                    row[name] = placed[id(value)]
            records += RECORD.pack(*row.values())
        kernels = 0
        for fields in self.ops:
            kernels |= 1 << fields["kind"]
        segments_offset, segments = self._segments(constants_offset + len(constants))
        head: dict[str, int] = {
            "magic": MAGIC,
            "version": 1,
            "op_count": len(self.ops),
            "image_bytes": constants_offset + len(constants) + len(segments),
            "ops_offset": ops_offset,
            "io_offset": io_offset,
            "input_count": len(self.inputs),
            "output_count": len(self.outputs),
            "arena_bytes": self.arena_bytes,
            "kernels": kernels,
            "target": 0,
            "segments_offset": segments_offset,
            "segment_count": len(self.segments),
            "mandatory_ops": 0,
        } | self.header
        table = b"".join(IO.pack(*entry) for entry in io)
        return (
            HEADER.pack(*head.values(), *[0] * 4)
            + table.ljust(ops_offset - io_offset, b"\0")
            + records
            + constants
            + segments
        )


def single(
    fields: dict[str, Any],
    in_bytes: Sequence[int],
    out_bytes: int,
    *,
    in_place: bool = False,
    rows: Sequence[int] | None = None,
) -> Plan:
    """A plan of one operator: inputs, then the output (or over input 0 when in_place).

    rows: ends of row tiles; one record each.
    """
    offsets, end = [], 0
    for size in in_bytes:
        offsets.append(end)
        end += align(size)
    out = 0 if in_place else end
    end = max(end, out + align(out_bytes))
    placed = fields | {"out": out} | dict(zip(("in0", "in1"), offsets, strict=False))
    ops = [placed]
    if rows is not None:
        begins = [0, *rows[:-1]]
        ops = [
            placed | {"row_begin": begin, "row_end": stop}
            for begin, stop in zip(begins, rows, strict=True)
        ]
    return Plan(ops, list(zip(offsets, in_bytes, strict=True)), [(out, out_bytes)], end)
