"""An application that is not quantized runs on both kinds of board, bit for bit as it was built."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from host import answers, build
from host.boards import load_board
from host.demo import prepare, run_demo
from host.errors import DoesNotFitError, VerificationError
from host.flash.device_room import DEVICES_VARIABLE
from host.flash.flasher import stop_board
from host.monitor.views import choose_view
from host.package import tasks
from host.progress import silent

APP = str(Path(__file__).parents[1] / "float_app")
SPEED = 20


@pytest.mark.emulated
@pytest.mark.parametrize("name", ["host", "qemu-m4"])
def test_models_in_float32_answer_on_the_board_as_the_build_said(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DEVICES_VARIABLE, str(tmp_path / "devices"))
    built = prepare(APP, name, SPEED, silent)
    assert [task["precision"] for task in built.report["tasks"]] == ["float32", "float32"]
    kinds = {op["kind"] for task in built.report["tasks"] for op in task["op_table"]}
    assert {"f32_unary", "f32_binary", "f32_conv2d", "f32_softmax"} <= kinds
    assert not kinds & {"quantize", "dequantize"}, "nothing is quantized in between"
    try:
        with open("/dev/null", "w") as nowhere:
            view = choose_view(False, nowhere, keep=False)
            result = run_demo(built, SPEED, view, tmp_path / "report.html")
    finally:
        stop_board(load_board(name))
    assert result.parity_mismatches == 0
    for task, model in zip(result.tasks, result.models, strict=True):
        assert task.windows == 60
        assert task.accuracy.float_model == task.accuracy.device == 1.0
        assert model.arena_planned_bytes - 16 < model.arena_touched_bytes
        assert model.arena_touched_bytes <= model.arena_planned_bytes


def test_answers_that_pytorch_does_not_confirm_fail_the_build() -> None:
    built = build.build_app(APP, "host")
    from host.compile.compile import compile_model
    from host.export.program import export_model
    from host.export.spec import load_spec

    app = build.find_app(APP)
    exported = export_model(load_spec(app, app.tasks[1]), floating=True)
    compiled = compile_model(exported, built.board)
    inputs = exported.evaluation_inputs()
    right = answers.right_answers(exported, compiled, inputs)
    assert right.shape == (60, 16)
    assert np.array_equal(right, built.expected("dense"))
    other = export_model(load_spec(app, app.tasks[0]), floating=True)
    with pytest.raises(VerificationError, match="float32 is off by"):
        answers.right_answers(other, compiled, inputs)


def test_an_output_that_a_result_cannot_carry_is_refused_with_the_limit() -> None:
    app = build.find_app(APP)
    output = _Output()
    with pytest.raises(DoesNotFitError) as caught:
        tasks.check_outputs(dataclasses.replace(app, tasks=app.tasks[:1]), [output])  # type: ignore[list-item]
    assert "5 values of float32, 20 bytes; a result record carries 16" in caught.value.cause
    assert "at most 4 values of float32" in caught.value.remedy


class _Output:
    """Of a compiled model, what the check looks at."""

    def __init__(self) -> None:
        from host.compile.result import TensorInfo

        self.output = TensorInfo((1, 5), "float32", 1.0, 0, 20)
