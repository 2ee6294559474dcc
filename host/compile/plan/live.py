"""What a segment's buffers hold at each of its runs, and so how close any two of them may lie.

At each run a buffer needs an interval of its bytes: a ring the rows that exist, an input what is
still to be read, the output what is written. Two buffers keep their bytes iff their intervals are
apart at every run. Only the run that reads one and writes the other may bring them closer: by the
distance that its kernel certifies for the rows at hand (overlap.py). All exact, from the steps.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from host.compile.graph import Graph, Op
from host.compile.plan.overlap import Distance, certified
from host.compile.plan.rows import fed, input_rows, needed_from, needed_to
from host.compile.plan.steps import Segment

_Ints = npt.NDArray[np.int64]
_FAR = 1 << 40

Known = dict[tuple[str, int, int, int, int], tuple[Distance, ...]]  # by op and shape of a step


@dataclass(frozen=True, slots=True)
class Streamed:
    """The buffers of a segment. above[a, b]: bytes that a's start must be above b's, if a is above b.

    load: units of the alignment that are needed at once at least, all overlaps taken off.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    above: _Ints
    load: int


@dataclass(slots=True)
class _Intervals:
    """[first, stop) of each buffer (rows) at each run (columns); empty where stop <= first."""

    names: list[str]
    first: _Ints
    stop: _Ints

    @property
    def alive(self) -> npt.NDArray[np.bool_]:
        return self.stop > self.first


@dataclass(frozen=True, slots=True)
class _Runs:
    """The runs of a segment as columns. gone[op, run]: rows that the op's ring forgets after it."""

    op: _Ints
    first: _Ints
    rows: _Ints
    gone: _Ints

    @classmethod
    def of(cls, segment: Segment) -> "_Runs":
        gone = np.zeros((len(segment.ops), len(segment.runs)), np.int64)
        for time, run in enumerate(segment.runs):
            for ring, rows in run.slides:
                gone[ring, time] = rows
        table = np.array([(run.op, run.first, run.rows) for run in segment.runs], np.int64)
        return cls(table[:, 0], table[:, 1], table[:, 2], gone)

    def base(self, index: int) -> _Ints:
        """Rows that a ring has forgotten before each run."""
        before: _Ints = np.cumsum(self.gone[index]) - self.gone[index]
        return before


# (input, output) -> the runs that read one and write the other, and bytes that the input must be above
_Shared = dict[tuple[int, int], tuple[_Ints, _Ints]]


def stream_buffers(
    graph: Graph,
    segment: Segment,
    dying: Collection[str],
    alignment: int,
    unit: int = 0,
    known: Known | None = None,
) -> Streamed:
    """Sizes and gaps of a segment's buffers; inputs not in `dying` are needed to its end and later.

    Gaps hold for offsets that are multiples of `alignment`; the load counts `unit` bytes, or that.
    known: remembers distances from call to call.
    """
    runs = _Runs.of(segment)
    lives = _intervals(graph, segment, runs, dying)
    alive = lives.alive
    together = alive[:, None, :] & alive[None, :, :]
    shared = _handovers(segment, runs, lives, dying, alignment, {} if known is None else known)
    for (given, written), (times, _) in shared.items():
        together[given, written, times] = False
    gap = lives.stop[None, :, :] - lives.first[:, None, :]
    above = np.where(together, gap, -_FAR).max(axis=2)
    for pair, (_, gaps) in shared.items():
        above[pair] = max(above[pair], gaps.max())
    sizes = tuple(int(size) for size in lives.stop.max(axis=1))
    return Streamed(
        tuple(lives.names), sizes, above, _load(lives, above, shared, unit or alignment)
    )


def _intervals(graph: Graph, segment: Segment, runs: _Runs, dying: Collection[str]) -> _Intervals:
    ops = segment.ops
    names = [*segment.inputs, *(op.output for op in ops)]
    names += [op.scratch for index, op in enumerate(ops) if segment.scratch_bytes(index)]
    row = {name: index for index, name in enumerate(names)}
    first = np.zeros((len(names), len(runs.op)), np.int64)
    stop = np.zeros_like(first)
    for name in segment.inputs:
        size = stop[row[name]] = graph.tensors[name].size_bytes
        if name in dying:
            first[row[name]] = np.minimum(_lowest_read(segment, runs, name), size)
    for index, op in enumerate(ops):
        made = np.cumsum(np.where(runs.op == index, runs.rows, 0))
        if fed(op):
            made = (made == op.fields.k_h).astype(np.int64)
        stop[row[op.output]] = (made - runs.base(index)) * segment.rows[index].row_bytes
        size = segment.scratch_bytes(index)
        if size:
            times = np.flatnonzero(runs.op == index)
            stop[row[op.scratch], slice(times[0], times[-1] + 1) if fed(op) else times] = size
    return _Intervals(names, first, stop)


