"""The two networks of the demo. Each function returns everything that belongs to one model.

Small on purpose: a Cortex-M4 at 25 MHz runs `digits` twenty times a second beside `motion`.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from host.apps.demo.datasets import (
    ACTIVITIES,
    DIGIT_LSB,
    MOTION_LSB,
    Cases,
    basic_motions,
    digit_scans,
)
from host.apps.demo.training import trained
from host.export.spec import ModelSpec, Record

MOTION_WINDOW = 40  # samples: 4 s
MOTION_HOP = 10  # one inference a second


class MotionNet(nn.Module):  # type: ignore[misc]
    """Separable convolutions over time; input [n, 6, 1, 40], output probabilities [n, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _block(nn.Conv2d(6, 16, (1, 5), stride=(1, 2), padding=(0, 2), bias=False))
        self.depth1 = _block(nn.Conv2d(16, 16, (1, 5), (1, 2), (0, 2), groups=16, bias=False))
        self.point1 = _block(nn.Conv2d(16, 24, 1, bias=False))
        self.depth2 = _block(nn.Conv2d(24, 24, (1, 5), (1, 2), (0, 2), groups=24, bias=False))
        self.point2 = _block(nn.Conv2d(24, 24, 1, bias=False))
        self.pool = nn.AvgPool2d((1, 5))
        self.dropout = nn.Dropout(0.2)
        self.classify = nn.Linear(24, len(ACTIVITIES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Probabilities in eval mode, logits while training."""
        x = self.point1(self.depth1(self.stem(x)))
        x = self.pool(self.point2(self.depth2(x)))
        x = self.classify(self.dropout(torch.flatten(x, 1)))
        return x if self.training else torch.softmax(x, dim=1)


class DigitsNet(nn.Module):  # type: ignore[misc]
    """A small residual network; input [n, 1, 8, 8], output logits [n, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _block(nn.Conv2d(1, 16, 3, stride=2, padding=1, bias=False))
        self.depth = _block(nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False))
        self.point = nn.Conv2d(16, 16, 1)
        self.pool = nn.MaxPool2d(2)
        self.mix = _block(nn.Conv2d(16, 32, 2, bias=False))
        self.classify = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        x = self.stem(x)
        x = torch.relu(x + self.point(self.depth(x)))
        x = self.mix(self.pool(x))
        return self.classify(torch.flatten(x, 1))


def _block(convolution: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU())


def motion() -> ModelSpec:
    """What a wearer does, from 4 s of a smartwatch."""
    train, test = basic_motions()
    signals = train.counts.astype(np.float32) * np.float32(MOTION_LSB)

    def batch(
        draw: np.random.Generator,
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        cases = draw.integers(0, len(signals), 64)
        starts = draw.integers(0, signals.shape[1] - MOTION_WINDOW + 1, 64)
        windows = np.stack(
            [
                signals[case, start : start + MOTION_WINDOW]
                for case, start in zip(cases, starts, strict=True)
            ]
        )
        windows = windows * draw.normal(1.0, 0.15, (64, 1, 6)).astype(np.float32)
        windows = windows + draw.normal(0.0, 0.05, windows.shape).astype(np.float32)
        return windows.transpose(0, 2, 1)[:, :, None, :].copy(), train.truth[cases]

    torch.manual_seed(3)
    fingerprint = train.counts.tobytes() + train.truth.tobytes()
    module = trained(
        "motion", MotionNet(), batch, steps=500, peak_rate=0.01, fingerprint=fingerprint
    )
    record = _motion_record(test)
    windows_per_case = len(record.starts) // len(test.truth)
    calibration = signals[:, 10 : 10 + 2 * MOTION_WINDOW].reshape(-1, MOTION_WINDOW, 6)
    return ModelSpec(
        name="motion",
        module=module,
        input_shape=(1, 6, 1, MOTION_WINDOW),
        labels=ACTIVITIES,
        calibration=calibration,
        record=record,
        truth=np.repeat(test.truth, windows_per_case),
    )


def _motion_record(test: Cases) -> Record:
    cases, samples, axes = test.counts.shape
    first = np.arange(0, samples - MOTION_WINDOW + 1, MOTION_HOP)
    starts = (np.arange(cases)[:, None] * samples + first).reshape(-1)
    return Record(
        name="motion",
        counts=test.counts.reshape(-1, axes),
        lsb=MOTION_LSB,
        window=MOTION_WINDOW,
        hop=MOTION_HOP,
        starts=starts.astype(np.uint32),
    )


def digits() -> ModelSpec:
    """Handwritten digits from 8x8 scans."""
    train, test = digit_scans()
    scans = train.counts.astype(np.float32).reshape(-1, 8, 8) * np.float32(DIGIT_LSB)

    def batch(
        draw: np.random.Generator,
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        chosen = draw.integers(0, len(scans), 96)
        padded = np.pad(scans[chosen], ((0, 0), (1, 1), (1, 1)))
        rows, columns = draw.integers(0, 3, 96), draw.integers(0, 3, 96)
        still = draw.random(96) < 0.5
        rows[still] = columns[still] = 1
        shifted = np.stack(
            [
                scan[row : row + 8, column : column + 8]
                for scan, row, column in zip(padded, rows, columns, strict=True)
            ]
        )
        return shifted[:, None], train.truth[chosen]

    torch.manual_seed(5)
    fingerprint = train.counts.tobytes() + train.truth.tobytes()
    module = trained(
        "digits", DigitsNet(), batch, steps=2000, peak_rate=0.02, fingerprint=fingerprint
    )
    windows = len(test.truth)
    record = Record(
        name="digits",
        counts=test.counts.reshape(-1, 1),
        lsb=DIGIT_LSB,
        window=64,
        hop=64,
        starts=(np.arange(windows) * 64).astype(np.uint32),
    )
    return ModelSpec(
        name="digits",
        module=module,
        input_shape=(1, 1, 8, 8),
        labels=tuple("0123456789"),
        calibration=scans[::10].reshape(-1, 64, 1),
        record=record,
        truth=test.truth,
    )
