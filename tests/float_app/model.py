"""An LSTM and a dense network with fixed weights. The right label is what the model itself says."""

import numpy as np
import torch
from torch import nn

from host.export.spec import ModelSpec, Record

WINDOW, CHANNELS, CLASSES, WINDOWS = 8, 3, 4, 60
LSB = 1.0 / 256


class Gates(nn.Module):
    """Input [1, 24] as 8 steps of 3, output probabilities [1, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTM(CHANNELS, 6, batch_first=True)
        self.classify = nn.Linear(6, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps, _ = self.cell(x.reshape(-1, WINDOW, CHANNELS))
        return torch.softmax(8 * self.classify(steps[:, -1]), dim=1)


def gates() -> ModelSpec:
    torch.manual_seed(1)
    return _spec("gates", Gates())


def dense() -> ModelSpec:
    torch.manual_seed(2)
    layers = nn.Sequential(
        nn.Linear(WINDOW * CHANNELS, 12),
        nn.ReLU(),
        nn.Linear(12, 8),
        nn.Tanh(),
        nn.Linear(8, CLASSES),
    )
    return _spec("dense", layers)


def _spec(name: str, module: nn.Module) -> ModelSpec:
    record = _waves()
    module = module.eval()
    values = record.values()
    with torch.no_grad():
        rows = [module(torch.from_numpy(window.reshape(1, -1))) for window in values]
    return ModelSpec(
        name=name,
        module=module,
        input_shape=(1, WINDOW * CHANNELS),
        labels=("low", "middle", "high", "none"),
        calibration=values[:1],
        record=record,
        truth=torch.cat(rows).argmax(dim=1).numpy(),
    )


def _waves() -> Record:
    draw = np.random.default_rng(7)
    time = np.arange(WINDOWS * WINDOW)[:, None]
    waves = np.sin(time * [0.05, 0.4, 1.1]) * 400 * np.sin(time / 37) + draw.normal(0, 90, (1, 3))
    return Record(
        name="waves",
        counts=waves.astype(np.int16),
        lsb=LSB,
        window=WINDOW,
        hop=WINDOW,
        starts=(np.arange(WINDOWS) * WINDOW).astype(np.uint32),
    )
