"""Which runs of operators become segments: the smallest arena, then the fewest steps.

Dynamic programming over the ops in order: a plan is a row of nodes, single ops and segments, and
its largest load bounds its arena from below. Loads are lowered one by one until no row of nodes
stays below; the arenas of the best few are then planned exactly. Segments are simulated only where
what lies around them leaves room.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from host.compile.graph import Graph, Kind, Op
from host.compile.plan.arena import ArenaPlan, plan_arena
from host.compile.plan.lifetimes import ALIGNMENT, lifetimes
from host.compile.plan.live import Known, stream_buffers
from host.compile.plan.problem import Node, make_problem, overlaps
from host.compile.plan.steps import OPS_MAX, Segment, make_segment, streamable

ROWS = (1, 2, 4, 8)  # of the last op, a step
PLANS = 3  # arenas that are planned, briefly
_NODES = 300  # of their search


@dataclass(frozen=True, slots=True)
class _Choice:
    """A node in [first, stop) of the ops: units that it needs at once, and its steps."""

    first: int
    stop: int
    node: Node
    load: int
    steps: int


def plan_segments(
    graph: Graph,
    ops: Sequence[Op],
    keep_input: bool = False,
    limits: Mapping[str, int] | None = None,
    allowed: Callable[[Segment], bool] = lambda segment: True,
) -> ArenaPlan:
    """The plan of the smallest arena; of equal ones that of the fewest steps.

    limits: most rows of a step, by the name of the op; such an op never runs whole.
    allowed: whether the steps of a segment are short enough.
    """
    search = _Search(graph, ops, keep_input, limits or {}, allowed)
    rows = list(search.descend())
    best = plan_arena(graph, _nodes(rows[0]), keep_input, _NODES)
    for row in rows[: -PLANS - 1 : -1]:  # from the smallest load on
        if _load(row) * ALIGNMENT < best.arena_bytes:
            plan = plan_arena(graph, _nodes(row), keep_input, _NODES)
            best = min(best, plan, key=lambda one: one.arena_bytes)
    simpler = search.within(best.arena_bytes // ALIGNMENT)
    if simpler and _steps(simpler) < sum(map(_steps_of, best.nodes)):
        plan = plan_arena(graph, _nodes(simpler), keep_input, _NODES)
        if plan.arena_bytes <= best.arena_bytes:
            best = plan
    return best if best.optimal else plan_arena(graph, best.nodes, keep_input)


def _nodes(row: Sequence[_Choice]) -> list[Node]:
    return [choice.node for choice in row]


def _load(row: Sequence[_Choice]) -> int:
    return max(choice.load for choice in row)


def _steps(row: Sequence[_Choice]) -> int:
    return sum(choice.steps for choice in row)


def _steps_of(node: Node) -> int:
    return node.step_count if isinstance(node, Segment) else 1


class _Search:
    """Rows of nodes that cover all ops, by their largest load."""

    def __init__(
        self,
        graph: Graph,
        ops: Sequence[Op],
        keep_input: bool,
        limits: Mapping[str, int],
        allowed: Callable[[Segment], bool],
    ) -> None:
        self.graph, self.ops, self.limits, self.allowed = graph, ops, limits, allowed
        buffers = lifetimes(graph, ops, keep_input)
        self.units = {b.name: -(-b.size_bytes // ALIGNMENT) for b in buffers}
        self.first = {b.name: b.first for b in buffers if b.name in graph.tensors}
        self.last = {b.name: b.last for b in buffers if b.name in graph.tensors}
        self.made = {op.output for op in ops}
        self.known: dict[tuple[int, int], list[_Choice]] = {}
        self.distances: Known = {}
        self.joined = [self._reach(index) for index in range(len(ops))]

    def descend(self) -> Iterator[list[_Choice]]:
        """Rows of nodes of ever smaller loads; the first one has no segments but where limits ask."""
        row = [min(self._alone(index), key=lambda one: one.load) for index in range(len(self.ops))]
        while row:
            yield row
            row = self.within(_load(row) - 1)

    def within(self, most: int) -> list[_Choice]:
        """The row of the fewest steps whose loads are `most` at the most; empty if there is none."""
        best: list[tuple[int, list[_Choice]] | None] = [None] * (len(self.ops) + 1)
        best[-1] = 0, []
        fits = [
            any(one.load <= most for one in self._choices(index, index + 1))
            for index in range(len(self.ops))
        ]
        for first in reversed(range(len(self.ops))):
            for stop in range(first + 1, self.joined[first] + 1):
                rest = best[stop]
                if rest is None or self._around(first, stop) > most:
                    continue
                if stop > first + 1 and all(fits[first:stop]):
                    continue  # alone they take fewer steps
                for choice in self._choices(first, stop):
                    known = best[first]
                    steps = choice.steps + rest[0]
                    if choice.load <= most and (known is None or steps < known[0]):
                        best[first] = steps, [choice, *rest[1]]
        return best[0][1] if best[0] else []

    def _reach(self, first: int) -> int:
        """Ops [first, reach) are the longest run that can be streamed; one at least."""
        for stop in range(min(len(self.ops), first + OPS_MAX), first + 1, -1):
            if streamable(self.graph, self.ops[first:stop]):
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
        inputs = {n for op in self.ops[first:stop] for n in op.inputs}
        made = {op.output for op in self.ops[first:stop]}
        given = sum(self.units[name] for name in inputs - made)
        kept = sum(self.units[name] for name in inputs - made if self.last[name] >= stop)
        output = self.units[self.ops[stop - 1].output]
        return self._through(first, stop) + max(given, kept + output)

    def _choices(self, first: int, stop: int) -> list[_Choice]:
        if (first, stop) not in self.known:
            found = self._alone(first) if stop == first + 1 else self._streams(first, stop)
            self.known[first, stop] = found
        return self.known[first, stop]

    def _alone(self, index: int) -> list[_Choice]:
        op = self.ops[index]
        if op.name in self.limits:
            return self._streams(index, index + 1)
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
        return [_Choice(index, index + 1, op, load, 1)]

    def _streams(self, first: int, stop: int) -> list[_Choice]:
        """Segments of ops [first, stop), with different rows a step."""
        ops = self.ops[first:stop]
        through = self._through(first, stop)
        found: list[_Choice] = []
        for rows in ROWS if stop > first + 1 else (255,):
            segment = make_segment(self.graph, ops, rows, self.limits)
            if segment is None or (stop > first + 1 and _wastes(segment)):
                continue
            if stop > first + 1 and not self.allowed(segment):
                continue
            if found and segment.step_count >= found[-1].steps:
                break
            dying = {name for name in segment.inputs if self.last[name] < stop}
            streamed = stream_buffers(self.graph, segment, dying, ALIGNMENT, known=self.distances)
            load = streamed.load + through
            found.append(_Choice(first, stop, segment, load, segment.step_count))
        return found


def _wastes(segment: Segment) -> bool:
    """Whether a kernel that makes two rows at once often makes one: the packed depthwise one."""
    for index, op in enumerate(segment.ops):
        f = op.fields
        pairs = op.kind == Kind.DWCONV2D and op.layout == 1 and f.stride_h == f.stride_w == 1
        if pairs and 2 * len(segment.steps_of(index)) > f.out_h + 3:
            return True
    return False
