"""Models that no board can run: the error names the operator, the model's line and a way out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_models import network, spec_of
from torch import nn

from host.appfile import load_app
from host.boards import load_board
from host.compile.compile import compile_model
from host.compile.import_pieces import SPLIT
from host.compile.importer import HANDLERS
from host.errors import ExitCode, TactusError, UsageError
from host.export.program import export_model
from host.export.spec import load_spec
from host.export.support import FLOAT, SUPPORTED, ExportError, UnsupportedOperatorError

SHAPE = (1, 4, 6, 6)


class Sine(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(torch.sin(self.conv(x)))


class SineAtTheEnd(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sin(x)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTM(36, 8, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.cell(x.reshape(1, 4, 36))[0][:, -1]


class MeanOfChannels(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(self.conv(x).mean(1, keepdim=True).expand(1, 4, 6, 6))


class Branch(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1 if x.sum() > 0 else x


class Two(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x + x, x - x


def refusal(module: nn.Module) -> TactusError:
    with pytest.raises(ExportError) as caught:
        compile_model(export_model(spec_of(module.eval(), SHAPE, 0)), load_board("host"))
    for line in (caught.value.cause, caught.value.remedy):
        assert line and "\n" not in line
    return caught.value


def test_every_operator_called_supported_has_an_importer() -> None:
    assert {*HANDLERS, *SPLIT} == {*SUPPORTED, *FLOAT}


@pytest.mark.parametrize(
    ("module", "operator", "code"),
    [
        (Sine(), "aten.sin", "torch.sin(self.conv(x))"),
        (SineAtTheEnd(), "aten.sin", "return torch.sin(x)"),
        (Recurrent(), "aten.", "self.cell(x.reshape(1, 4, 36))"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_the_operator_and_the_models_line_are_named(
    module: nn.Module, operator: str, code: str
) -> None:
    error = refusal(module)
    assert isinstance(error, UnsupportedOperatorError)
    assert error.exit_code == ExitCode.FAILURE
    assert operator in error.operator and operator in error.cause
    assert f"{Path(__file__).name}:" in error.source
    assert code in error.source


def test_a_dilated_max_pool_says_what_would_help() -> None:
    pool = network(SHAPE, [("max", {"kernel_size": 2, "dilation": 2})], "none", 0)
    assert "without dilation" in refusal(pool).remedy


def test_a_recurrent_cell_is_told_apart_from_the_operators_it_breaks_into() -> None:
    remedy = refusal(Recurrent()).remedy
    assert "recurrent cells have no kernel in int8" in remedy
    assert 'precision = "float32"' in remedy


def test_an_operator_that_no_device_runs_comes_with_what_devices_run_in_both_precisions() -> None:
    remedy = refusal(Sine()).remedy
    for kind in ("conv2d", "softmax", "lut", "float32: ", "f32_conv2d", "f32_unary"):
        assert kind in remedy


def test_an_operator_that_only_float32_has_says_so() -> None:
    error = refusal(MeanOfChannels())
    assert "aten.mean" in error.cause and "stayed in float32" in error.cause
    assert 'precision = "float32"' in error.remedy


def test_a_branch_on_data_names_its_line() -> None:
    assert "x.sum() > 0" in refusal(Branch()).cause


def test_two_outputs_and_a_wrong_input_shape_are_refused() -> None:
    assert "does not return one tensor" in refusal(Two()).cause
    assert "does not run on an input [1, 4, 6, 6]" in refusal(nn.Conv2d(3, 3, 1)).cause


APP = """
name = "small"
version = "1"
[[task]]
name = "one"
model = "MODEL"
period_ms = 10
deadline_ms = 10
source = { kind = "replay", record = "noise" }
"""


def spec_refusal(folder: Path, model: str, source: str) -> UsageError:
    (folder / "app.toml").write_text(APP.replace("MODEL", model))
    (folder / "model.py").write_text(source)
    app = load_app(folder)
    with pytest.raises(UsageError) as caught:
        load_spec(app, app.tasks[0])
    return caught.value


def test_a_model_function_that_is_not_there_is_named_with_the_nearest(tmp_path: Path) -> None:
    error = spec_refusal(tmp_path, "motoin", "def motion():\n    return 1\n")
    assert "has no function 'motoin'" in error.cause
    assert "did you mean 'motion'?" in error.remedy


def test_a_model_file_that_does_not_load_or_returns_nonsense_is_refused(tmp_path: Path) -> None:
    assert "returned int" in spec_refusal(tmp_path, "motion", "def motion():\n    return 1\n").cause
    assert "does not load" in spec_refusal(tmp_path, "motion", "def motion(:\n").cause
    assert "does not load" in spec_refusal(tmp_path, "motion", "import nothing_like_it\n").cause
    crash = spec_refusal(tmp_path, "motion", "def motion():\n    return [][3]\n")
    assert "motion() failed: IndexError: list index out of range (line 2)" in crash.cause


def test_a_record_of_another_name_is_refused(tmp_path: Path) -> None:
    source = (
        "from small_models import network, spec_of\n"
        "def one():\n"
        "    return spec_of(network((1, 6), [], 'linear', 0), (1, 6), 0)\n"
    )
    (tmp_path / "app.toml").write_text(APP.replace("MODEL", "one"))
    (tmp_path / "model.py").write_text(source)
    app = load_app(tmp_path)
    assert load_spec(app, app.tasks[0]).record.name == "noise"
    (tmp_path / "app.toml").write_text(APP.replace("MODEL", "one").replace("noise", "sound"))
    app = load_app(tmp_path)
    with pytest.raises(UsageError, match=r"source.record is 'sound'"):
        load_spec(app, app.tasks[0])