def _lowest_read(segment: Segment, runs: _Runs, name: str) -> _Ints:
    """The lowest byte of an input that each run or a later one reads."""
    lowest = np.full(len(runs.op), _FAR, np.int64)
    for index, op in enumerate(segment.ops):
        if name in op.inputs:
            times = runs.op == index
            lowest[times] = _needed(op, runs, times)[0] * _input_row(segment, index)
    return np.minimum.accumulate(lowest[::-1])[::-1]


def _needed(op: Op, runs: _Runs, times: npt.NDArray[Any]) -> tuple[_Ints, _Ints]:
    """Input rows [begin, end) of each of the runs of an op."""
    first, last = runs.first[times], runs.first[times] + runs.rows[times] - 1
    return needed_from(op, first), needed_to(op, last)


def _input_row(segment: Segment, index: int) -> int:
    """Bytes of an input row of an op."""
    rows = input_rows(segment.ops[index])
    return (segment.rows[index] if rows is None else rows).row_bytes


def _handovers(
    segment: Segment,
    runs: _Runs,
    lives: _Intervals,
    dying: Collection[str],
    alignment: int,
    known: Known,
) -> _Shared:
    row = {name: index for index, name in enumerate(lives.names)}
    found: _Shared = {}
    for index, op in enumerate(segment.ops):
        times = np.flatnonzero(runs.op == index)
        if fed(op):  # it writes after it has read all
            times = times[-1:]
        certificates = _certificates(segment, runs, index, times, alignment, known)
        written, size = row[op.output], _input_row(segment, index)
        end = lives.stop[written, times]
        made = 1 if fed(op) else runs.rows[times]
        old = end - made * segment.rows[index].row_bytes
        begin, _ = _needed(op, runs, times)
        for name, source, certificate in zip(
            op.inputs, segment.sources[index], certificates, strict=True
        ):
            if certificate is None:
                continue
            given = row[name]
            base = 0 if source < 0 else runs.base(source)[times]
            gap = certificate + old - (begin - base) * size
            # Older rows of the output lie below; what is needed later must not be overwritten.
            gap = np.where(old > 0, np.maximum(gap, old - lives.first[given, times]), gap)
            if source < 0:
                kept, low = _kept(lives, name in dying, given, times)
            else:
                kept, low = lives.stop[given, times] > runs.gone[source, times] * size, 0
            gap = np.where(kept, np.maximum(gap, end - low), gap)
            if (given, written) in found:
                gap = np.maximum(gap, found[given, written][1])
            found[given, written] = times, gap
    return found


def _certificates(
    segment: Segment, runs: _Runs, index: int, times: _Ints, alignment: int, known: Known
) -> list[_Ints | None]:
    """For each input of an op the distances of its runs; None if one has no distance."""
    op = segment.ops[index]
    if fed(op):
        return [np.full(len(times), -_FAR // 2)]
    begin, end = _needed(op, runs, times)
    above = np.maximum(0, op.fields.pad_t - runs.first[times] * op.fields.stride_h)
    rows = runs.rows[times]
    table = []
    for time, made, taken, pad in zip(times, rows, end - begin, above, strict=True):
        key = op.name, int(made), int(taken), int(pad), alignment
        if key not in known:
            known[key] = certified(segment.record(segment.runs[time]), alignment)
        table.append(known[key])
    columns = [[distance.forward for distance in column] for column in zip(*table, strict=True)]
    return [None if None in column else np.array(column, np.int64) for column in columns]


def _kept(
    lives: _Intervals, dies: bool, given: int, times: _Ints
) -> tuple[npt.NDArray[np.bool_], _Ints | int]:
    """Whether an input from outside is needed after each run, and its lowest byte that is."""
    if not dies:
        return np.ones(len(times), np.bool_), 0
    first = np.append(lives.first[given, 1:], _FAR)[times]
    return first < lives.stop[given, times], first


def _load(lives: _Intervals, above: _Ints, shared: _Shared, unit: int) -> int:
    """The most that is needed at one run; what inputs and output can share is taken off. In units.

    A unit that two buffers touch counts for the lower one.
    """
    first, stop, apart = (-(-values // unit) for values in (lives.first, lives.stop, above))
    length = np.where(lives.alive, stop - first, 0)
    spared = np.zeros_like(length)
    for (given, written), (times, _) in shared.items():
        spared[written, times] += _common(
            first[given, times],
            stop[given, times],
            stop[written, times],
            int(apart[given, written]),
            -int(apart[written, given]),
        )
    return int((length - np.minimum(spared, length)).sum(axis=0).max())


def _common(low: _Ints, high: _Ints, end: _Ints, least: int, most: int) -> _Ints:
    """The most that [0, end) and [low, high) can have in common, moved by `least` at least or by
    `most` at most."""
    within = np.minimum(-low, end - high), np.maximum(-low, end - high)  # one inside the other
    best = np.zeros_like(low)
    for distance in (np.maximum(least, within[0]), np.minimum(most, within[1])):
        both = np.minimum(end, distance + high) - np.maximum(0, distance + low)
        best = np.maximum(best, both)
    return best
