"""Whole models: PyTorch -> plan image -> C engine, against the reference execution, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from engine_library import Engine
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import network, spec_of

from host.appfile import load_app
from host.boards import ROOT, Board, load_board
from host.compile.compile import compile_model
from host.compile.image import HEADER
from host.compile.result import CompiledModel
from host.errors import DoesNotFitError
from host.export.program import ExportedModel, export_model
from host.export.spec import load_spec

HOST = load_board("host")
M4 = load_board("qemu-m4")


@pytest.fixture(scope="module")
def demo() -> dict[str, ExportedModel]:
    """The demo's models, exported (trained first where build/cache lacks them)."""
    app = load_app(ROOT / "host" / "apps" / "demo")
    return {task.name: export_model(load_spec(app, task)) for task in app.tasks}


def mismatches(
    engine: Engine, compiled: CompiledModel, inputs: np.ndarray, expected: np.ndarray
) -> int:
    """Windows whose engine output differs in any byte."""
    return sum(
        engine.run(compiled.image, [window.tobytes()], compiled.arena_bytes) != [want.tobytes()]
        for window, want in zip(inputs, expected, strict=True)
    )


def hard_inputs(exported: ExportedModel, seed: int, count: int = 64) -> np.ndarray:
    """The model's own windows and random bytes, extremes included."""
    random = np.random.default_rng(seed)
    size = exported.input_info.size_bytes
    noise = random.integers(-128, 128, (count, size)).astype(np.int8)
    extreme = random.choice(np.array([-128, 127], np.int8), (8, size))
    return np.concatenate([exported.evaluation_inputs(), noise, extreme])


@pytest.mark.parametrize("board", [HOST, M4], ids=lambda board: board.name)
@pytest.mark.parametrize("name", ["motion", "digits"])
def test_the_engine_equals_the_reference_on_every_test_window(
    engine: Engine, demo: dict[str, ExportedModel], name: str, board: Board
) -> None:
    exported = demo[name]
    compiled = compile_model(exported, board)
    inputs = exported.evaluation_inputs()
    assert len(inputs) == len(exported.spec.truth)
    assert mismatches(engine, compiled, inputs, exported.reference(inputs)) == 0
    noise = hard_inputs(exported, 1)
    assert mismatches(engine, compiled, noise, exported.reference(noise)) == 0


@pytest.mark.parametrize(("name", "least"), [("motion", 0.90), ("digits", 0.96)])
def test_quantization_costs_little_accuracy(
    demo: dict[str, ExportedModel], name: str, least: float
) -> None:
    exported = demo[name]
    outputs = exported.reference(exported.evaluation_inputs())
    on_device = float((outputs.argmax(axis=1) == exported.spec.truth).mean())
    assert exported.float_accuracy() >= least
    assert exported.quantized_accuracy() >= least
    assert abs(on_device - exported.quantized_accuracy()) <= 0.01


@pytest.mark.parametrize("name", ["motion", "digits"])
def test_the_device_quantizes_sensor_counts_as_pytorch_does(
    engine: Engine, demo: dict[str, ExportedModel], name: str
) -> None:
    exported = demo[name]
    record, info = exported.spec.record, exported.input_info
    inverse = np.float32(1) / np.float32(info.scale)
    counts = engine.quantize_i16(record.counts, np.float32(record.lsb), inverse, info.zero_point)
    rows = counts.reshape(record.counts.shape)
    windows = np.stack([rows[at : at + record.window].reshape(-1) for at in record.starts])
    np.testing.assert_array_equal(windows, exported.evaluation_inputs())


def test_together_the_demo_models_use_every_kernel_it_promises(
    demo: dict[str, ExportedModel],
) -> None:
    kinds = {op.kind for model in demo.values() for op in compile_model(model, HOST).ops}
    assert {"conv2d", "dwconv2d", "linear", "add", "maxpool2d", "avgpool2d", "softmax"} <= kinds


def test_a_batch_of_the_reference_equals_single_windows(demo: dict[str, ExportedModel]) -> None:
    for exported in demo.values():
        inputs = exported.evaluation_inputs()[:5]
        single = np.concatenate([exported.reference(window[None]) for window in inputs])
        np.testing.assert_array_equal(exported.reference(inputs), single)
        last = compile_model(exported, HOST).ops[-1].name
        np.testing.assert_array_equal(exported.trace(inputs[0])[last], single[0])


def test_the_image_is_smaller_than_executorchs_file_and_repeats(
    demo: dict[str, ExportedModel],
) -> None:
    for exported in demo.values():
        once, again = compile_model(exported, M4), compile_model(exported, M4)
        assert once == again
        assert len(once.image) < exported.pte_bytes
        assert once.arena_lower_bound_bytes <= once.arena_bytes == HEADER.unpack_from(once.image)[8]
        assert once.budget_us == sum(op.steps * op.wcet_us for op in once.ops)
        assert once.budget_us >= once.longest_op_us > 0


def test_exporting_twice_gives_the_same_image(demo: dict[str, ExportedModel]) -> None:
    again = export_model(demo["digits"].spec)
    assert compile_model(again, M4).image == compile_model(demo["digits"], M4).image
    assert again.evidence == demo["digits"].evidence


