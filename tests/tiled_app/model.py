"""Untrained networks with fixed weights, one of them with a long convolution. The right label is what the model itself says."""

from itertools import pairwise

import numpy as np
import torch
from torch import nn

from host.export.spec import ModelSpec, Record

SIDE, CLASSES, WINDOWS = 24, 4, 12
LSB = 1.0 / 256
LABELS = ("low", "middle", "high", "none")


def quick() -> ModelSpec:
    return _spec(
        "quick", nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, CLASSES)), (1, 16)
    )


def trend() -> ModelSpec:
    return _spec(
        "trend", nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, CLASSES)), (1, 16)
    )


def wide() -> ModelSpec:
    """One convolution whose whole output is wanted at once: to stream its rows saves no RAM, so only time asks for it."""
    return _image("wide", 12, 13)


def narrow() -> ModelSpec:
    return _image("narrow", 4, 5)


def heavy() -> ModelSpec:
    """A row of its second convolution alone takes longer than any other job can wait."""
    layers = (
        nn.Conv2d(1, 64, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, CLASSES),
    )
    return _spec("heavy", nn.Sequential(*layers), (1, 1, 6, 96))


def stack() -> ModelSpec:
    """Rows streamed through many layers: single rows take the least RAM, several at a time the least work."""
    channels = (1, 8, 8, 8, 16)
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels[-1], CLASSES)]
    return _spec("stack", nn.Sequential(*layers), (1, 1, SIDE, SIDE))


def _image(name: str, channels: int, kernel: int) -> ModelSpec:
    layers = (
        nn.Conv2d(1, channels, kernel, padding=kernel // 2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(channels * SIDE * SIDE, CLASSES),
    )
    return _spec(name, nn.Sequential(*layers), (1, 1, SIDE, SIDE))


def _spec(name: str, module: nn.Module, shape: tuple[int, ...]) -> ModelSpec:
    torch.manual_seed(1)
    for parameter in module.parameters():
        nn.init.uniform_(parameter, -0.3, 0.3)
    module = module.eval()
    record = _noise(int(np.prod(shape)))
    values = record.values()
    with torch.no_grad():
        rows = [module(torch.from_numpy(window.reshape(shape))) for window in values]
    return ModelSpec(
        name=name,
        module=module,
        input_shape=shape,
        labels=LABELS,
        calibration=values[:4],
        record=record,
        truth=torch.cat(rows).argmax(dim=1).numpy(),
    )


def _noise(window: int) -> Record:
    random = np.random.default_rng(window)
    counts = random.integers(-256, 256, (window * WINDOWS, 1)).astype(np.int16)
    return Record(f"noise{window}", counts, LSB, window, window, np.arange(WINDOWS) * window)
