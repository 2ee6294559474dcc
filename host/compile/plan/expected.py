"""Instructions that a node is expected to take, to choose between plans; declared times are bounds.

The bound of the whole op is shared out by turns of its kernel's outermost loop, and each step of a
segment costs some more. Counts of the emulated core differ from ratios of these by a percent.
"""

from collections.abc import Sequence

from host.compile.graph import Kind, Op
from host.compile.packing.cost import CALL
from host.compile.plan.steps import Segment

STEP = CALL + 200  # call of the kernel, and what segment.c does around it
_PLAIN = 8  # an inner-loop turn of a kernel without a count
_GROUP, _LEFT = 5, (0, 3, 4)  # kernel_gemm.c: three pixels, and what is left of them; 4 = 2 + 2
_MOVED = 3  # bytes that a slide moves by an instruction


def expected_instructions(node: Op | Segment) -> int:
    """Instructions of one inference, more or less."""
    if isinstance(node, Op):
        return _whole(node) + STEP
    held = [0] * len(node.ops)
    moved = 0
    rows: list[list[int]] = [[] for _ in node.ops]
    for run in node.runs:
        rows[run.op].append(run.rows)
        held[run.op] += run.rows
        for ring, gone in run.slides:
            held[ring] -= gone
            moved += held[ring] * node.rows[ring].row_bytes
    shares = (_share(op, steps) for op, steps in zip(node.ops, rows, strict=True))
    return sum(shares) + STEP * len(node.runs) + moved // _MOVED


def _whole(op: Op) -> int:
    return op.instructions or _PLAIN * op.units


def _share(op: Op, steps: Sequence[int]) -> int:
    """The op in steps of so many rows."""
    return _whole(op) * sum(_turns(op, rows) for rows in steps) // _turns(op, sum(steps))


def _turns(op: Op, rows: int) -> int:
    f = op.fields
    if op.layout == 1 and op.kind == Kind.CONV2D:
        return rows * f.out_w // 3 * _GROUP + _LEFT[rows * f.out_w % 3]
    if op.layout == 1 and op.kind == Kind.DWCONV2D and f.stride_h == f.stride_w == 1:
        return (rows + 1) // 2
    return rows
