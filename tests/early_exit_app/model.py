"""Two untrained networks with fixed weights: what they answer means nothing, and must come out bit for bit."""

import numpy as np
import torch
from torch import nn

from host.export.spec import ModelSpec, Record

WINDOWS = 40


class Picture(nn.Module):  # type: ignore[misc]
    """Two convolutions to the early answer, three more to the final one; input [n, 2, 16, 16]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 8, 3, stride=2, padding=1)
        self.body = nn.Conv2d(8, 8, 3, padding=1)
        self.early = nn.Linear(8 * 8 * 8, 5)
        self.deep = nn.Sequential(
            nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
            nn.Conv2d(16, 16, 3, stride=2, padding=1), nn.ReLU(),
        )  # fmt: skip
        self.final = nn.Linear(16 * 4 * 4, 5)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(early, final) logits."""
        x = torch.relu(self.body(torch.relu(self.stem(x))))
        early = self.early(torch.flatten(x, 1))
        return early, self.final(torch.flatten(self.deep(x), 1))


def _spec(name: str, module: nn.Module, shape: tuple[int, ...], early_exit: bool) -> ModelSpec:
    samples, channels = int(np.prod(shape[2:])), shape[1]
    random = np.random.default_rng(7)
    counts = random.integers(-2000, 2000, (WINDOWS * samples, channels)).astype(np.int16)
    record = Record(
        name=name,
        counts=counts,
        lsb=1 / 1024,
        window=samples,
        hop=samples,
        starts=(np.arange(WINDOWS) * samples).astype(np.uint32),
    )
    return ModelSpec(
        name=name,
        module=module.eval(),
        input_shape=shape,
        labels=tuple("abcde"),
        calibration=record.values()[:8],
        record=record,
        truth=random.integers(0, 5, WINDOWS),
        early_exit=early_exit,
    )


def picture() -> ModelSpec:
    """The one with an early exit."""
    torch.manual_seed(11)
    return _spec("picture", Picture(), (1, 2, 16, 16), early_exit=True)


def signal() -> ModelSpec:
    """A small one without."""
    torch.manual_seed(12)
    module = nn.Sequential(nn.Conv2d(1, 4, (1, 5)), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 28, 5))
    return _spec("signal", module, (1, 1, 1, 32), early_exit=False)
