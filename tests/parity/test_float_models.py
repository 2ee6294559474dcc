"""Models that are lowered as they are, in float32: the engine against PyTorch on the whole network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from host.bench.host_engine import HostEngine
from host.boards import load_board
from host.compile.compile import plan_program
from host.export.lower import as_input, as_memory, lower_float
from host.export.support import ExportError, UnsupportedOperatorError


class Gates(nn.Module):
    """Two layers of an LSTM over 5 steps of 4, as [1, 20]."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTM(4, 7, num_layers=2, batch_first=True)
        self.out = nn.Linear(7, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps, _ = self.cell(x.reshape(-1, 5, 4))
        return torch.softmax(self.out(steps[:, -1]), dim=1)


class Residual(nn.Module):
    """Convolutions with batch norms, a depthwise one with stride and a branch around another."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.depth = nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1, groups=8), nn.BatchNorm2d(8))
        self.beside = nn.Conv2d(8, 8, 1, 2)
        self.end = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return self.end(torch.relu(self.depth(x) * torch.sigmoid(self.beside(x)) + self.beside(x)))


CASES = {
    "dense": (nn.Sequential(nn.Linear(9, 6), nn.Tanh(), nn.Linear(6, 3)), (1, 9)),
    "gates": (Gates(), (1, 20)),
    "residual": (Residual(), (1, 3, 9, 7)),
}


@pytest.mark.parametrize("board", ["host", "qemu-m4"])
@pytest.mark.parametrize("name", CASES)
def test_a_float_model_agrees_with_pytorch(name: str, board: str) -> None:
    module, shape = CASES[name]
    torch.manual_seed(1)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.4)
    module.eval()
    program = lower_float(name, module, shape).program
    planned = plan_program(name, program, load_board(board))
    engine, draw = HostEngine(), np.random.default_rng(2)
    for _ in range(5):
        window = draw.normal(0, 1.5, (1, int(np.prod(shape)))).astype(np.float32)
        with torch.no_grad():
            wanted = as_memory(module(as_input(window, shape)))[0]
        (output,) = engine.run(planned.image, [window.tobytes()], planned.arena_bytes)
        given = np.frombuffer(output, np.float32)
        assert np.abs(given - wanted).max() <= 2e-6 * np.abs(wanted).max() + 1e-7


def test_an_operator_without_a_float_kernel_is_named() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.ELU())
    with pytest.raises(UnsupportedOperatorError, match=r"aten\.elu"):
        plan_program("elu", lower_float("elu", module, (1, 4)).program, load_board("host"))
    pooled = nn.Sequential(nn.Conv2d(1, 2, 2), nn.MaxPool2d(2), nn.Flatten())
    with pytest.raises((UnsupportedOperatorError, ExportError), match="max_pool"):
        plan_program("max", lower_float("max", pooled, (1, 1, 5, 5)).program, load_board("host"))
