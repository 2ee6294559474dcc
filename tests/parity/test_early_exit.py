"""A model with an early exit: both answers bit for bit, the mandatory part first, and what the build grants."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from engine_library import Engine

from host.appfile import App, load_app
from host.boards import load_board
from host.compile.compile import compile_model
from host.compile.image import HEADER
from host.compile.order import mandatory_ops, smallest_order, topological_order
from host.compile.plan.check import PlanError, check_mandatory
from host.compile.result import CompiledModel
from host.errors import DoesNotFitError, UsageError
from host.export.lower import ExportError
from host.export.program import ExportedModel, export_model
from host.export.spec import load_spec
from host.schedule.admit import admit_tasks, is_admitted
from host.schedule.op_lengths import compile_admitted, model_timings
from host.schedule.optional import grant_optional

APP = Path(__file__).parents[1] / "early_exit_app"
M4 = load_board("qemu-m4")


@pytest.fixture(scope="module")
def app() -> App:
    return load_app(APP)


@pytest.fixture(scope="module")
def exported(app: App) -> ExportedModel:
    return export_model(load_spec(app, app.tasks[0]))


@pytest.fixture(scope="module")
def signal(app: App) -> ExportedModel:
    return export_model(load_spec(app, app.tasks[1]))


def changed(app: App, **picture: object) -> App:
    """The application with other facts about its first task."""
    first, second = app.tasks
    return dataclasses.replace(app, tasks=(dataclasses.replace(first, **picture), second))


OPTIONS = MappingProxyType(
    {
        "plain C": ("host", {}),
        "packed": ("qemu-m4", {}),
        "input kept": ("qemu-m4", {"keep_input": True}),
        "ops cut into rows": ("qemu-m4", {"longest_us": 2500}),
    }
)


@pytest.mark.parametrize("name", OPTIONS)
def test_both_answers_equal_the_reference(
    engine: Engine, exported: ExportedModel, name: str
) -> None:
    board, options = OPTIONS[name]
    compiled = compile_model(exported, load_board(board), **options)
    header = HEADER.unpack_from(compiled.image)
    assert (header[7], header[13]) == (2, compiled.mandatory_ops)
    assert compiled.early is not None and compiled.early.size_bytes == compiled.output.size_bytes
    inputs = exported.evaluation_inputs()
    final, early = exported.reference(inputs), exported.reference(inputs, 1)
    assert not np.array_equal(final, early)
    for window, last, first in zip(inputs, final, early, strict=True):
        model = engine.load(compiled.image, compiled.arena_bytes)
        model.write([window.tobytes()])
        while model.next_op < compiled.mandatory_ops:
            assert model.step() > 0
        assert model.outputs()[1] == first.tobytes(), "the mandatory part makes the early answer"
        while model.step():
            assert model.outputs()[1] == first.tobytes(), "which stays to the end"
        assert model.outputs() == [last.tobytes(), first.tobytes()]


def test_ops_that_share_no_segment_across_the_exit_are_cut_all_the_same(
    exported: ExportedModel,
) -> None:
    compiled = compile_model(exported, M4, longest_us=2500)
    assert any(op.steps > 1 for op in compiled.ops)
    assert compiled.longest_op_us <= 2500
    border = compiled.mandatory_ops
    before = {op.segment for op in compiled.ops[:border] if op.segment is not None}
    after = {op.segment for op in compiled.ops[border:] if op.segment is not None}
    assert not before & after


def test_the_times_of_the_parts_add_up(exported: ExportedModel) -> None:
    compiled = compile_model(exported, M4)
    times = [op.steps * op.wcet_us for op in compiled.ops]
    assert compiled.mandatory_us == sum(times[: compiled.mandatory_ops])
    assert compiled.full_us == compiled.budget_us == sum(times)
    assert compiled.stops_us[0] == compiled.mandatory_us
    assert compiled.stops_us[-1] == compiled.full_us
    assert list(compiled.stops_us) == sorted(set(compiled.stops_us))


def test_without_its_exit_the_model_is_an_ordinary_one(app: App, exported: ExportedModel) -> None:
    plain = export_model(load_spec(app, app.tasks[0]), early_exit=False)
    compiled, both = compile_model(plain, M4), compile_model(exported, M4)
    assert plain.early_info is None and compiled.early is None and compiled.mandatory_ops == 0
    assert compiled.full_us < both.full_us and len(compiled.image) < len(both.image)
    inputs = plain.evaluation_inputs()
    assert np.array_equal(plain.reference(inputs), exported.reference(inputs))


def test_the_mandatory_part_comes_first_in_every_order(exported: ExportedModel) -> None:
    from host.compile.importer import import_program
    from host.compile.passes import run_passes

    graph = run_passes(import_program(exported.program))
    first = mandatory_ops(graph, graph.outputs[1])
    assert 0 < len(first) < len(graph.ops)
    turned = dataclasses.replace(graph, ops=tuple(reversed(graph.ops)))
    for order in (topological_order(turned, first), smallest_order(turned, mandatory=first)):
        assert {op.name for op in order[: len(first)]} == first
        ready = set(graph.inputs)
        for op in order:
            assert ready.issuperset(op.inputs)
            ready.add(op.output)


def test_a_plan_whose_exit_lies_elsewhere_is_a_defect() -> None:
    check_mandatory(["a", "early", "b"], "early", 2)
    for written, count in ((["a", "early", "b"], 1), (["early", "early"], 1), (["a", "b"], 1)):
        with pytest.raises(PlanError, match="early"):
            check_mandatory(written, "early", count)


# ---- what the build grants


def granted(app: App, exported: ExportedModel, signal: ExportedModel) -> CompiledModel:
    compiled, _, _ = compile_admitted(app, M4, [exported, signal], [None, None])
    models = grant_optional(app, M4, compiled, [None, None])
    admit_tasks(M4, model_timings(app, M4, models))
    return models[0]


def test_with_room_the_whole_optional_part_is_granted(
    app: App, exported: ExportedModel, signal: ExportedModel
) -> None:
    relaxed = changed(app, period_us=400_000, deadline_us=400_000)
    model = granted(relaxed, exported, signal)
    assert model.granted_us is None and model.budget_us == model.full_us


def test_without_room_the_largest_part_that_is_admitted_is_granted(
    app: App, exported: ExportedModel, signal: ExportedModel
) -> None:
    model = granted(app, exported, signal)
    assert model.mandatory_us < model.budget_us < model.full_us
    assert model.budget_us in model.stops_us
    following = model.stops_us[model.stops_us.index(model.budget_us) + 1]
    more = dataclasses.replace(model, granted_us=following)
    other = compile_model(signal, M4)
    assert not is_admitted(M4, model_timings(app, M4, [more, other]))
    assert model.longest_op_us <= model.budget_us


def test_a_declared_budget_wins(app: App, exported: ExportedModel, signal: ExportedModel) -> None:
    full = compile_model(exported, M4)
    for budget_us, expected in (
        (full.mandatory_us + 7, full.mandatory_us + 7),
        (full.full_us + 1000, full.full_us),
    ):
        relaxed = changed(app, period_us=400_000, deadline_us=400_000, budget_us=budget_us)
        assert granted(relaxed, exported, signal).budget_us == expected
    short = changed(app, budget_us=full.mandatory_us - 1)
    with pytest.raises(DoesNotFitError, match=f"needs {full.mandatory_us} us"):
        granted(short, exported, signal)


def test_a_mandatory_part_that_does_not_fit_fails_the_build(
    app: App, exported: ExportedModel, signal: ExportedModel
) -> None:
    tight = changed(app, period_us=9_000, deadline_us=9_000)
    with pytest.raises(DoesNotFitError, match="picture"):
        granted(tight, exported, signal)


def test_what_does_not_go_together_is_named(app: App, exported: ExportedModel) -> None:
    with pytest.raises(UsageError, match="names no early exit"):
        load_spec(app, dataclasses.replace(app.tasks[1], early_exit=True))
    spec = exported.spec
    single = dataclasses.replace(load_spec(app, app.tasks[1]), early_exit=True)
    with pytest.raises(ExportError, match="pair of tensors"):
        export_model(single)
    with pytest.raises(ExportError, match="one tensor"):
        export_model(dataclasses.replace(spec, early_exit=False))


def test_app_toml_says_how_an_exit_is_used(tmp_path: Path) -> None:
    text = (APP / "app.toml").read_text()
    for line, value in (("", None), ("early_exit = true\n", True), ("early_exit = false\n", False)):
        (tmp_path / "app.toml").write_text(
            text.replace('model = "picture"\n', 'model = "picture"\n' + line)
        )
        assert load_app(tmp_path).tasks[0].early_exit is value
    (tmp_path / "app.toml").write_text(
        text.replace('"picture"\n', '"picture"\nearly_exit = 1\n', 1)
    )
    with pytest.raises(UsageError, match="early_exit"):
        load_app(tmp_path)
