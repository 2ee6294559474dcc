"""The step list of a segment: which rows of which op run when, driven by demand.

A row is made when a row below it needs it, and forgotten as soon as no later one does; so each
internal tensor is a ring of just its live rows, and nothing is computed twice. Row streaming as in
"line buffers" of image pipelines; the order is that of a depth-first walk from the last op.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from host.compile.graph import Graph, Op
from host.compile.plan.rows import (
    Rows,
    by_rows,
    fed,
    fed_scratch,
    input_rows,
    needed,
    output_rows,
    record_of,
)

OPS_MAX = 12  # TAC_SEGMENT_OPS_MAX
STEPS_MAX = 65535
STEP_ROWS_MAX = 255
_NOBODY = frozenset({""})


@dataclass(frozen=True, slots=True)
class Run:
    """`rows` output rows of op `op` from `first` on; of a fed pool, rows of its input.

    slides: (op, rows) of the rings that forget rows after it.
    """

    op: int
    first: int
    rows: int
    slides: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Segment:
    """Consecutive ops that run by rows. sources: for each op and input, the op that makes it or -1."""

    ops: tuple[Op, ...]
    runs: tuple[Run, ...]
    rows: tuple[Rows, ...]  # of each op's output
    sources: tuple[tuple[int, ...], ...]
    ring_rows: tuple[int, ...]  # of each op's output; 0 for the last one, which is whole

    @property
    def inputs(self) -> tuple[str, ...]:
        """Tensors from outside."""
        found = (
            name
            for op, sources in zip(self.ops, self.sources, strict=True)
            for name, source in zip(op.inputs, sources, strict=True)
            if source < 0
        )
        return tuple(dict.fromkeys(found))

    @property
    def output(self) -> str:
        """The tensor of the last op."""
        return self.ops[-1].output

    @property
    def step_count(self) -> int:
        """Entries of the step list."""
        return sum(1 + len(run.slides) for run in self.runs)

    def scratch_bytes(self, index: int) -> int:
        """Of one op, while it runs; of a fed pool, from its first step to its last."""
        op = self.ops[index]
        return fed_scratch(op) if fed(op) else op.scratch_bytes

    def steps_of(self, index: int) -> list[Run]:
        """The runs of one op, in order."""
        return [run for run in self.runs if run.op == index]

    def record(self, run: Run) -> Op:
        """The op that one run executes."""
        return record_of(self.ops[run.op], self.rows[run.op], run.first, run.rows)


Users = Mapping[str, frozenset[str]]


def users_of(graph: Graph) -> Users:
    """Names of the ops that read each tensor."""
    found: dict[str, set[str]] = {}
    for op in graph.ops:
        for name in op.inputs:
            found.setdefault(name, set()).add(op.name)
    return {name: frozenset(users) for name, users in found.items()}


def make_segment(
    graph: Graph,
    ops: Sequence[Op],
    rows: int,
    limits: Mapping[str, int] | None = None,
    users: Users | None = None,
) -> Segment | None:
    """The segment of ops with `rows` rows of the last one a step; None if they cannot be one.

    limits: most rows of a step, by the op's name. users: users_of(graph), if at hand.
    """
    shapes = _shapes(graph, ops, users_of(graph) if users is None else users)
    if shapes is None:
        return None
    made = {op.output: index for index, op in enumerate(ops)}
    sources = tuple(tuple(made.get(name, -1) for name in op.inputs) for op in ops)
    walk = _Walk(ops, shapes, sources, rows, limits or {})
    if not walk.run() or sum(1 + len(run.slides) for run in walk.runs) > STEPS_MAX:
        return None
    return Segment(tuple(ops), tuple(walk.runs), tuple(shapes), sources, tuple(walk.most))


def streamable(graph: Graph, ops: Sequence[Op], users: Users) -> bool:
    """Whether a run of ops can be one segment. users: users_of(graph)."""
    return _shapes(graph, ops, users) is not None


def _shapes(graph: Graph, ops: Sequence[Op], users: Users) -> list[Rows] | None:
    """Rows of each op's output; None where ops do not run by rows or a tensor is needed elsewhere."""
    if len(ops) > OPS_MAX or not all(by_rows(op) for op in ops) or any(map(fed, ops[:-1])):
        return None
    inside = {op.name for op in ops}
    rows: dict[str, Rows] = {}
    for op in (*ops, *reversed(ops)):  # forwards from producers, then backwards from consumers
        given, made = input_rows(op), output_rows(op)
        if given is None or made is None:
            known = next((rows[n] for n in (*op.inputs, op.output) if n in rows), None)
            if known is None:
                continue
            given = made = known
        for name, shape in (*((name, given) for name in op.inputs), (op.output, made)):
            if rows.setdefault(name, shape) != shape:
                return None
    if any(name not in rows for op in ops for name in (*op.inputs, op.output)):
        if len(ops) > 1:
            return None
        (op,) = ops  # elements alone: rows of any size that divides them
        size = _row_of(op)
        rows |= {name: Rows(op.fields.count // size, size) for name in (*op.inputs, op.output)}
    for name, shape in rows.items():
        if graph.tensors[name].size_bytes != shape.count * shape.row_bytes:
            return None
    for op in ops[:-1]:
        if op.output in graph.outputs or not users.get(op.output, _NOBODY) <= inside:
            return None
    return [rows[op.output] for op in ops]


def _row_of(op: Op) -> int:
    """Elements of a row of an op on elements alone: the largest divisor up to a 64th, or 64."""
    count = op.fields.count
    most = max(64, count // 64)
    return next(size for size in range(min(most, count), 0, -1) if count % size == 0)


class _Walk:
    """Makes the runs; knows at each time which rows of each ring exist."""

    def __init__(
        self,
        ops: Sequence[Op],
        shapes: Sequence[Rows],
        sources: Sequence[tuple[int, ...]],
        rows: int,
        limits: Mapping[str, int],
    ) -> None:
        self.ops, self.shapes, self.sources = ops, shapes, sources
        self.users: list[list[int]] = [[] for _ in ops]
        for index, origins in enumerate(sources):
            for source in dict.fromkeys(origins):
                if source >= 0:
                    self.users[source].append(index)
        self.goal = [
            op.fields.k_h if fed(op) else s.count for op, s in zip(ops, shapes, strict=True)
        ]
        self.next = [0] * len(ops)  # output rows made; of a fed pool, input rows taken
        self.base = [0] * len(ops)
        self.most = [0] * len(ops)
        self.runs: list[Run] = []
        self.limit = self._limits(rows, limits)

    def _limits(self, rows: int, limits: Mapping[str, int]) -> list[int]:
        """Most rows of a step of each op: what the ops after it take at a time."""
        found = [rows] * len(self.ops)
        for index in reversed(range(len(self.ops))):
            taken = [
                found[user] * (1 if fed(self.ops[user]) else max(self.ops[user].fields.stride_h, 1))
                for user in self.users[index]
            ]
            most = max(taken, default=rows)
            found[index] = min(most, STEP_ROWS_MAX, limits.get(self.ops[index].name, most))
        return found

    def run(self) -> bool:
        """All rows of the last op. False if some row count leaves its range."""
        last = len(self.ops) - 1
        self._make(last, self.goal[last], ahead=False)
        return all(run.rows <= STEP_ROWS_MAX for run in self.runs)

    def _make(self, index: int, stop: int, ahead: bool = True) -> None:
        """Output rows up to `stop`, in even steps, the odd rest first (or last: not `ahead`)."""
        limit = self.limit[index]
        while self.next[index] < stop:
            left = stop - self.next[index]
            rows = min(limit, left) if not ahead else (left - 1) % limit + 1
            _, end = needed(self.ops[index], self.next[index], rows)
            for source in self.sources[index]:
                if source >= 0:
                    self._make(source, end)
            self._step(index, rows)

    def _step(self, index: int, rows: int) -> None:
        first = self.next[index]
        self.next[index] += rows
        if index + 1 < len(self.ops):
            alive = self.next[index] - self.base[index]
            self.most[index] = max(self.most[index], alive)
        slides = []
        for ring in sorted({s for s in self.sources[index] if s >= 0}):
            keep = min(self._first_needed(user, ring) for user in self.users[ring])
            gone = min(keep, self.next[ring]) - self.base[ring]
            if gone > 0:
                slides.append((ring, gone))
                self.base[ring] += gone
        self.runs.append(Run(index, first, rows, tuple(slides)))

    def _first_needed(self, user: int, ring: int) -> int:
        """The lowest row of a ring that an op still needs."""
        if self.next[user] == self.goal[user]:
            return self.shapes[ring].count
        return needed(self.ops[user], self.next[user], 1)[0]
