"""The packed kernels at exactly the distances that the planner uses, and one byte closer.

They run here in portable C; tests/emulated/test_bench_engine.py runs the plans on an Armv7E-M core.
"""

from __future__ import annotations

import numpy as np
import pytest
from engine_library import Engine
from hypothesis import given, settings
from hypothesis import strategies as st
from mlperf_models import MODELS, mlperf_spec
from overlap_cases import PACKED, packed_op
from overlap_runs import graph_of, judge, shadow

from host.boards import load_board
from host.compile.compile import compile_model
from host.compile.graph import Kind
from host.export.program import ExportedModel, export_model

BOARD = load_board("qemu-m4")
# A maximum hides smaller values, and only a mean half-way between two integers is computed again.
HIDING = (Kind.MAXPOOL2D, Kind.AVGPOOL2D)
# In a model small weights and ReLU may hide one byte; random ops show it for depthwise.
HIDING_IN_MODELS = (*HIDING, Kind.DWCONV2D)
# Activation arena with scratch; without segments it was 8640, 34176 and 37280.
GOALS = {"ds_cnn": 5776, "resnet8": 18432, "mobilenet_v1_025": 27952, "deep_autoencoder": 640}


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(PACKED), st.integers(0, 2**32 - 1))
def test_random_packed_ops_at_their_distances(engine: Engine, kind: Kind, seed: int) -> None:
    rng = np.random.default_rng(seed)
    judge(engine, packed_op(kind, rng), None, rng, kind not in HIDING)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([4, 8, 16, 32, 64]), st.integers(0, 2**32 - 1))
def test_depthwise_at_its_distance_among_multiples(
    engine: Engine, channels: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    op = packed_op(Kind.DWCONV2D, rng, channels)
    # Whether one byte closer shows depends on the values; test_overlap_formulas.py shows it is exact.
    judge(engine, op, None, rng, must_show=False, alignment=max(16, channels))


@pytest.fixture(scope="module")
def exported() -> dict[str, ExportedModel]:
    """MLPerf Tiny's models."""
    return {name: export_model(mlperf_spec(name)) for name in MODELS}


@pytest.mark.parametrize("name", MODELS)
def test_every_packed_op_of_the_models_at_its_distance_and_one_byte_closer(
    engine: Engine, exported: dict[str, ExportedModel], name: str
) -> None:
    graph, rng = graph_of(exported[name], BOARD), np.random.default_rng(1)
    assert all(op.layout == 1 for op in graph.ops)
    for op in graph.ops:
        judge(engine, op, graph, rng, op.kind not in HIDING_IN_MODELS)


@pytest.mark.parametrize("keep_input", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_whole_packed_plans_keep_every_tensor_while_it_is_needed(
    engine: Engine, exported: dict[str, ExportedModel], name: str, keep_input: bool
) -> None:
    for seed in range(2):
        assert list(shadow(engine, exported[name], BOARD, keep_input, seed)) == []


@pytest.mark.parametrize("name", MODELS)
def test_arenas_of_packed_plans_reach_the_goal(
    engine: Engine, exported: dict[str, ExportedModel], name: str
) -> None:
    compiled = compile_model(exported[name], BOARD)
    assert compiled.arena_bytes <= GOALS[name]
    inputs = exported[name].evaluation_inputs()
    for window, want in zip(inputs, exported[name].reference(inputs), strict=True):
        got = engine.run(compiled.image, [window.tobytes()], compiled.arena_bytes)
        assert got == [want.tobytes()]
