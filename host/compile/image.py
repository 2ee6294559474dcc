"""Writes the plan image of device/engine/plan.h: header, I/O table, op records, constants, segments.

Little-endian, every table 16-byte aligned; equal inputs give equal bytes.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from host.compile.graph import Fields, Op
from host.compile.records import SegmentRecord

MAGIC = 0x50434154  # "TACP"
VERSION = 1
OPS_MAX = 1024
HEADER = struct.Struct("<IHHIIIHHIIIII5I")
IO = struct.Struct("<II")
RECORD = struct.Struct("<BBHIIIII6H2H2H2H2h2H3i2i4I6ifiI")
SEGMENT = struct.Struct("<HHIHHI")
assert HEADER.size == 64
assert RECORD.size == 128
_ALIGN = 16


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a tensor lies in the arena, bytes."""

    offset: int
    size_bytes: int


class _Pool:
    """The constants at the end of the image; equal bytes are stored once."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.content = bytearray()
        self.known: dict[bytes, int] = {}

    def add(self, data: bytes) -> int:
        """Image offset of `data`; 0 for none."""
        if not data:
            return 0
        if data not in self.known:
            self.known[data] = self.start + len(self.content)
            self.content += data + bytes(-len(data) % _ALIGN)
        return self.known[data]


def write_image(
    ops: Sequence[Op],
    wcet_us: Sequence[int],
    places: Mapping[str, Placed],
    inputs: Sequence[str],
    outputs: Sequence[str],
    arena_bytes: int,
    segments: Sequence[SegmentRecord] = (),
    mandatory_ops: int = 0,
) -> bytes:
    """The image of ordered ops, one declared time each, with tensors at `places`.

    segments: ascending; a ring has the place of its tensor. mandatory_ops: records that make output 1, the
    early answer; 0 = none.
    """
    assert 0 < len(ops) <= OPS_MAX
    table = b"".join(
        IO.pack(places[name].offset, places[name].size_bytes) for name in (*inputs, *outputs)
    )
    table += bytes(-len(table) % _ALIGN)
    ops_offset = HEADER.size + len(table)
    pool = _Pool(ops_offset + RECORD.size * len(ops))
    records = b"".join(_record(op, us, places, pool) for op, us in zip(ops, wcet_us, strict=True))
    lists = [(pool.add(one.steps), pool.add(one.links)) for one in segments]
    segments_offset = pool.add(
        b"".join(
            SEGMENT.pack(
                one.first_op, one.op_count, steps, len(one.steps) // 2, one.run_steps, links
            )
            for one, (steps, links) in zip(segments, lists, strict=True)
        )
    )
    kernels = 0
    for op in ops:
        kernels |= 1 << op.kind
    header = HEADER.pack(
        MAGIC,
        VERSION,
        len(ops),
        pool.start + len(pool.content),
        ops_offset,
        HEADER.size,
        len(inputs),
        len(outputs),
        arena_bytes,
        kernels,
        max(op.layout for op in ops),
        segments_offset,
        len(segments),
        mandatory_ops,
        *[0] * 4,
    )
    return header + table + records + bytes(pool.content)


def _record(op: Op, wcet_us: int, places: Mapping[str, Placed], pool: _Pool) -> bytes:
    f: Fields = op.fields
    reads = [places[name].offset for name in op.inputs]
    for index, offset in enumerate(op.input_offsets):
        reads[index] += offset
    reads += [0] * (2 - len(reads))
    return RECORD.pack(
        op.kind,
        op.layout,
        f.flags,
        wcet_us,
        *reads,
        places[op.output].offset + op.output_offset,
        places[op.scratch].offset if op.scratch_bytes else 0,
        *(f.in_h, f.in_w, f.in_c, f.out_h, f.out_w, f.out_c),
        *(f.k_h, f.k_w, f.stride_h, f.stride_w, f.dil_h, f.dil_w),
        *(f.pad_t, f.pad_l, f.row_begin, f.row_end),
        *(f.in0_add, f.in1_add, f.out_add, f.act_min, f.act_max),
        pool.add(op.constants.weights),
        pool.add(op.constants.bias),
        pool.add(op.constants.mult),
        pool.add(op.constants.shift),
        *(f.mult0, f.shift0, f.mult1, f.shift1, f.mult2, f.shift2),
        f.scale,
        f.param0,
        f.count,
    )
