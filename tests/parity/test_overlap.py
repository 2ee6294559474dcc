"""The shipped kernels at exactly the distances that the planner uses, and one byte closer.

Everything around input and output is poison that no kernel may touch. A distance is the kernel's
own only if the run at that distance is right and the run one byte closer is wrong.
"""

from __future__ import annotations

import numpy as np
import pytest
from engine_library import Engine, aligned
from hypothesis import given, settings
from hypothesis import strategies as st
from mlperf_models import MODELS, mlperf_spec
from overlap_cases import STREAMED, WINDOWED, random_op, sizes
from overlap_runs import FLOATS, graph_of, judge, random_data, run_one, shadow, shows_damage

from host.appfile import load_app
from host.boards import ROOT, load_board
from host.compile.compile import compile_model
from host.compile.graph import Kind
from host.compile.plan.overlap import certified
from host.export.program import ExportedModel, export_model
from host.export.spec import load_spec

HOST = load_board("host")


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


@pytest.mark.parametrize("name", NAMES)
def test_every_op_of_the_models_at_its_distance_and_one_byte_closer(
    engine: Engine, exported: dict[str, ExportedModel], name: str
) -> None:
    graph, rng = graph_of(exported[name], HOST), np.random.default_rng(1)
    total = {"exact": 0, "closer fails": 0}
    for op in graph.ops:
        for key, count in judge(engine, op, graph, rng).items():
            total[key] += count
    assert total["exact"] >= len(graph.ops)
    assert total["closer fails"] >= len(graph.ops) * 3 // 4


@pytest.mark.parametrize("keep_input", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_whole_plans_keep_every_tensor_while_it_is_needed(
    engine: Engine, exported: dict[str, ExportedModel], name: str, keep_input: bool
) -> None:
    for seed in range(3):
        assert list(shadow(engine, exported[name], HOST, keep_input, seed)) == []


# Activation arena, plain kernels; without segments it was 8384, 33312 and 36880.
GOALS = {
    "ds_cnn": 4528,
    "resnet8": 14848,
    "mobilenet_v1_025": 28416,
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
