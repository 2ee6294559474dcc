"""What compiling one model yields: the values that packaging, reports and tests read."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A model input or output: shape as the model states it, affine int8 quantization."""

    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int
    size_bytes: int


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

    @property
    def budget_us(self) -> int:
        """Sum of declared times of all steps."""
        return sum(op.steps * op.wcet_us for op in self.ops)

    @property
    def longest_op_us(self) -> int:
        """Longest step that cannot be preempted."""
        return max(op.wcet_us for op in self.ops)
