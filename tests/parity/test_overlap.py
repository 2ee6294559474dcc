"""The shipped kernels at exactly the distances that the planner uses, and one byte closer.

Everything around input and output is poison that no kernel may touch. A distance is the kernel's
own only if the run at that distance is right and the run one byte closer is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from engine_library import Engine, aligned
from hypothesis import given, settings
from hypothesis import strategies as st
from mlperf_models import MODELS, mlperf_spec
from overlap_cases import STREAMED, WINDOWED, random_op, sizes

from host.appfile import load_app
from host.boards import ROOT, load_board
from host.compile.compile import compile_model
from host.compile.graph import Graph, Kind, Op
from host.compile.image import Placed, write_image
from host.compile.importer import import_program
from host.compile.order import topological_order
from host.compile.passes import run_passes
from host.compile.plan.arena import plan_arena
from host.compile.plan.overlap import REVERSE, certified
from host.export.program import ExportedModel, export_model
from host.export.spec import load_spec

HOST = load_board("host")
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
    poison outside the output is whole."""
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
    arena[out : out + out_bytes] = before[out : out + out_bytes]
    return result, bool((arena == before).all())


def random_data(op: Op, graph: Graph | None, rng: np.random.Generator) -> list[bytes]:
    if op.kind == Kind.QUANTIZE:
        count = op.fields.count
        return [rng.normal(0, 60 / op.fields.scale, count).astype("<f4").tobytes()]
    return [rng.integers(-128, 128, size, np.int8).tobytes() for size in tensor_bytes(op, graph)[0]]


def judge(engine: Engine, op: Op, graph: Graph | None, rng: np.random.Generator) -> dict[str, int]:
    """Every mode of an op at its distance and one byte closer; counts what was seen."""
    seen = {"exact": 0, "closer fails": 0}
    in_bytes, out_bytes = tensor_bytes(op, graph)
    # The engine wants floats at multiples of four; distances round up, one step closer is four.
    step = 4 if op.kind in FLOATS else 1
    for which, certificate in enumerate(certified(op)):
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
                if attempt == DATA_SETS // 2 and op.kind == Kind.LINEAR:
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
            assert closer_fails, f"{op.name} input {which} is right at {distance - step} too"
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


