"""Operator order: of all topological orders the one whose largest load is smallest.

Dynamic programming over the sets of operators that can have run, as in Ahn et al., "Ordering
Chaos" (MLSys 2020): the best way to a set is the best way to one operator less, and a load counts
what the operator's kernel can overwrite. Graphs with too many such sets keep the model's order.
"""

from collections.abc import Collection, Sequence

from host.compile.graph import Graph, Op
from host.compile.plan.lifetimes import lifetimes
from host.compile.plan.problem import make_problem, overlaps

STATES = 5000  # sets of operators that are looked at; a chain has one for each operator


def mandatory_ops(graph: Graph, early: str) -> frozenset[str]:
    """Names of the ops that the early answer needs."""
    needed: set[str] = set()
    waiting = [early]
    while waiting:
        op = graph.producer(waiting.pop())
        if op is not None and op.name not in needed:
            needed.add(op.name)
            waiting += op.inputs
    return frozenset(needed)


def topological_order(graph: Graph, mandatory: Collection[str] = ()) -> tuple[Op, ...]:
    """The ops so that each runs after its inputs exist, as in the model where that allows it.

    mandatory: names of ops that run before all others. Raises ValueError for a cycle (Kahn's algorithm).
    """
    ready = set(graph.inputs)
    waiting = sorted(graph.ops, key=lambda op: op.name not in mandatory)
    ordered: list[Op] = []
    while waiting:
        chosen = next((op for op in waiting if ready.issuperset(op.inputs)), None)
        if chosen is None:
            raise ValueError(f"no order exists for {[op.name for op in waiting]}")
        waiting.remove(chosen)
        ready.add(chosen.output)
        ordered.append(chosen)
    return tuple(ordered)


def smallest_order(
    graph: Graph, keep_input: bool = False, mandatory: Collection[str] = ()
) -> tuple[Op, ...]:
    """The order of the smallest lower bound of the arena; the model's own where none is smaller.

    mandatory: names of ops that run before all others.
    """
    own = topological_order(graph, mandatory)
    if all(len(graph.consumers(name)) < 2 for name in graph.tensors):
        return own  # no branches, no choice
    best = _search(graph, own, keep_input, mandatory)
    if best is None or _bound(graph, best, keep_input) >= _bound(graph, own, keep_input):
        return own
    return best


def _bound(graph: Graph, ops: Sequence[Op], keep_input: bool) -> int:
    buffers = lifetimes(graph, ops, keep_input)
    return make_problem(buffers, overlaps(ops, buffers)).lower_bound


def _search(
    graph: Graph, ops: Sequence[Op], keep_input: bool, mandatory: Collection[str]
) -> tuple[Op, ...] | None:
    """Layer by layer over sets of done ops (bit masks): the smallest largest load, and the way."""
    made_by = {op.output: index for index, op in enumerate(ops)}
    needs = [sum(1 << made_by[name] for name in set(op.inputs) if name in made_by) for op in ops]
    first = sum(1 << index for index, op in enumerate(ops) if op.name in mandatory)
    needs = [need if first >> index & 1 else need | first for index, need in enumerate(needs)]
    readers = {
        name: sum(1 << index for index, op in enumerate(ops) if name in op.inputs)
        for name in graph.tensors
    }
    lasting = {*graph.outputs, *(graph.inputs if keep_input else ())}
    layer: dict[int, tuple[int, tuple[int, ...]]] = {0: (0, ())}
    seen = 0
    for _ in ops:
        following: dict[int, tuple[int, tuple[int, ...]]] = {}
        for done, (load, way) in layer.items():
            for index, op in enumerate(ops):
                bit = 1 << index
                if done & bit or needs[index] & ~done:
                    continue
                alive = [
                    name
                    for name in graph.tensors
                    if (name in graph.inputs or done >> made_by[name] & 1)
                    and (name in lasting or readers[name] & ~done)
                ]
                dying = [n for n in alive if n not in lasting and not readers[n] & ~(done | bit)]
                step = max(load, _load(graph, op, alive, dying))
                known = following.get(done | bit)
                if known is None or (step, (*way, index)) < known:
                    following[done | bit] = (step, (*way, index))
        seen += len(following)
        if seen > STATES:
            return None
        layer = following
    return tuple(ops[index] for index in next(iter(layer.values()))[1])


def _load(graph: Graph, op: Op, alive: Sequence[str], dying: Sequence[str]) -> int:
    """Units that one op needs at least, with `alive` before it, of which `dying` die in it."""
    others = sum(
        -(-graph.tensors[name].size_bytes // 16) for name in alive if name not in op.inputs
    )
    inputs = tuple(dict.fromkeys(op.inputs))
    alone = Graph(
        {name: graph.tensors[name] for name in (*inputs, op.output)}, (op,), inputs, (op.output,)
    )
    buffers = lifetimes(alone, alone.ops)
    shared = [one for one in overlaps(alone.ops, buffers) if one.input in dying]
    return others + make_problem(buffers, shared).lower_bound
