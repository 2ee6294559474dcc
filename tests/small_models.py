"""Small random networks for tests: from a list of layer descriptions to a ModelSpec."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from host.export.spec import ModelSpec, Record


class Residual(nn.Module):
    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.inside(x))


class Scaled(nn.Module):
    """Adds a per-channel mean over the map: the add that broadcasts over channels."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.nn.functional.adaptive_avg_pool2d(x, 1)


def layer(kind: str, channels: int, **options: Any) -> tuple[nn.Module, int]:
    """A layer that takes `channels`, and how many it gives."""
    out = options.pop("out", channels)
    if kind == "conv":
        return nn.Conv2d(channels, out, **options), out
    if kind == "depthwise":
        multiplier = options.pop("multiplier", 1)
        given = channels * multiplier
        return nn.Conv2d(channels, given, groups=channels, **options), given
    if kind == "residual":
        return Residual(nn.Conv2d(channels, channels, 3, padding=1)), channels
    simple = {
        "max": nn.MaxPool2d,
        "avg": nn.AvgPool2d,
        "relu": nn.ReLU,
        "relu6": nn.ReLU6,
        "sigmoid": nn.Sigmoid,
        "tanh": nn.Tanh,
        "pad": nn.ZeroPad2d,
        "scaled": Scaled,
        "dropout": nn.Dropout,
    }
    return simple[kind](**options), channels


def network(
    shape: tuple[int, ...], layers: list[tuple[str, dict[str, Any]]], head: str, seed: int
) -> nn.Module:
    """Layers on a map [1, C, H, W], then `head`: "none", "linear" or "softmax"."""
    torch.manual_seed(seed)
    channels, modules = shape[1], []
    for kind, options in layers:
        module, channels = layer(kind, channels, **options)
        modules.append(module)
    body = nn.Sequential(*modules).eval()
    if head == "none":
        return body
    with torch.no_grad():
        elements = body(torch.zeros(shape)).numel()
    tail: list[nn.Module] = [nn.Flatten(), nn.Linear(elements, 5)]
    if head == "softmax":
        tail.append(nn.Softmax(dim=1))
    return nn.Sequential(body, *tail).eval()


def spec_of(module: nn.Module, shape: tuple[int, ...], seed: int, windows: int = 24) -> ModelSpec:
    """A spec with random normal data; one sample is a pixel (or a whole vector)."""
    random = np.random.default_rng(seed)
    channels = shape[1]
    window = int(np.prod(shape)) // channels
    counts = np.clip(random.normal(0, 400, (windows * window, channels)), -2000, 2000)
    record = Record(
        name="noise",
        counts=counts.astype(np.int16),
        lsb=1 / 256,
        window=window,
        hop=window,
        starts=(np.arange(windows) * window).astype(np.uint32),
    )
    return ModelSpec(
        name="small",
        module=module,
        input_shape=shape,
        labels=("a", "b", "c", "d", "e"),
        calibration=record.values()[: windows // 2],
        record=record,
        truth=np.zeros(windows, dtype=np.int64),
    )
