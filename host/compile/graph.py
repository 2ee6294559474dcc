"""The compiler's graph: frozen values, one Op for one record of the plan image.

The importer decides how each activation lies in memory (strides.py), whatever logical order
PyTorch shows; tensors are therefore just named runs of bytes, and an Op carries its own geometry
in the fields of `tac_op_t`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import IntEnum

DTYPE_BYTES = {"int8": 1, "float32": 4}


class Kind(IntEnum):
    """Operator kinds of engine/plan.h; those below 1 exist on the host only."""

    PERMUTE = -1  # STRIDED that keeps all elements; a linear layer may take it into its weights
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
class Part:
    """One record of a STRIDED op that takes several: a walk of its own. Offsets in bytes."""

    input: int  # index into Op.inputs
    input_offset: int
    output_offset: int
    count: int
    table: bytes


@dataclass(frozen=True, slots=True)
class Op:
    """One operator. inputs and output are tensor names; source is the model's line.

    An op becomes one record, or `batch` records (an image each), or one for each of its parts.
    """

    name: str
    kind: Kind
    inputs: tuple[str, ...]
    output: str
    source: str = ""
    fields: Fields = field(default_factory=Fields)
    constants: Constants = field(default_factory=Constants)
    layout: int = 0  # of the weights: 0 plain C, 1 packed for Armv7E-M DSP
    scratch_bytes: int = 0  # arena bytes that the kernel uses while it runs
    kernel: str = "plain C"  # what runs it, for reports
    instructions: int = 0  # of a packed kernel, at most; 0 = unknown
    batch: int = 1
    parts: tuple[Part, ...] = ()
    input_offsets: tuple[int, ...] = ()  # of a single record: bytes into inputs and output
    output_offset: int = 0

    @property
    def scratch(self) -> str:
        """Name of the scratch buffer, if there is one."""
        return f"{self.name}.scratch"

    @property
    def units(self) -> int:
        """MACs of operators with sums of products; elements read by pools; else elements."""
        f = self.fields
        taps = f.k_h * f.k_w
        outputs = f.out_h * f.out_w * f.out_c
        match self.kind:
            case Kind.CONV2D | Kind.F32_CONV2D:
                return outputs * taps * (f.in_c // max(f.param0, 1))
            case Kind.DWCONV2D | Kind.MAXPOOL2D | Kind.AVGPOOL2D:
                return outputs * taps
            case Kind.TCONV2D | Kind.F32_TCONV2D:
                return f.in_h * f.in_w * f.in_c * taps * f.out_c
            case Kind.LINEAR | Kind.MATMUL | Kind.F32_MATMUL:
                return f.out_h * f.in_c * f.out_c
            case Kind.PAD:
                return outputs
            case _:
                return f.count

    @property
    def outputs(self) -> int:
        """Elements written by operators that work through windows or rows; else 0, `units` tells."""
        f = self.fields
        return f.out_h * f.out_c * max(f.out_w, 1) if self.kind in _WINDOWED | _BY_ROWS else 0

    @property
    def runs(self) -> int:
        """How often an operator starts over: pixels of a map, rows, repeats of a short operand."""
        f = self.fields
        match self.kind:
            case Kind.TCONV2D | Kind.F32_TCONV2D:
                return f.in_h * f.in_w
            case kind if kind in _WINDOWED or kind is Kind.PAD:
                return f.out_h * f.out_w
            case kind if kind in _BY_ROWS:
                return f.out_h
            case Kind.STRIDED:
                innermost = int.from_bytes(self.constants.weights[20:24], "little")
                return f.count // max(innermost, 1)
            case _:
                return f.count // f.in_c if f.in_c else 0


_WINDOWED = {
    *(Kind.CONV2D, Kind.DWCONV2D, Kind.TCONV2D, Kind.F32_CONV2D, Kind.F32_TCONV2D),
    *(Kind.MAXPOOL2D, Kind.AVGPOOL2D),
}
_BY_ROWS = {Kind.LINEAR, Kind.MATMUL, Kind.F32_MATMUL}


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
