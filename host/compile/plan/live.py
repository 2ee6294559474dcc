"""What a segment's buffers hold at each of its runs, and so how close any two of them may lie.

At each run a buffer needs an interval of its bytes: a ring the rows that exist, an input what is
still to be read, the output what is written. Two buffers keep their bytes iff their intervals are
apart at every run. Only the run that reads one and writes the other may bring them closer: by the
distance that its kernel certifies for the rows at hand (overlap.py). All exact, from the steps.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from host.compile.graph import Graph
from host.compile.plan.overlap import Distance, certified
from host.compile.plan.rows import fed, input_rows, needed
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
    lives = _intervals(graph, segment, dying)
    together = lives.alive[:, None, :] & lives.alive[None, :, :]
    shared = _handovers(segment, lives, dying, alignment, {} if known is None else known)
    for (reader, writer), distances in shared.items():
        for run in distances:
            together[reader, writer, run] = False
    gap = lives.stop[None, :, :] - lives.first[:, None, :]
    above = np.where(together, gap, -_FAR).max(axis=2)
    for pair, distances in shared.items():
        above[pair] = max(above[pair], *distances.values())
    sizes = tuple(int(size) for size in lives.stop.max(axis=1))
    return Streamed(
        tuple(lives.names), sizes, above, _load(lives, above, shared, unit or alignment)
    )


def _intervals(graph: Graph, segment: Segment, dying: Collection[str]) -> _Intervals:
    ops, runs = segment.ops, segment.runs
    names = [*segment.inputs, *(op.output for op in ops)]
    names += [op.scratch for index, op in enumerate(ops) if segment.scratch_bytes(index)]
    row = {name: index for index, name in enumerate(names)}
    first = np.zeros((len(names), len(runs)), np.int64)
    stop = np.zeros_like(first)
    for name in segment.inputs:
        stop[row[name]] = graph.tensors[name].size_bytes
        if name in dying:
            _dies(segment, name, first[row[name]], stop[row[name]])
    for index, op in enumerate(ops):
        _rows_held(segment, index, stop[row[op.output]])
        size = segment.scratch_bytes(index)
        if size:
            times = [time for time, run in enumerate(runs) if run.op == index]
            held = slice(times[0], times[-1] + 1) if fed(op) else times
            stop[row[op.scratch], held] = size
    return _Intervals(names, first, stop)


def _dies(segment: Segment, name: str, first: _Ints, stop: _Ints) -> None:
    """An input is needed from the lowest byte that any run, this one or a later one, reads."""
    lowest = np.full(len(segment.runs), 1 << 40, np.int64)
    for time, run in enumerate(segment.runs):
        op = segment.ops[run.op]
        for given, source in zip(op.inputs, segment.sources[run.op], strict=True):
            if given == name and source < 0:
                begin, _ = needed(op, run.first, run.rows)
                lowest[time] = begin * _input_row(segment, run.op)
    lowest = np.minimum.accumulate(lowest[::-1])[::-1]
    first[:] = np.minimum(lowest, stop)


def _input_row(segment: Segment, index: int) -> int:
    """Bytes of an input row of an op."""
    rows = input_rows(segment.ops[index])
    return (segment.rows[index] if rows is None else rows).row_bytes


def _rows_held(segment: Segment, index: int, stop: _Ints) -> None:
    """Bytes of the ring (or output) of one op at each run, the rows it makes included."""
    op, size, held = segment.ops[index], segment.rows[index].row_bytes, 0
    for time, run in enumerate(segment.runs):
        if run.op == index:
            if not fed(op):
                held += run.rows
            elif run.first + run.rows == op.fields.k_h:
                held = 1
        stop[time] = held * size
        held -= sum(rows for ring, rows in run.slides if ring == index)


def _handovers(
    segment: Segment,
    lives: _Intervals,
    dying: Collection[str],
    alignment: int,
    known: Known,
) -> dict[tuple[int, int], dict[int, int]]:
    """(input, output) -> {run: bytes that the input must be above}, for runs that read and write."""
    row = {name: index for index, name in enumerate(lives.names)}
    found: dict[tuple[int, int], dict[int, int]] = {}
    base = [0] * len(segment.ops)
    for time, run in enumerate(segment.runs):
        op = segment.ops[run.op]
        written, last = row[op.output], run.first + run.rows == op.fields.k_h
        begin, stop = needed(op, run.first, run.rows)
        above = max(0, op.fields.pad_t - run.first * op.fields.stride_h)
        shape = op.name, run.rows, stop - begin, above, alignment
        if shape not in known:
            known[shape] = certified(segment.record(run), alignment)
        size = _input_row(segment, run.op)
        for name, source, distance in zip(
            op.inputs, segment.sources[run.op], known[shape], strict=True
        ):
            given = row[name]
            certificate = distance.forward
            if fed(op):  # it writes after it has read all
                certificate = -_FAR if last else None
            if certificate is None:
                continue
            if source >= 0:
                rows = int(lives.stop[given, time]) // size - sum(
                    gone for ring, gone in run.slides if ring == source
                )
                kept = 0 if rows else None
                place = (begin - base[source]) * size
            else:
                kept = _kept(lives, name in dying, given, time)
                place = begin * size
            end = int(lives.stop[written, time])
            old = end - segment.rows[run.op].row_bytes * (1 if fed(op) else run.rows)
            gap = certificate + old - place
            if old:  # older rows lie below
                gap = max(gap, old - int(lives.first[given, time]))
            if kept is not None:
                gap = max(gap, end - kept)
            runs = found.setdefault((given, written), {})
            runs[time] = max(gap, runs.get(time, -_FAR))
        for ring, rows in run.slides:
            base[ring] += rows
    return found


def _kept(lives: _Intervals, dies: bool, given: int, time: int) -> int | None:
    """The lowest byte of an input from outside that is needed after a run; None if nothing is."""
    if not dies:
        return 0
    if time + 1 == lives.stop.shape[1]:
        return None
    lowest = int(lives.first[given, time + 1])
    return lowest if lowest < lives.stop[given, time + 1] else None


def _load(
    lives: _Intervals, above: _Ints, shared: dict[tuple[int, int], dict[int, int]], unit: int
) -> int:
    """The most that is needed at one run; what inputs and output can share is taken off. In units.

    A unit that two buffers touch counts for the lower one.
    """
    first, stop, apart = (-(-values // unit) for values in (lives.first, lives.stop, above))
    length = np.where(lives.alive, stop - first, 0)
    spared = np.zeros_like(length)
    for (given, written), runs in shared.items():
        for time in runs:
            spared[written, time] += _common(
                (int(first[given, time]), int(stop[given, time])),
                int(stop[written, time]),
                int(apart[given, written]),
                -int(apart[written, given]),
            )
    return int((length - np.minimum(spared, length)).sum(axis=0).max())


def _common(given: tuple[int, int], end: int, least: int, most: int) -> int:
    """The most that [0, end) and a given interval can have in common; its distance is at least
    `least` or at most `most`."""
    low, high = given
    within = sorted((-low, end - high))  # one inside the other
    return max(
        0,
        *(
            min(end, distance + high) - max(0, distance + low)
            for distance in (max(least, within[0]), min(most, within[1]))
        ),
    )
