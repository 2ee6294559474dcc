"""Greedy arena plans: buffers in a fixed order, each into the tightest gap that holds it.

Two orders, by size (largest first) and by start, as in Pisarchyk & Lee, "Efficient Memory
Management for Deep Neural Net Inference" (2020), section 4; the better plan wins.
"""

from collections.abc import Sequence

from host.compile.plan.lifetimes import ALIGNMENT, Buffer, aligned
from host.compile.result import BufferPlan


def greedy_plan(
    buffers: Sequence[Buffer], alignment: int = ALIGNMENT
) -> tuple[tuple[BufferPlan, ...], int]:
    """Offsets for all buffers and the arena's bytes. Buffers keep their order."""
    by_size = sorted(buffers, key=lambda b: (-b.size_bytes, b.first, b.name))
    by_start = sorted(buffers, key=lambda b: (b.first, -b.size_bytes, b.name))
    plans = [_placed(order, alignment) for order in (by_size, by_start)]
    offsets = min(plans, key=lambda plan: _peak(plan, alignment))
    placed = tuple(BufferPlan(b.name, b.size_bytes, b.first, b.last, offsets[b]) for b in buffers)
    return placed, _peak(offsets, alignment)


def _peak(offsets: dict[Buffer, int], alignment: int) -> int:
    return max((at + aligned(b.size_bytes, alignment) for b, at in offsets.items()), default=0)


def _placed(order: Sequence[Buffer], alignment: int) -> dict[Buffer, int]:
    offsets: dict[Buffer, int] = {}
    for buffer in order:
        taken = sorted(
            (at, at + aligned(other.size_bytes, alignment))
            for other, at in offsets.items()
            if other.meets(buffer)
        )
        offsets[buffer] = _best_fit(taken, aligned(buffer.size_bytes, alignment))
    return offsets


def _best_fit(taken: Sequence[tuple[int, int]], size: int) -> int:
    best_gap, best_at, end = None, 0, 0
    for start, stop in taken:
        gap = start - end
        if gap >= size and (best_gap is None or gap < best_gap):
            best_gap, best_at = gap, end
        end = max(end, stop)
    return end if best_gap is None else best_at
