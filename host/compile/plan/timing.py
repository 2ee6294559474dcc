"""Declared times of the steps of segments, and how many rows of an op fit an allowed time."""

from collections.abc import Sequence

from host.boards import Board
from host.compile.graph import Graph, Kind, Op
from host.compile.packing.recount import instructions_of_rows
from host.compile.plan.rows import Rows, fed, record_of
from host.compile.plan.steps import Segment, make_segment
from host.errors import DoesNotFitError
from host.schedule.wcet import op_wcet_us


def whole_wcet_us(board: Board, op: Op) -> int:
    """Declared time, us, of an op that runs in one piece (one record)."""
    return op_wcet_us(board, op.kind.name.lower(), op.units, op.instructions)


def step_wcet_us(board: Board, op: Op, shape: Rows, rows: int) -> int:
    """Declared time, us, of any `rows` rows of an op whose output has rows of this shape."""
    units = record_of(op, shape, 0 if fed(op) else _inner(op), rows).units
    instructions = 0 if fed(op) else instructions_of_rows(op, rows, rows * shape.row_bytes)
    return op_wcet_us(board, op.kind.name.lower(), units, instructions)


def _inner(op: Op) -> int:
    """An output row whose window starts inside the input, where there is one."""
    f = op.fields
    return min(-(-f.pad_t // max(f.stride_h, 1)), max(f.out_h - 1, 0))


def segment_wcet_us(board: Board, segment: Segment) -> tuple[int, ...]:
    """The longest step of each op, us; slides count to the step before them."""
    held, worst = [0] * len(segment.ops), [1] * len(segment.ops)
    known: dict[tuple[int, int], int] = {}
    for run in segment.runs:
        op, shape = segment.ops[run.op], segment.rows[run.op]
        key = run.op, run.rows
        if key not in known:
            known[key] = step_wcet_us(board, op, shape, run.rows)
        held[run.op] += run.rows
        moved = 0
        for ring, rows in run.slides:
            held[ring] -= rows
            moved += held[ring] * segment.rows[ring].row_bytes
        worst[run.op] = max(worst[run.op], known[key] + _move_us(board, moved))
    return tuple(worst)


def _move_us(board: Board, size_bytes: int) -> int:
    if size_bytes == 0:
        return 0
    cost = board.wcet
    bare_ns = size_bytes * cost.ns_per_unit[Kind.COPY.name.lower()]
    return -(-bare_ns * (100 + cost.margin_percent) // 100_000)


def row_limits(
    graph: Graph, ops: Sequence[Op], board: Board, longest_us: int | None
) -> dict[str, int]:
    """Most rows of a step, by op name, of the ops that take longer than `longest_us` as a whole.

    Raises DoesNotFitError for an op that cannot be cut so short.
    """
    limits = {}
    for op in ops:
        whole_us = whole_wcet_us(board, op)
        if longest_us is None or whole_us <= longest_us:
            continue
        whole = make_segment(graph, (op,), 1)
        shape = None if whole is None else whole.rows[0]
        if shape is None:
            raise _too_long(board, op, whole_us, longest_us, "its kind cannot run row by row")
        least_us = step_wcet_us(board, op, shape, 1)
        if least_us > longest_us:
            why = f"a single row of it takes {least_us} us"
            raise _too_long(board, op, whole_us, longest_us, why)
        limits[op.name] = _most_rows(board, op, shape, longest_us)
    return limits


def _most_rows(board: Board, op: Op, shape: Rows, longest_us: int) -> int:
    low, high = 1, op.fields.k_h if fed(op) else shape.count
    while low < high:
        rows = (low + high + 1) // 2
        if step_wcet_us(board, op, shape, rows) <= longest_us:
            low = rows
        else:
            high = rows - 1
    pairs = op.kind == Kind.DWCONV2D and op.layout == 1 and low > 1
    return low - low % 2 if pairs else low


def _too_long(board: Board, op: Op, whole_us: int, longest_us: int, why: str) -> DoesNotFitError:
    return DoesNotFitError(
        f"operator {op.name} ({op.kind.name.lower()}, {op.source or 'no source line'}) takes "
        f"{whole_us} us on {board.name}; {longest_us} us without a pause are allowed, and {why}",
        "make this layer smaller, or allow more time: longer deadlines or periods of the other tasks",
    )