def test_a_model_larger_than_the_boards_arena_says_what_fills_it() -> None:
    module = network((1, 4, 64, 64), [("conv", {"out": 32, "kernel_size": 1})], "none", 0)
    exported = export_model(spec_of(module, (1, 4, 64, 64), 0, windows=2))
    with pytest.raises(DoesNotFitError, match="qemu-m4 has 65536") as caught:
        compile_model(exported, M4)
    assert "conv2d 131072" in caught.value.cause


CASES: dict[str, tuple[tuple[int, ...], list[tuple[str, dict[str, Any]]], str]] = {
    "grouped convolution, residual, padded average pool": (
        (1, 4, 8, 6),
        [
            ("conv", {"out": 8, "kernel_size": 3, "groups": 2}),
            ("residual", {}),
            ("avg", {"kernel_size": 2, "padding": 1, "count_include_pad": False}),
        ],
        "linear",
    ),
    "dilated convolution, counted padding": (
        (1, 4, 8, 6),
        [
            ("conv", {"out": 8, "kernel_size": 3, "dilation": 2, "padding": 2}),
            ("avg", {"kernel_size": 3, "padding": 1, "stride": 2}),
        ],
        "linear",
    ),
    "asymmetric padding, strides, padded max pool": (
        (1, 4, 8, 6),
        [
            ("pad", {"padding": (1, 2, 0, 1)}),
            ("conv", {"out": 8, "kernel_size": 3, "stride": 2}),
            ("max", {"kernel_size": 3, "padding": 1, "stride": 2}),
        ],
        "linear",
    ),
    "tables for sigmoid and tanh": (
        (1, 4, 8, 6),
        [
            ("conv", {"kernel_size": 3}),
            ("sigmoid", {}),
            ("conv", {"kernel_size": 1}),
            ("tanh", {}),
        ],
        "none",
    ),
    "an addition that repeats over channels": (
        (1, 4, 8, 6),
        [("conv", {"kernel_size": 3}), ("scaled", {}), ("dropout", {})],
        "linear",
    ),
    "depthwise with multiplier, relu6, softmax": (
        (1, 3, 8, 7),
        [
            ("depthwise", {"kernel_size": 3, "padding": 1, "multiplier": 2}),
            ("relu6", {}),
            ("avg", {"kernel_size": 2, "ceil_mode": True, "count_include_pad": False}),
        ],
        "softmax",
    ),
    "a lone clamp": ((1, 4, 5, 5), [("relu", {})], "none"),
    "nothing at all": ((1, 4, 5, 5), [("dropout", {})], "none"),
    "a vector": ((1, 6), [], "softmax"),
}


@pytest.mark.parametrize("title", CASES)
def test_small_models_equal_the_reference(engine: Engine, title: str) -> None:
    shape, layers, head = CASES[title]
    exported = export_model(spec_of(network(shape, layers, head, 1), shape, 1))
    compiled = compile_model(exported, HOST)
    inputs = hard_inputs(exported, 2)
    expected = exported.reference(inputs)
    assert mismatches(engine, compiled, inputs, expected) == 0
    assert len(np.unique(expected)) > 20, "the outputs must vary, or the comparison is blind"


@st.composite
def architectures(
    draw: st.DrawFn,
) -> tuple[tuple[int, ...], list[tuple[str, dict[str, Any]]], str]:
    """One to four layers on a small map, shapes tracked so that each one fits."""
    height, width = draw(st.integers(6, 10)), draw(st.integers(6, 10))
    shape = (1, draw(st.integers(1, 5)), height, width)
    layers: list[tuple[str, dict[str, Any]]] = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["conv", "depthwise", "residual", "max", "avg", "relu"]))
        options: dict[str, Any] = {}
        if kind in ("conv", "depthwise", "max", "avg"):
            kernel = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
            stride = draw(st.integers(1, 2))
            padding = draw(st.integers(0, min(kernel) // 2))
            options = {"kernel_size": kernel, "stride": stride, "padding": padding}
            height = (height + 2 * padding - kernel[0]) // stride + 1
            width = (width + 2 * padding - kernel[1]) // stride + 1
            if min(height, width) < 1:
                break
        if kind == "conv":
            options |= {"out": draw(st.integers(1, 9)), "bias": draw(st.booleans())}
        if kind == "depthwise":
            options["multiplier"] = draw(st.integers(1, 3))
        if kind == "avg":
            options["count_include_pad"] = draw(st.booleans())
        layers.append((kind, options))
    return shape, layers, draw(st.sampled_from(["none", "linear", "softmax"]))


@settings(max_examples=12)
@given(architectures(), st.integers(0, 2**16))
def test_random_models_equal_the_reference(
    engine: Engine,
    architecture: tuple[tuple[int, ...], list[tuple[str, dict[str, Any]]], str],
    seed: int,
) -> None:
    shape, layers, head = architecture
    exported = export_model(spec_of(network(shape, layers, head, seed), shape, seed))
    compiled = compile_model(exported, HOST)
    inputs = hard_inputs(exported, seed)
    assert mismatches(engine, compiled, inputs, exported.reference(inputs)) == 0
