"""One model of a benchmark, ready to run: compiled, packaged, and inputs with their right answers."""

import hashlib
import pickle
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from host.boards import BUILD, ROOT, Board
from host.compile.result import CompiledModel
from host.flash.lock import locked
from host.package import keys
from host.package.write import PackageHead, PackageTask, ReplaySource, write_package

ARENA_BYTES = 1 << 20  # of the bench, not of the board: what a model needs is to be measured
_PERIOD_US = 60_000_000
_SHAPING = (
    *("host/export", "host/compile", "host/schedule", "host/package", "protocol"),
    *("host/boards.py", "host/bench/mlperf_tiny.py", "host/bench/workload.py", "pyproject.toml"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Workload:
    """A model on a board.

    package_bytes: signed, this model alone, without self-test vectors.
    inputs, expected: int8 [n, bytes] as in the arena; expected is what the Python reference says.
    """

    compiled: CompiledModel
    package_bytes: int
    inputs: npt.NDArray[np.int8]
    expected: npt.NDArray[np.int8]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of its convolutions and linear layers."""
        weighted = ("conv2d", "dwconv2d", "linear")
        return sum(op.units for op in self.compiled.ops if op.kind in weighted)


def workload(name: str, board: Board) -> Workload:
    """A model of host.bench.mlperf_tiny for a board; kept in build/bench until what shapes it changes."""
    folder = BUILD / "bench" / board.name / name
    with locked(folder):
        kept = folder / f"workload-{_fingerprint(board)}.pickle"
        if kept.is_file():
            found: Workload = pickle.loads(kept.read_bytes())
            return found
        made = _made(name, board)
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("workload-*.pickle"):
            old.unlink()
        kept.write_bytes(pickle.dumps(made))
    return made


def _made(name: str, board: Board) -> Workload:
    from host.bench.mlperf_tiny import mlperf_tiny_spec
    from host.compile.compile import compile_model
    from host.export.program import export_model

    exported = export_model(mlperf_tiny_spec(name))
    compiled = compile_model(exported, replace(board, arena_bytes=ARENA_BYTES))
    record = exported.spec.record
    task = PackageTask(
        name=name,
        model=compiled,
        arena_offset=0,
        period_us=_PERIOD_US,
        deadline_us=_PERIOD_US,
        policy="skip_next",
        labels=(),
        source=ReplaySource(record.name, record.lsb, record.window, record.hop),
        selftests=(),
    )
    head = PackageHead(name, "1.0.0", 1, board.device_class)
    inputs = _inputs(exported.evaluation_inputs())
    return Workload(
        compiled=compiled,
        package_bytes=len(write_package(head, [task], b"", keys.demo_signer())),
        inputs=inputs,
        expected=exported.reference(inputs),
    )


def _inputs(windows: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """The record's windows, as many of random bytes and as many of nothing but extremes."""
    random = np.random.default_rng(1)
    noise = np.asarray(random.integers(-128, 128, windows.shape), np.int8)
    extremes = np.asarray(random.integers(0, 2, windows.shape) * 255 - 128, np.int8)
    return np.concatenate([windows, noise, extremes])


def _fingerprint(board: Board) -> str:
    digest = hashlib.sha256((board.folder / "board.toml").read_bytes())
    for name in _SHAPING:
        for file in _files(ROOT / name):
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    else:
        yield from sorted(path.rglob("*.py"))
