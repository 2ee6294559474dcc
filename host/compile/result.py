"""What compiling one model yields: the values that packaging, reports and tests read."""

from dataclasses import dataclass
from math import prod

# Kinds whose units are multiply-accumulates.
SUMS_OF_PRODUCTS = frozenset(
    ("conv2d", "dwconv2d", "linear", "matmul", "tconv2d", "f32_conv2d", "f32_tconv2d", "f32_matmul")
)


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A model input or output: shape as the model states it, int8 with an affine quantization.

    Or dtype "float32", with scale 1 and zero point 0.
    """

    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int
    size_bytes: int

    @property
    def elements(self) -> int:
        """Number of its elements."""
        return prod(self.shape)

    @property
    def numpy_type(self) -> str:
        """The type of an element as it lies in the arena, for numpy."""
        return {"int8": "i1", "float32": "<f4"}[self.dtype]


@dataclass(frozen=True, slots=True)
class OpReport:
    """One op record: `units` are MACs for sums of products, elements otherwise.

    wcet_us is that of its longest step. segment: which one the op belongs to, or none.
    """

    index: int
    kind: str
    name: str
    units: int
    wcet_us: int
    out_shape: tuple[int, ...]
    out_offset: int
    kernel: str = "plain C"  # what runs it, and why if a faster kernel could not
    bytes_read: int = 0  # activations and constants, each once
    bytes_written: int = 0
    segment: int | None = None
    steps: int = 1  # in which it runs; each of them ends at a point where a job may be switched
    ring_rows: int = 0  # of its output that the arena holds at a time, 0 = all


@dataclass(frozen=True, slots=True)
class BufferPlan:
    """A buffer of the arena: alive in ops [first, last], at [offset, offset + size_bytes).

    ring_rows: it holds as many rows of its tensor at a time, inside a segment; 0 = all of it.
    """

    name: str
    size_bytes: int
    first: int
    last: int
    offset: int
    ring_rows: int = 0


@dataclass(frozen=True, slots=True)
class PlannedProgram:
    """A compiled program without a model around it. inputs and outputs: tensor names, in order."""

    image: bytes
    arena_bytes: int
    arena_lower_bound_bytes: int
    plan_optimal: bool
    keep_input_bytes: int
    mandatory_ops: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    ops: tuple[OpReport, ...]
    buffers: tuple[BufferPlan, ...]


@dataclass(frozen=True, slots=True)
class CompiledModel:
    """One model, compiled for one board."""

    name: str
    image: bytes
    arena_bytes: int
    arena_lower_bound_bytes: int  # no plan of these ops and kernels is smaller
    pte_bytes: int
    input: TensorInfo
    output: TensorInfo
    ops: tuple[OpReport, ...]
    buffers: tuple[BufferPlan, ...]
    coverage: dict[str, int]  # edge operator -> count, everything the device runs
    plan_optimal: bool = False  # arena_bytes is proved to be the smallest
    keep_input_bytes: int = 0  # RAM that keeping the input costs; 0 where a run overwrites it
    early: TensorInfo | None = None  # the early answer, output 1 of the image, once the
    mandatory_ops: int = 0  # first ones are done; 0 = no early exit, all are mandatory
    granted_us: int | None = None  # the budget of a job where it does not hold the optional part

    @property
    def full_us(self) -> int:
        """Sum of declared times of all steps."""
        return sum(op.steps * op.wcet_us for op in self.ops)

    @property
    def mandatory_us(self) -> int:
        """Sum of declared times of the steps that a job may not leave out."""
        ops = self.ops[: self.mandatory_ops] if self.mandatory_ops else self.ops
        return sum(op.steps * op.wcet_us for op in ops)

    @property
    def budget_us(self) -> int:
        """What a job may use: all steps, or as much of the optional part as is granted."""
        return self.full_us if self.granted_us is None else self.granted_us

    @property
    def longest_op_us(self) -> int:
        """Longest step that a job may run, which cannot be preempted."""
        return max(op.wcet_us for op in self.ops if op.wcet_us <= self.budget_us)

    @property
    def stops_us(self) -> tuple[int, ...]:
        """Declared time up to each place where a job may end: after the mandatory part, after each step
        of the optional one. The last is the full time."""
        ends = [self.mandatory_us]
        for op in self.ops[self.mandatory_ops :] if self.mandatory_ops else ():
            ends += [ends[-1] + op.wcet_us * step for step in range(1, op.steps + 1)]
        return tuple(ends)
