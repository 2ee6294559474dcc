"""What a planner has to solve: sizes, and how far apart each two buffers that meet must lie."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from host.compile.graph import Op
from host.compile.plan.lifetimes import ALIGNMENT, Buffer, aligned
from host.compile.plan.live import Streamed
from host.compile.plan.overlap import Distance, certified
from host.compile.plan.steps import Segment

Node = Op | Segment  # what an arena plan counts as one moment


def ops_of(node: Node) -> tuple[Op, ...]:
    """The ops that a node runs."""
    return node.ops if isinstance(node, Segment) else (node,)


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
    nodes: Sequence[Node], buffers: Sequence[Buffer], alignment: int = ALIGNMENT
) -> tuple[Overlap, ...]:
    """All overlaps that the kernels certify for offsets that are multiples of `alignment`."""
    last = {buffer.name: buffer.last for buffer in buffers}
    found = []
    for index, op in enumerate(nodes):
        if isinstance(op, Segment):
            continue  # its buffers come with gaps of their own (live.py)
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


_NO_STREAMS: Mapping[int, Streamed] = {}


def make_problem(
    buffers: Sequence[Buffer],
    shared: Sequence[Overlap] = (),
    alignment: int = ALIGNMENT,
    streams: Mapping[int, Streamed] = _NO_STREAMS,
) -> Problem:
    """The problem of buffers, of which those in `shared` may overlap.

    streams: node -> its buffers, if it is a segment; they are as near as its steps allow.
    """
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
    for node, stream in streams.items():
        gaps |= _stream_gaps(buffers, sizes, index, node, stream, alignment)
    pairs = []
    for i, one_buffer in enumerate(buffers):
        for j in range(i + 1, len(buffers)):
            if not one_buffer.meets(buffers[j]):
                continue
            if (j, i) in gaps:
                pairs.append(Pair(j, i, *gaps[j, i]))
            else:
                pairs.append(Pair(i, j, *gaps.get((i, j), (sizes[j], sizes[i]))))
    bound = max(sizes, default=0)
    for at in {buffer.first for buffer in buffers}:
        part = streams[at].names if at in streams else ()
        load = sum(
            size
            for buffer, size in zip(buffers, sizes, strict=True)
            if buffer.first <= at <= buffer.last and buffer.name not in part
        )
        load += streams[at].load if at in streams else -spared.get(at, 0)
        bound = max(bound, load)
    return Problem(tuple(buffers), tuple(sizes), tuple(pairs), bound, alignment)


def _stream_gaps(
    buffers: Sequence[Buffer],
    sizes: Sequence[int],
    index: Mapping[str, int],
    node: int,
    stream: Streamed,
    alignment: int,
) -> dict[tuple[int, int], tuple[int, int]]:
    """Gaps, in units, of the buffers of a segment that meet in it only."""
    found = {}
    for i, one in enumerate(stream.names):
        for j in range(i + 1, len(stream.names)):
            a, b = index[one], index[stream.names[j]]
            first = max(buffers[a].first, buffers[b].first)
            last = min(buffers[a].last, buffers[b].last)
            if (first, last) == (node, node):
                above, below = (
                    max(-size, min(other, -(-int(gap) // alignment)))
                    for gap, size, other in (
                        (stream.above[i, j], sizes[a], sizes[b]),
                        (stream.above[j, i], sizes[b], sizes[a]),
                    )
                )
                found[min(a, b), max(a, b)] = (above, below) if a < b else (below, above)
    return found


def _units(distance: int | None, size: int, alignment: int) -> int:
    return size if distance is None else min(size, -(-distance // alignment))
