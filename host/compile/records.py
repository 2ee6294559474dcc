"""Operators that the device runs as several records: one for each image of a batch, or part."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from host.compile.graph import Constants, Kind, Op, Tensor


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
