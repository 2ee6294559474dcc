"""What a planner has to solve: sizes, and how far apart each two buffers that meet must lie."""

from collections.abc import Sequence
from dataclasses import dataclass

from host.compile.graph import Op
from host.compile.plan.lifetimes import ALIGNMENT, Buffer, aligned
from host.compile.plan.overlap import Distance, certified


@dataclass(frozen=True, slots=True)
class Overlap:
    """A dying input and the output of one op, which may share bytes at certified distances."""

    op: int
    input: str
    output: str
    distance: Distance


@dataclass(frozen=True, slots=True)
class Pair:
    """Two buffers (indices) alive together: a - b >= above, or b - a >= below, in units."""

    a: int
    b: int
    above: int
    below: int


@dataclass(frozen=True, slots=True)
class Problem:
    """Buffers in units of `alignment` bytes, and the pairs of them that meet.

    lower_bound: the largest load of one op; no arena is smaller. Overlaps are taken off in full.
    """

    buffers: tuple[Buffer, ...]
    sizes: tuple[int, ...]
    pairs: tuple[Pair, ...]
    lower_bound: int
    alignment: int

    def peak(self, offsets: Sequence[int]) -> int:
        """Units that offsets need."""
        return max((at + size for at, size in zip(offsets, self.sizes, strict=True)), default=0)


def overlaps(
    ops: Sequence[Op], buffers: Sequence[Buffer], alignment: int = ALIGNMENT
) -> tuple[Overlap, ...]:
    """All overlaps that the kernels certify for offsets that are multiples of `alignment`."""
    last = {buffer.name: buffer.last for buffer in buffers}
    found = []
    for index, op in enumerate(ops):
        distances = certified(op, alignment)
        for name in dict.fromkeys(op.inputs):
            uses = [d for d, given in zip(distances, op.inputs, strict=True) if given == name]
            if last[name] == index and name != op.output:
                found.append(Overlap(index, name, op.output, _both(uses)))
    return tuple(found)


def _both(uses: Sequence[Distance]) -> Distance:
    """The distance that serves every use of a tensor."""

    def worst(values: Sequence[int | None]) -> int | None:
        known = [value for value in values if value is not None]
        return max(known) if len(known) == len(values) else None

    return Distance(worst([use.forward for use in uses]), worst([use.reverse for use in uses]))


def make_problem(
    buffers: Sequence[Buffer], shared: Sequence[Overlap] = (), alignment: int = ALIGNMENT
) -> Problem:
    """The problem of buffers, of which those in `shared` may overlap."""
    sizes = [aligned(buffer.size_bytes, alignment) // alignment for buffer in buffers]
    index = {buffer.name: i for i, buffer in enumerate(buffers)}
    gaps: dict[tuple[int, int], tuple[int, int]] = {}  # (input, output) -> above, below
    spared: dict[int, int] = {}  # op -> units that its overlaps can save
    for one in shared:
        source, result = index[one.input], index[one.output]
        above = _units(one.distance.forward, sizes[result], alignment)
        below = _units(one.distance.reverse, sizes[source], alignment)
        gaps[source, result] = above, below
        saved = max(
            min(sizes[source], sizes[result] - max(above, 0)),
            min(sizes[result], sizes[source] - max(below, 0)),
        )
        spared[one.op] = min(sizes[result], spared.get(one.op, 0) + saved)
    pairs = []
    for i, one_buffer in enumerate(buffers):
        for j in range(i + 1, len(buffers)):
            if not one_buffer.meets(buffers[j]):
                continue
            if (j, i) in gaps:
                pairs.append(Pair(j, i, *gaps[j, i]))
            else:
                pairs.append(Pair(i, j, *gaps.get((i, j), (sizes[j], sizes[i]))))
    bound = max(
        (_load(buffers, sizes, at) - spared.get(at, 0) for at in _starts(buffers)), default=0
    )
    bound = max(bound, max(sizes, default=0))
    return Problem(tuple(buffers), tuple(sizes), tuple(pairs), bound, alignment)


def model_problem(ops: Sequence[Op], buffers: Sequence[Buffer]) -> Problem:
    """The problem of a model whose kernels may overwrite what dies."""
    return make_problem(buffers, overlaps(ops, buffers))


def _units(distance: int | None, size: int, alignment: int) -> int:
    return size if distance is None else min(size, -(-distance // alignment))


def _starts(buffers: Sequence[Buffer]) -> set[int]:
    return {buffer.first for buffer in buffers}


def _load(buffers: Sequence[Buffer], sizes: Sequence[int], at: int) -> int:
    return sum(
        size
        for buffer, size in zip(buffers, sizes, strict=True)
        if buffer.first <= at <= buffer.last
    )
