"""Which runs of operators become segments: a small arena, then the fewest instructions.

Dynamic programming over the ops in order: a plan is a row of nodes, single ops and segments, and
its largest load bounds its arena from below. Loads are lowered one by one until no row of nodes
stays below; the arenas of the best few are then planned exactly. Segments are simulated only where
what lies around them leaves room.

Fewer rows a step take less RAM and more instructions. The rule: of the plans with the smallest arena
found, the one that is expected to take the fewest instructions (expected.py). A plan whose arena is
larger by a fifth at most, and fits the room that there is, replaces it if it saves a 64th of them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from host.compile.graph import Graph, Kind, Op
from host.compile.plan.arena import ArenaPlan, plan_arena
from host.compile.plan.expected import expected_instructions
from host.compile.plan.lifetimes import ALIGNMENT, lifetimes
from host.compile.plan.live import Known, stream_buffers
from host.compile.plan.problem import Node, make_problem, overlaps
from host.compile.plan.steps import (
    OPS_MAX,
    STEP_ROWS_MAX,
    Segment,
    make_segment,
    streamable,
    users_of,
)

ROWS = (1, 2, 4, 8)  # of the last op, a step
SHARE = 5  # so much of the smallest arena, a fifth, may be given for fewer instructions:
SAVED = 64  # for a 64th of them at least
EFFORT = 120_000  # runs that are simulated, 40 us each
MANY = 40  # ops from which on only some lengths of segments are tried
_LENGTHS = (2, 3, 4, 6, 8, OPS_MAX)
PLANS = 3  # arenas that are planned, briefly
_NODES = 300  # of their search


@dataclass(frozen=True, slots=True)
class _Choice:
    """A node in [first, stop) of the ops: units that it needs at once, expected instructions."""

    first: int
    stop: int
    node: Node
    load: int
    cost: int


def plan_segments(
    graph: Graph,
    ops: Sequence[Op],
    keep_input: bool = False,
    limits: Mapping[str, int] | None = None,
    allowed: Callable[[Segment], bool] = lambda segment: True,
    room_bytes: int = 0,
    mandatory: int = 0,
) -> ArenaPlan:
    """The smallest arena, or a little more where that fits into room_bytes and saves instructions.

    limits: most rows of a step, by the name of the op; such an op never runs whole.
    allowed: whether the steps of a segment are short enough. mandatory: a job may end behind so many ops, and no
    segment reaches across.
    """
    search = _Search(graph, ops, keep_input, limits or {}, allowed, mandatory)
    rows = list(search.descend())
    best = plan_arena(graph, _nodes(rows[0]), keep_input, _NODES)
    for row in rows[: -PLANS - 1 : -1]:  # from the smallest load on
        if _load(row) * ALIGNMENT < best.arena_bytes:
            plan = plan_arena(graph, _nodes(row), keep_input, _NODES)
            best = min(best, plan, key=lambda one: one.arena_bytes)
    best = _cheaper(search, best, best.arena_bytes, 1)
    larger = min(best.arena_bytes * (SHARE + 1) // SHARE, room_bytes)
    best = _cheaper(search, best, larger, _expected(best) // SAVED)
    return best if best.optimal else plan_arena(graph, best.nodes, keep_input)


def _cheaper(search: "_Search", best: ArenaPlan, most_bytes: int, saved: int) -> ArenaPlan:
    """A plan of `most_bytes` at the most that saves so many instructions at least, or the best one."""
    row = search.within(most_bytes // ALIGNMENT)
    for _ in range(PLANS):
        if not row or _cost(row) > _expected(best) - saved:
            break
        plan = plan_arena(search.graph, _nodes(row), search.keep_input, _NODES)
        if plan.arena_bytes <= most_bytes:
            return plan
        row = search.within(_load(row) - 1)
    return best


def _expected(plan: ArenaPlan) -> int:
    return sum(map(expected_instructions, plan.nodes))


def _nodes(row: Sequence[_Choice]) -> list[Node]:
    return [choice.node for choice in row]


def _load(row: Sequence[_Choice]) -> int:
    return max(choice.load for choice in row)


def _cost(row: Sequence[_Choice]) -> int:
    return sum(choice.cost for choice in row)


class _Search:
    """Rows of nodes that cover all ops, by their largest load."""

    def __init__(
        self,
        graph: Graph,
        ops: Sequence[Op],
        keep_input: bool,
        limits: Mapping[str, int],
        allowed: Callable[[Segment], bool],
        mandatory: int,
    ) -> None:
        self.mandatory = mandatory
        self.graph, self.ops, self.limits, self.allowed = graph, ops, limits, allowed
        self.keep_input = keep_input
        buffers = lifetimes(graph, ops, keep_input)
        self.units = {b.name: -(-b.size_bytes // ALIGNMENT) for b in buffers}
        self.first = {b.name: b.first for b in buffers if b.name in graph.tensors}
        self.last = {b.name: b.last for b in buffers if b.name in graph.tensors}
        self.made = {op.output for op in ops}
        self.known: dict[tuple[int, int], list[_Choice | None]] = {}  # by ROWS
        self.alone: dict[int, list[_Choice]] = {}
        self.users = users_of(graph)
        self.effort = EFFORT
        self.few = _LENGTHS if len(ops) > MANY else ()
        self.surroundings: dict[tuple[int, int], int] = {}
        self.distances: Known = {}
        self.joined = [self._reach(index) for index in range(len(ops))]

    def descend(self) -> Iterator[list[_Choice]]:
        """Rows of nodes of ever smaller loads; the first one has no segments but where limits ask."""
        row = [next(self._choices(index, index + 1, 0)) for index in range(len(self.ops))]
        while row:
            yield row
            row = self.within(_load(row) - 1)

    def within(self, most: int) -> list[_Choice]:
        """The row of the least cost whose loads are `most` at the most; empty if there is none."""
        best: list[tuple[int, list[_Choice]] | None] = [None] * (len(self.ops) + 1)
        best[-1] = 0, []
        fits = [
            any(one.load <= most for one in self._choices(index, index + 1, most))
            for index in range(len(self.ops))
        ]
        for first in reversed(range(len(self.ops))):
            for stop in range(first + 1, self.joined[first] + 1):
                rest = best[stop]
                if self.few and stop - first > 1 and stop - first not in self.few:
                    continue
                if rest is None or self._around(first, stop) > most:
                    continue
                if stop > first + 1 and all(fits[first:stop]):
                    continue  # alone they take fewer instructions
                for choice in self._choices(first, stop, most):
                    known = best[first]
                    cost = choice.cost + rest[0]
                    if choice.load <= most and (known is None or cost < known[0]):
                        best[first] = cost, [choice, *rest[1]]
        return best[0][1] if best[0] else []

    def _reach(self, first: int) -> int:
        """Ops [first, reach) are the longest run that can be streamed; one at least."""
        end = self.mandatory if first < self.mandatory else len(self.ops)
        for stop in range(min(end, first + OPS_MAX), first + 1, -1):
            if streamable(self.graph, self.ops[first:stop], self.users):
                return stop
        return first + 1

    def _through(self, first: int, stop: int) -> int:
        """Units of tensors that live through ops [first, stop) untouched."""
        touched = {n for op in self.ops[first:stop] for n in (*op.inputs, op.output)}
        return sum(
            self.units[name]
            for name, born in self.first.items()
            if name not in touched
            and self.last[name] >= first
            and (born < first or name not in self.made)
        )

    def _around(self, first: int, stop: int) -> int:
        """A bound of a node's load without a look inside: all inputs at first, the output at last."""
        if (first, stop) not in self.surroundings:
            self.surroundings[first, stop] = self._surrounding(first, stop)
        return self.surroundings[first, stop]

    def _surrounding(self, first: int, stop: int) -> int:
        inputs = {n for op in self.ops[first:stop] for n in op.inputs}
        made = {op.output for op in self.ops[first:stop]}
        given = sum(self.units[name] for name in inputs - made)
        kept = sum(self.units[name] for name in inputs - made if self.last[name] >= stop)
        output = self.units[self.ops[stop - 1].output]
        return self._through(first, stop) + max(given, kept + output)

    def _choices(self, first: int, stop: int, most: int) -> Iterator[_Choice]:
        """The nodes of ops [first, stop); more rows a step only while the load is `most` at most."""
        if stop == first + 1:
            if first not in self.alone:
                self.alone[first] = self._alone(first)
            yield from self.alone[first]
            return
        known = self.known.setdefault((first, stop), [])
        for rows in range(len(ROWS)):
            if rows == len(known):
                if self.effort <= 0:
                    return
                known.append(self._stream(first, stop, ROWS[rows]))
            choice = known[rows]
            if choice is not None:
                yield choice
                if choice.load > most:
                    return

    def _alone(self, index: int) -> list[_Choice]:
        op = self.ops[index]
        if op.name in self.limits:
            choice = self._stream(index, index + 1, STEP_ROWS_MAX)
            return [choice] if choice else []
        inputs = tuple(dict.fromkeys(op.inputs))
        alone = Graph(
            {name: self.graph.tensors[name] for name in (*inputs, op.output)},
            (op,),
            inputs,
            (op.output,),
        )
        buffers = lifetimes(alone, alone.ops)
        dying = [one for one in overlaps(alone.ops, buffers) if self.last[one.input] == index]
        load = make_problem(buffers, dying).lower_bound + self._through(index, index + 1)
        return [_Choice(index, index + 1, op, load, expected_instructions(op))]

    def _stream(self, first: int, stop: int, rows: int) -> _Choice | None:
        """The segment of ops [first, stop) with so many rows a step, if it is worth a thought."""
        segment = make_segment(self.graph, self.ops[first:stop], rows, self.limits, self.users)
        if segment is None:
            return None
        self.effort -= len(segment.runs)
        if stop > first + 1 and (_wastes(segment) or not self.allowed(segment)):
            return None
        dying = {name for name in segment.inputs if self.last[name] < stop}
        stream = stream_buffers(self.graph, segment, dying, ALIGNMENT, known=self.distances)
        load = stream.load + self._through(first, stop)
        return _Choice(first, stop, segment, load, expected_instructions(segment))


def _wastes(segment: Segment) -> bool:
    """Whether a kernel that makes two rows at once often makes one: the packed depthwise one."""
    for index, op in enumerate(segment.ops):
        f = op.fields
        pairs = op.kind == Kind.DWCONV2D and op.layout == 1 and f.stride_h == f.stride_w == 1
        if pairs and 2 * len(segment.steps_of(index)) > f.out_h + 3:
            return True
    return False
