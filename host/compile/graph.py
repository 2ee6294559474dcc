"""The compiler's graph: frozen values, one Op for one record of the plan image.

Activations are NHWC in memory, whatever logical order PyTorch shows; tensors are therefore just
named runs of bytes, and an Op carries its own geometry in the fields of `tac_op_t`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import IntEnum
from math import prod

DTYPE_BYTES = {"int8": 1, "float32": 4}


class Kind(IntEnum):
    """Operator kinds of engine/plan.h; those below 1 exist on the host only."""

    PERMUTE = -1  # reorders elements; `weights` holds int32 source positions; must fold away
    VIEW = 0  # the same bytes under another shape
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


@dataclass(frozen=True, slots=True)
class Tensor:
    """An activation: `elements` of `dtype` ("int8" or "float32")."""

    name: str
    elements: int
    dtype: str

    @property
    def size_bytes(self) -> int:
        """Bytes in the arena, unaligned."""
        return self.elements * DTYPE_BYTES[self.dtype]


@dataclass(frozen=True, slots=True)
class Fields:
    """The precomputed numbers of a record, named as in `tac_op_t`; unused ones stay zero."""

    in_h: int = 0
    in_w: int = 0
    in_c: int = 0
    out_h: int = 0
    out_w: int = 0
    out_c: int = 0
    k_h: int = 0
    k_w: int = 0
    stride_h: int = 0
    stride_w: int = 0
    dil_h: int = 0
    dil_w: int = 0
    pad_t: int = 0
    pad_l: int = 0
    row_begin: int = 0
    row_end: int = 0
    in0_add: int = 0
    in1_add: int = 0
    out_add: int = 0
    act_min: int = 0
    act_max: int = 0
    mult0: int = 0
    shift0: int = 0
    mult1: int = 0
    shift1: int = 0
    mult2: int = 0
    shift2: int = 0
    scale: float = 0.0
    param0: int = 0
    count: int = 0
    flags: int = 0


@dataclass(frozen=True, slots=True)
class Constants:
    """Constant bytes of an op, as they lie in the image: weights int8, tables int32."""

    weights: bytes = b""
    bias: bytes = b""
    mult: bytes = b""
    shift: bytes = b""


@dataclass(frozen=True, slots=True)
class Op:
    """One operator. inputs and output are tensor names; source is the model's line."""

    name: str
    kind: Kind
    inputs: tuple[str, ...]
    output: str
    source: str = ""
    fields: Fields = field(default_factory=Fields)
    constants: Constants = field(default_factory=Constants)

    @property
    def units(self) -> int:
        """MACs of conv2d, dwconv2d and linear; elements read by pools; else elements."""
        f = self.fields
        taps = f.k_h * f.k_w
        outputs = f.out_h * f.out_w * f.out_c
        match self.kind:
            case Kind.CONV2D:
                return outputs * taps * (f.in_c // max(f.param0, 1))
            case Kind.DWCONV2D | Kind.MAXPOOL2D | Kind.AVGPOOL2D:
                return outputs * taps
            case Kind.LINEAR:
                return f.out_h * f.in_c * f.out_c
            case Kind.PAD:
                return outputs
            case _:
                return f.count


@dataclass(frozen=True, slots=True)
class Graph:
    """A model: tensors by name, ops in an executable order, and which tensors cross the border."""

    tensors: dict[str, Tensor]
    ops: tuple[Op, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def consumers(self, tensor: str) -> tuple[Op, ...]:
        """The ops that read a tensor."""
        return tuple(op for op in self.ops if tensor in op.inputs)

    def producer(self, tensor: str) -> Op | None:
        """The op that writes a tensor; None for an input."""
        return next((op for op in self.ops if op.output == tensor), None)

    def with_ops(self, ops: Iterable[Op], outputs: tuple[str, ...] | None = None) -> "Graph":
        """The same border around other ops; tensors that nothing names any more are gone."""
        kept = tuple(ops)
        ends = self.outputs if outputs is None else outputs
        named = {*self.inputs, *ends}
        for op in kept:
            named.update(op.inputs, (op.output,))
        tensors = {name: tensor for name, tensor in self.tensors.items() if name in named}
        return Graph(tensors, kept, self.inputs, ends)


def rename_inputs(op: Op, renamed: dict[str, str]) -> Op:
    """The op with its inputs renamed where `renamed` says so."""
    inputs = tuple(renamed.get(name, name) for name in op.inputs)
    return op if inputs == op.inputs else replace(op, inputs=inputs)


def memory_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(H, W, C) of a logical shape: [1, C, H, W] as NHWC, anything else as rows of its last axis."""
    if len(shape) == 4:
        return shape[2] * shape[0], shape[3], shape[1]
    return prod(shape[:-1]), 1, shape[-1]