@settings(max_examples=250, deadline=None)
@given(
    st.sampled_from([Kind.CONV2D, Kind.DWCONV2D, Kind.LINEAR, Kind.ADD, Kind.LUT, Kind.PAD]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_random_ops_at_their_distances(
    engine: Engine, kind: Kind, reverse: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    op = random_op(kind, rng, reverse and kind == Kind.DWCONV2D)
    if shows_damage(op):
        judge(engine, op, None, rng)


def shows_damage(op: Op) -> bool:
    """Whether a clobbered byte must change the output: no weight of zero, no unread input."""
    return 0 not in op.constants.weights or op.kind == Kind.LUT


@pytest.mark.parametrize("kind", [*WINDOWED, *STREAMED, Kind.LINEAR, Kind.PAD])
def test_every_kernel_at_its_distance(engine: Engine, kind: Kind) -> None:
    """Right at the distance; that one byte closer fails is shown where values cannot hide it."""
    rng = np.random.default_rng(kind)
    for _ in range(25):
        op = random_op(kind, rng)
        in_bytes, _ = sizes(op)
        for which, certificate in enumerate(certified(op)):
            assert certificate.forward is not None
            distance = max(certificate.forward, -in_bytes[which])
            if kind in FLOATS:
                distance = -(-distance // 4) * 4
            data = random_data(op, None, rng)
            want, _ = run_one(engine, op, None, data, None, 0, rng)
            got, whole = run_one(engine, op, None, data, which, distance, rng)
            assert got == want and whole


@pytest.fixture(scope="module")
def exported() -> dict[str, ExportedModel]:
    """The demo's models and MLPerf Tiny's."""
    app = load_app(ROOT / "host" / "apps" / "demo")
    models = {task.name: export_model(load_spec(app, task)) for task in app.tasks}
    return models | {name: export_model(mlperf_spec(name)) for name in MODELS}


NAMES = ["motion", "digits", *MODELS]


def graph_of(model: ExportedModel) -> Graph:
    graph = run_passes(import_program(model.program))
    return replace(graph, ops=topological_order(graph))


@pytest.mark.parametrize("name", NAMES)
def test_every_op_of_the_models_at_its_distance_and_one_byte_closer(
    engine: Engine, exported: dict[str, ExportedModel], name: str
) -> None:
    graph, rng = graph_of(exported[name]), np.random.default_rng(1)
    total = {"exact": 0, "closer fails": 0}
    for op in graph.ops:
        for key, count in judge(engine, op, graph, rng).items():
            total[key] += count
    assert total["exact"] >= len(graph.ops)
    assert total["closer fails"] >= len(graph.ops) * 3 // 4


def shadow(engine: Engine, model: ExportedModel, keep_input: bool, seed: int) -> Iterator[str]:
    """Runs a plan; after each op its output is compared and all bytes of the dead are poisoned."""
    graph, rng = graph_of(model), np.random.default_rng(seed)
    plan = plan_arena(graph, graph.ops, keep_input)
    places = {p.name: Placed(p.offset, p.size_bytes) for p in plan.buffers}
    end, apart = 0, {}
    for name, tensor in graph.tensors.items():
        apart[name] = Placed(end, tensor.size_bytes)
        end = -(-(end + tensor.size_bytes) // 16) * 16
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
            if buffer.name == plan.ops[index].output or (needed_later and buffer.first <= index):
                here, there = places[buffer.name], apart[buffer.name]
                got = arena[here.offset : here.offset + here.size_bytes]
                want = free[there.offset : there.offset + there.size_bytes]
                if (got != want).any():
                    yield f"op {index} {plan.ops[index].name}: {buffer.name} differs"
                alive[here.offset : here.offset + here.size_bytes] = True
        arena[~alive] = rng.integers(0, 256, int((~alive).sum()), np.uint8)


@pytest.mark.parametrize("keep_input", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_whole_plans_keep_every_tensor_while_it_is_needed(
    engine: Engine, exported: dict[str, ExportedModel], name: str, keep_input: bool
) -> None:
    for seed in range(3):
        assert list(shadow(engine, exported[name], keep_input, seed)) == []


# Activation arena: 16-byte aligned optimum of research with certified overlap, plain kernels.
GOALS = {
    "ds_cnn": 8400,
    "resnet8": 33900,
    "mobilenet_v1_025": 36900,
    "deep_autoencoder": 768,
}


@pytest.mark.parametrize("name", MODELS)
def test_arenas_of_mlperf_tiny_reach_the_goal_and_are_optimal(
    engine: Engine, exported: dict[str, ExportedModel], name: str
) -> None:
    compiled = compile_model(exported[name], HOST)
    assert compiled.arena_bytes <= GOALS[name]
    assert compiled.plan_optimal
    assert compiled.arena_lower_bound_bytes == compiled.arena_bytes
    kept = compile_model(exported[name], HOST, keep_input=True)
    assert kept.keep_input_bytes == kept.arena_bytes - compiled.arena_bytes > 0
    inputs = exported[name].evaluation_inputs()
    expected = exported[name].reference(inputs)
    for plan in (compiled, kept):
        for window, want in zip(inputs, expected, strict=True):
            assert engine.run(plan.image, [window.tobytes()], plan.arena_bytes) == [want.tobytes()]


def test_a_kept_input_is_whole_after_the_run(
    engine: Engine, exported: dict[str, ExportedModel]
) -> None:
    compiled = compile_model(exported["ds_cnn"], HOST, keep_input=True)
    (window,) = exported["ds_cnn"].evaluation_inputs()[:1]
    size = compiled.input.size_bytes
    place = next(p for p in compiled.buffers if p.first == 0 and p.size_bytes == size)
    arena = aligned(compiled.arena_bytes)
    arena[place.offset : place.offset + size] = window.view(np.uint8)
    for _ in engine.run_on(compiled.image, arena):
        pass
    assert (arena[place.offset : place.offset + size] == window.view(np.uint8)).all()
