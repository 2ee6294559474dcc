"""The four networks of MLPerf Tiny, int8, with seeded random weights: the models of `bench engine`.

Architectures: executorch.examples.models.mlperf_tiny. Instructions, memory and sizes do not depend on training; batch
norm gets random statistics, so that folded weights and multipliers spread as those of trained models do.
"""

from typing import Any

import numpy as np
import torch

from host.export.lower import as_memory
from host.export.quiet import quiet
from host.export.spec import ModelSpec, Record

with quiet():
    from executorch.examples.models import mlperf_tiny

SEED = 0
_CALIBRATION = 8
_WINDOWS = 2
_LSB = 1 / 32768
_NETWORKS: dict[str, tuple[str, tuple[int, ...], int]] = {
    "ds_cnn": ("DSCNNKWS", (1, 1, 49, 10), 12),
    "resnet8": ("ResNet8", (1, 3, 32, 32), 10),
    "mobilenet_v1_025": ("MobileNetV1025", (1, 3, 96, 96), 2),
    "deep_autoencoder": ("DeepAutoEncoder", (1, 640), 640),
}
NAMES = tuple(_NETWORKS)


def mlperf_tiny_spec(name: str) -> ModelSpec:
    """One of NAMES, with uniform random windows for calibration and as its record."""
    class_name, shape, outputs = _NETWORKS[name]
    torch.manual_seed(SEED)
    module = getattr(mlperf_tiny, class_name)().eval()
    _randomize_batch_norm(module)
    calibration = np.concatenate(
        [as_memory(torch.rand(shape) * 2 - 1) for _ in range(_CALIBRATION)]
    )
    channels = shape[1]
    window = int(np.prod(shape)) // channels
    counts = np.random.default_rng(SEED).integers(-32768, 32768, (_WINDOWS * window, channels))
    return ModelSpec(
        name=name,
        module=module,
        input_shape=shape,
        labels=tuple(str(index) for index in range(outputs)),
        calibration=calibration.reshape(_CALIBRATION, window, channels),
        record=Record(
            name="noise",
            counts=counts.astype(np.int16),
            lsb=_LSB,
            window=window,
            hop=window,
            starts=(np.arange(_WINDOWS) * window).astype(np.uint32),
        ),
        truth=np.zeros(_WINDOWS, dtype=np.int64),
    )


def _randomize_batch_norm(module: Any) -> None:
    for layer in module.modules():
        if isinstance(layer, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            layer.weight.data.uniform_(0.6, 1.4)
            layer.bias.data.uniform_(-0.3, 0.3)
            layer.running_mean.uniform_(-0.1, 0.1)
            layer.running_var.uniform_(0.05, 0.3)
