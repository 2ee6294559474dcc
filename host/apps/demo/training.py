"""Trains the demo's networks: seeded, single-threaded (so that runs repeat), cached."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from host.boards import BUILD

CACHE = BUILD / "cache" / "networks"
Batch = Callable[[np.random.Generator], tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]]


def trained(
    name: str,
    module: torch.nn.Module,
    batch: Batch,
    *,
    steps: int,
    peak_rate: float,
    fingerprint: bytes,
) -> torch.nn.Module:
    """The module with trained weights, in eval mode; from the cache when nothing has changed.

    batch: draws inputs float32 [n, C, H, W] and labels int64 [n] from a generator.
    fingerprint: the data. The sources of this application and torch's version are added to it.
    """
    key = hashlib.sha256(fingerprint + torch.__version__.encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        key.update(source.read_bytes())
    file = CACHE / f"{name}-{key.hexdigest()[:16]}.pt"
    if not file.is_file():
        _train(module, batch, steps, peak_rate)
        CACHE.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        torch.save(module.state_dict(), part)
        part.replace(file)
    module.load_state_dict(torch.load(file, weights_only=True))
    return module.eval()


def _train(module: torch.nn.Module, batch: Batch, steps: int, peak_rate: float) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    draw = np.random.default_rng(1)
    optimizer = torch.optim.AdamW(module.parameters(), lr=peak_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak_rate, total_steps=steps)
    loss = torch.nn.CrossEntropyLoss(label_smoothing=0.05)
    module.train()
    try:
        for _ in range(steps):
            inputs, truth = batch(draw)
            optimizer.zero_grad()
            loss(module(torch.from_numpy(inputs)), torch.from_numpy(truth)).backward()
            optimizer.step()
            schedule.step()
    finally:
        torch.set_num_threads(threads)
