"""Runs plans with segments step by step; what no later step needs is poison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from engine_library import Engine, aligned

from host.compile.graph import Graph
from host.compile.image import Placed, write_image
from host.compile.plan.arena import ArenaPlan
from host.compile.plan.problem import Node
from host.compile.plan.rows import fed, needed
from host.compile.plan.steps import Segment
from host.compile.records import segment_ops, segment_record


def image_of(
    graph: Graph, nodes: Sequence[Node], places: Mapping[str, Placed], arena_bytes: int
) -> bytes:
    """The image of nodes with tensors, rings and scratch at `places`."""
    records, segments = [], []
    for node in nodes:
        if isinstance(node, Segment):
            segments.append(segment_record(node, len(records)))
            records += segment_ops(node)
        else:
            records.append(node)
    times = [1] * len(records)
    return write_image(records, times, places, graph.inputs, graph.outputs, arena_bytes, segments)


def apart(graph: Graph) -> tuple[dict[str, Placed], int]:
    """Places without any overlap, and their end."""
    places, end = {}, 0
    sizes = {name: tensor.size_bytes for name, tensor in graph.tensors.items()}
    for name, size in (*sizes.items(), *((op.scratch, op.scratch_bytes) for op in graph.ops)):
        places[name] = Placed(end, size)
        end = -(-(end + size) // 16) * 16
    return places, end


class Free:
    """A run with all tensors apart: what every row must be."""

    def __init__(self, engine: Engine, graph: Graph, rng: np.random.Generator) -> None:
        self.graph = graph
        self.places, end = apart(graph)
        self.arena = aligned(end)
        self.inputs = {
            name: rng.integers(0, 256, graph.tensors[name].size_bytes, np.uint8)
            for name in graph.inputs
        }
        for name, data in self.inputs.items():
            self.at(name)[:] = data
        for _ in engine.run_on(image_of(graph, graph.ops, self.places, end), self.arena):
            pass

    def at(self, name: str) -> np.ndarray:
        """The bytes of a tensor."""
        place = self.places[name]
        return self.arena[place.offset : place.offset + place.size_bytes]


def shadow_plan(
    engine: Engine, graph: Graph, plan: ArenaPlan, rng: np.random.Generator
) -> Iterator[str]:
    """What differs after any step from a run with all tensors apart. graph.ops: those of the plan."""
    free = Free(engine, graph, rng)
    places = {p.name: Placed(p.offset, p.size_bytes) for p in plan.buffers}
    arena = aligned(plan.arena_bytes)
    arena[:] = rng.integers(0, 256, arena.size, np.uint8)
    for name, data in free.inputs.items():
        start = places[name].offset
        arena[start : start + data.size] = data
    steps = engine.run_on(image_of(graph, plan.nodes, places, plan.arena_bytes), arena)
    done = 0
    for node in plan.nodes:
        last = done + (len(node.ops) if isinstance(node, Segment) else 1) - 1
        through = [
            (p.name, 0, p.size_bytes, p.offset)
            for p in plan.buffers
            if p.name in graph.tensors
            and p.name != node.output
            and p.first <= done
            and (p.last > last or (p.last == last and (p.name in graph.outputs)))
        ]
        for held in _after_each(node, places, graph):
            next(steps)
            alive = np.zeros(arena.size, bool)
            for name, first, size, offset in (*through, *held):
                got = arena[offset : offset + size]
                alive[offset : offset + size] = True
                if name in graph.tensors and (got != free.at(name)[first : first + size]).any():
                    yield f"{name} from {first} on differs"
            arena[~alive] = rng.integers(0, 256, int((~alive).sum()), np.uint8)
        done = last + 1
    assert next(steps, None) is None


Held = tuple[str, int, int, int]  # name, first byte of the tensor, bytes, arena offset


def _after_each(node: Node, places: Mapping[str, Placed], graph: Graph) -> Iterator[list[Held]]:
    """What is alive after each step of a node: of its output, rings, dying inputs and sums."""
    if not isinstance(node, Segment):
        yield [(node.output, 0, places[node.output].size_bytes, places[node.output].offset)]
        return
    base, made = [0] * len(node.ops), [0] * len(node.ops)
    for time, run in enumerate(node.runs):
        made[run.op] += run.rows
        for ring, rows in run.slides:
            base[ring] += rows
        held: list[Held] = []
        for index, op in enumerate(node.ops):
            size = node.rows[index].row_bytes
            if not fed(op):
                rows = made[index] - base[index]
                held.append((op.output, base[index] * size, rows * size, places[op.output].offset))
            elif made[index] == op.fields.k_h:
                held.append((op.output, 0, size, places[op.output].offset))
            elif made[index] > 0:
                held.append((op.scratch, 0, node.scratch_bytes(index), places[op.scratch].offset))
        for name in node.inputs:
            rows_left = [
                needed(node.ops[later.op], later.first, later.rows)[0] * _row(node, later.op)
                for later in node.runs[time + 1 :]
                if name in node.ops[later.op].inputs
            ]
            if rows_left:
                low, size = min(rows_left), graph.tensors[name].size_bytes
                held.append((name, low, size - low, places[name].offset + low))
        yield held


def _row(segment: Segment, index: int) -> int:
    f = segment.ops[index].fields
    return f.in_w * f.in_c or segment.rows[index].row_bytes
