"""Operators that the device runs as several records (images of a batch, parts), and segments."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from host.compile.graph import Constants, Kind, Op, Tensor
from host.compile.plan.check import Step
from host.compile.plan.check_rows import RowSteps
from host.compile.plan.rows import ELEMENTWISE, FED, fed, fed_scratch
from host.compile.plan.steps import Segment

_SLIDE = 0x80  # TAC_STEP_SLIDE
_OUTSIDE = 0xFF  # TAC_LINK_OUTSIDE


def split_records(ops: Sequence[Op]) -> tuple[Op, ...]:
    """The ops with one Op for each record; names, inputs and outputs stay."""
    return tuple(record for op in ops for record in _records(op))


def _records(op: Op) -> list[Op]:
    if op.parts:
        return [
            replace(
                op,
                inputs=(op.inputs[part.input],),
                fields=replace(op.fields, count=part.count),
                constants=Constants(weights=part.table),
                parts=(),
                input_offsets=(part.input_offset,),
                output_offset=part.output_offset,
            )
            for part in op.parts
        ]
    if op.batch == 1:
        return [op]
    strides, out = image_bytes(op)
    return [
        replace(
            op,
            batch=1,
            input_offsets=tuple(stride * image for stride in strides),
            output_offset=out * image,
        )
        for image in range(op.batch)
    ]


@dataclass(frozen=True, slots=True)
class SegmentRecord:
    """A tac_segment_t with its lists, little-endian, as they lie in the image."""

    first_op: int
    op_count: int
    run_steps: int
    steps: bytes
    links: bytes


def segment_ops(segment: Segment) -> tuple[Op, ...]:
    """The records of a segment's ops."""
    found = []
    for op, shape in zip(segment.ops, segment.rows, strict=True):
        if fed(op):
            fields = replace(op.fields, flags=FED)
            op = replace(op, fields=fields, scratch_bytes=fed_scratch(op))
        elif op.kind in ELEMENTWISE:
            op = replace(op, fields=replace(op.fields, in_c=0, out_h=shape.count))
        found.append(op)
    return tuple(found)


def segment_record(segment: Segment, first_op: int) -> SegmentRecord:
    """Steps and links of a segment whose first record has this number."""
    steps = bytearray()
    for run in segment.runs:
        steps += bytes((run.op, run.rows))
        for ring, rows in run.slides:
            steps += bytes((ring | _SLIDE, rows))
    links = bytearray()
    for sources, ring_rows in zip(segment.sources, segment.ring_rows, strict=True):
        origins = [source if source >= 0 else _OUTSIDE for source in (*sources, -1)[:2]]
        links += struct.pack("<BBH", *origins, ring_rows)
    return SegmentRecord(first_op, len(segment.ops), len(segment.runs), bytes(steps), bytes(links))


def checked_steps(nodes: Sequence[Op | Segment]) -> list[Step]:
    """What the checker needs to know of the records of a plan."""
    steps = []
    for node in nodes:
        if isinstance(node, Segment):
            record = segment_record(node, 0)
            rows = RowSteps(segment_ops(node), record.steps, record.links)
            steps.append(Step(node.inputs, node.output, rows=rows))
        else:
            scratch = node.scratch if node.scratch_bytes else None
            steps.append(Step(node.inputs, node.output, node, scratch))
    return steps


def moved_bytes(record: Op, tensors: Mapping[str, Tensor]) -> tuple[int, int]:
    """Bytes that one record reads (activations and constants, each once) and writes."""
    constants = record.constants
    fixed = sum(
        len(data) for data in (constants.weights, constants.bias, constants.mult, constants.shift)
    )
    if record.kind is Kind.STRIDED:
        moved = record.fields.count * record.fields.param0
        return fixed + moved, moved
    if record.input_offsets:  # an image of a batch
        inputs, output = image_bytes(record)
        return fixed + sum(inputs), output
    reads = sum(tensors[name].size_bytes for name in record.inputs)
    return fixed + reads, tensors[record.output].size_bytes


def image_bytes(op: Op) -> tuple[tuple[int, ...], int]:
    """Bytes from one image to the next: of each input, and of the output."""
    f = op.fields
    size = 4 if op.kind >= Kind.F32_BINARY else 1
    inputs, output = [f.in_h * f.in_w * f.in_c], f.out_h * f.out_w * f.out_c
    if op.kind in (Kind.MATMUL, Kind.F32_MATMUL):
        inputs, output = [f.in_h * f.in_c, f.in_c * f.out_c], f.out_h * f.out_c
    return tuple(size * elements for elements in inputs), size * output
