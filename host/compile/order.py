"""Operator order: topological, as stable as the model's own order allows (Kahn's algorithm)."""

from host.compile.graph import Graph, Op


def topological_order(graph: Graph) -> tuple[Op, ...]:
    """The ops so that each runs after its inputs exist. Raises ValueError for a cycle."""
    ready = set(graph.inputs)
    waiting = list(graph.ops)
    ordered: list[Op] = []
    while waiting:
        chosen = next((op for op in waiting if ready.issuperset(op.inputs)), None)
        if chosen is None:
            raise ValueError(f"no order exists for {[op.name for op in waiting]}")
        waiting.remove(chosen)
        ready.add(chosen.output)
        ordered.append(chosen)
    return tuple(ordered)
