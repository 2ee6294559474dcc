"""Runs single ops and whole plans with overlapping tensors; everything else is poison."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from engine_library import Engine, aligned
from overlap_cases import sizes

from host.boards import Board
from host.compile.graph import Graph, Kind, Op
from host.compile.image import Placed, write_image
from host.compile.importer import import_program
from host.compile.order import topological_order
from host.compile.packing import pack_graph
from host.compile.passes import run_passes
from host.compile.plan.arena import plan_arena
from host.compile.plan.overlap import REVERSE, certified
from host.export.program import ExportedModel

GUARD = 256
DATA_SETS = 24  # of random bytes, until one shows the damage one byte closer
FLOATS = (Kind.QUANTIZE, Kind.DEQUANTIZE)


def tensor_bytes(op: Op, graph: Graph | None) -> tuple[list[int], int]:
    if graph is None:
        return sizes(op)
    return [graph.tensors[name].size_bytes for name in op.inputs], graph.tensors[
        op.output
    ].size_bytes


def run_one(
    engine: Engine,
    op: Op,
    graph: Graph | None,
    data: list[bytes],
    which: int | None,
    distance: int,
    rng: np.random.Generator,
) -> tuple[bytes, bool]:
    """The output with input `which` at `distance` above it (None: all apart), and whether the
    poison outside output and scratch is whole."""
    in_bytes, out_bytes = tensor_bytes(op, graph)
    out = -(-(GUARD + max(in_bytes)) // 16) * 16
    end = out + out_bytes + GUARD
    if which is not None:
        end = max(end, out + distance + in_bytes[which] + GUARD)
    places = {op.output: Placed(out, out_bytes)}
    for index, (name, size) in enumerate(zip(op.inputs, in_bytes, strict=True)):
        start = out + distance if index == which else -(-end // 16) * 16
        if index != which:
            end = start + size + GUARD
        places[f"{name}#{index}"] = Placed(start, size)
    scratch = -(-(end + GUARD) // 16) * 16
    places[op.scratch] = Placed(scratch, op.scratch_bytes)
    end = scratch + op.scratch_bytes
    inputs = [f"{name}#{index}" for index, name in enumerate(op.inputs)]
    lone = replace(op, inputs=tuple(inputs))
    image = write_image([lone], [1], places, inputs, [op.output], end + GUARD)
    arena = aligned(end + GUARD)
    arena[:] = rng.integers(0, 256, arena.size, np.uint8)
    for name, content in zip(inputs, data, strict=True):
        start = places[name].offset
        arena[start : start + len(content)] = np.frombuffer(content, np.uint8)
    before = arena.copy()
    for _ in engine.run_on(image, arena):
        pass
    result = arena[out : out + out_bytes].tobytes()
    for start, size in ((out, out_bytes), (scratch, op.scratch_bytes)):
        arena[start : start + size] = before[start : start + size]
    return result, bool((arena == before).all())


def random_data(op: Op, graph: Graph | None, rng: np.random.Generator) -> list[bytes]:
    if op.kind == Kind.QUANTIZE:
        count = op.fields.count
        return [rng.normal(0, 60 / op.fields.scale, count).astype("<f4").tobytes()]
    return [rng.integers(-128, 128, size, np.int8).tobytes() for size in tensor_bytes(op, graph)[0]]


def judge(
    engine: Engine,
    op: Op,
    graph: Graph | None,
    rng: np.random.Generator,
    must_show: bool = True,
    alignment: int = 1,
) -> dict[str, int]:
    """Every mode of an op at its distance and one byte closer; counts what was seen.

    must_show: one byte closer has to fail; otherwise values may hide the damage.
    alignment: only its multiples are tried; one of them is the step closer.
    """
    seen = {"exact": 0, "closer fails": 0}
    in_bytes, out_bytes = tensor_bytes(op, graph)
    # The engine wants these at multiples of four; distances round up, one step closer is four.
    words = op.layout == 1 and op.kind == Kind.CONV2D and op.fields.in_c % 4 == 0
    step = max(4 if words or op.kind in FLOATS else 1, alignment)
    for which, certificate in enumerate(certified(op, alignment)):
        for reverse, bound in ((False, certificate.forward), (True, certificate.reverse)):
            if bound is None:
                continue
            distance = -(-bound // step) * step
            run = replace(op, fields=replace(op.fields, flags=REVERSE if reverse else 0))
            apart = distance >= (in_bytes[which] if reverse else out_bytes)
            if distance <= -(out_bytes if reverse else in_bytes[which]):
                distance = -(min(in_bytes[which], out_bytes) // 2 // step * step)
                closer_fails = True  # nothing to be shown
            else:
                closer_fails = apart  # disjoint buffers: the kernel gains nothing
            sign = -1 if reverse else 1
            for attempt in range(DATA_SETS):
                if attempt == DATA_SETS // 2 and op.kind == Kind.LINEAR and op.layout == 0:
                    run = loud(run, rng)
                data = random_data(run, graph, rng)
                want, _ = run_one(engine, run, graph, data, None, 0, rng)
                got, whole = run_one(engine, run, graph, data, which, sign * distance, rng)
                assert whole, f"{op.name} wrote outside its output"
                assert got == want, f"{op.name} input {which} at {distance}, reverse {reverse}"
                if not closer_fails:
                    near = sign * (distance - step)
                    got, whole = run_one(engine, run, graph, data, which, near, rng)
                    assert whole, f"{op.name} wrote outside its output"
                    closer_fails = got != want
                    seen["closer fails"] += closer_fails
                if closer_fails:
                    break
            seen["exact"] += 1
            assert closer_fails or not must_show, (
                f"{op.name} input {which} is right at {distance - step} too"
            )
    return seen


def loud(op: Op, rng: np.random.Generator) -> Op:
    """A linear op of the same shape in which one changed input shows: a small weight may hide it."""
    f, count = op.fields, len(op.constants.weights)
    weights = rng.integers(90, 128, count) * rng.choice([-1, 1], count)
    shift = round(np.log2(40 / (np.sqrt(f.in_c) * 74 * 109))) + 1
    return replace(
        op,
        fields=replace(
            f, mult0=2**30, shift0=shift, in0_add=0, out_add=0, act_min=-128, act_max=127
        ),
        constants=replace(op.constants, weights=weights.astype(np.int8).tobytes(), bias=b""),
    )


def shows_damage(op: Op) -> bool:
    """Whether a clobbered byte must change the output: no weight of zero, no unread input."""
    return 0 not in op.constants.weights or op.kind == Kind.LUT


def graph_of(model: ExportedModel, board: Board) -> Graph:
    """The ops of a model in the order and with the kernels of a board."""
    graph = pack_graph(run_passes(import_program(model.program)), board)
    return replace(graph, ops=topological_order(graph))


def shadow(
    engine: Engine, model: ExportedModel, board: Board, keep_input: bool, seed: int
) -> Iterator[str]:
    """Runs a plan; after each op its output is compared and all bytes of the dead are poisoned."""
    graph, rng = graph_of(model, board), np.random.default_rng(seed)
    plan = plan_arena(graph, graph.ops, keep_input)
    places = {p.name: Placed(p.offset, p.size_bytes) for p in plan.buffers}
    end, apart = 0, {}
    for name, tensor in graph.tensors.items():
        apart[name] = Placed(end, tensor.size_bytes)
        end = -(-(end + tensor.size_bytes) // 16) * 16
    for op in graph.ops:
        apart[op.scratch] = Placed(end, op.scratch_bytes)
        end = -(-(end + op.scratch_bytes) // 16) * 16
    times = [1] * len(plan.ops)
    border = (graph.inputs, graph.outputs)
    image = write_image(plan.ops, times, places, *border, plan.arena_bytes)
    free_image = write_image(graph.ops, times, apart, *border, end)
    arena, free = aligned(plan.arena_bytes), aligned(end)
    arena[:] = rng.integers(0, 256, arena.size, np.uint8)
    for name in graph.inputs:
        data = rng.integers(0, 256, graph.tensors[name].size_bytes, np.uint8)
        for memory, where in ((arena, places[name]), (free, apart[name])):
            memory[where.offset : where.offset + where.size_bytes] = data
    both = zip(engine.run_on(image, arena), engine.run_on(free_image, free), strict=True)
    for index, _ in both:
        alive = np.zeros(arena.size, bool)
        for buffer in plan.buffers:
            needed_later = buffer.first <= index < buffer.last or buffer.name in graph.outputs
            if buffer.name not in graph.tensors:  # scratch is nobody's once its op has run
                continue
            if buffer.name == plan.ops[index].output or (needed_later and buffer.first <= index):
                here, there = places[buffer.name], apart[buffer.name]
                got = arena[here.offset : here.offset + here.size_bytes]
                want = free[there.offset : there.offset + there.size_bytes]
                if (got != want).any():
                    yield f"op {index} {plan.ops[index].name}: {buffer.name} differs"
                alive[here.offset : here.offset + here.size_bytes] = True
        arena[~alive] = rng.integers(0, 256, int((~alive).sum()), np.uint8)
