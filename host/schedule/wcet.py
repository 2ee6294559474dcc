"""Declared worst-case time of one op, from the cost model of the board."""

from host.boards import Board
from host.errors import UsageError


def op_wcet_us(
    board: Board, kind: str, units: int, instructions: int = 0, outputs: int = 0, runs: int = 0
) -> int:
    """Time, us >= 1, that an op record declares.

    `kind` is an operator of [wcet.ns_per_unit] in board.toml; `units` >= 0 are MACs for conv2d,
    dwconv2d and linear, elements otherwise; outputs and runs as host.compile.graph.Op has them.
    base_us + their costs, plus the margin, rounded up. An op of a packed kernel counts its
    `instructions` instead, where they are known.
    Raises UsageError for a kind the board has no cost for.
    """
    cost = board.wcet
    if kind not in cost.ns_per_unit:
        raise UsageError(
            f"board {board.name} has no cost for operator {kind!r}",
            f"add {kind} under [wcet.ns_per_unit] in boards/{board.name}/board.toml",
        )
    work_ns = instructions * cost.ns_per_instruction or (
        units * cost.ns_per_unit[kind]
        + outputs * cost.ns_per_output.get(kind, 0)
        + runs * cost.ns_per_run.get(kind, 0)
    )
    bare_ns = cost.base_us * 1000 + work_ns
    return max(1, -(-bare_ns * (100 + cost.margin_percent) // 100_000))
