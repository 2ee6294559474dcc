"""The four MLPerf Tiny models as ExecuTorch's wheel brings them, with seeded random weights."""

from __future__ import annotations

import numpy as np
import torch
from executorch.examples.models.mlperf_tiny import (
    DSCNNKWS,
    DeepAutoEncoder,
    MobileNetV1025,
    ResNet8,
)

from host.export.spec import ModelSpec, Record

WINDOWS = 4
MODELS = {
    "ds_cnn": (DSCNNKWS, (1, 1, 49, 10)),
    "resnet8": (ResNet8, (1, 3, 32, 32)),
    "mobilenet_v1_025": (MobileNetV1025, (1, 3, 96, 96)),
    "deep_autoencoder": (DeepAutoEncoder, (1, 640)),
}


def mlperf_spec(name: str) -> ModelSpec:
    """Random batch norm statistics give folded weights a spread over channels; noise as data."""
    torch.manual_seed(0)
    make, shape = MODELS[name]
    module = make().eval()
    for part in module.modules():
        if isinstance(part, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            part.weight.data.uniform_(0.6, 1.4)
            part.bias.data.uniform_(-0.3, 0.3)
            part.running_mean.uniform_(-0.1, 0.1)
            part.running_var.uniform_(0.05, 0.3)
    channels = shape[1]
    window = int(np.prod(shape)) // channels
    counts = np.random.default_rng(0).integers(-256, 256, (WINDOWS * window, channels))
    starts = (np.arange(WINDOWS) * window).astype(np.uint32)
    record = Record("noise", counts.astype(np.int16), 1 / 256, window, window, starts)
    return ModelSpec(
        name=name,
        module=module,
        input_shape=shape,
        labels=("none",),
        calibration=record.values()[:2],
        record=record,
        truth=np.zeros(WINDOWS, dtype=np.int64),
    )
