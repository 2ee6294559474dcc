"""What an application's model.py says about one model: module, data, labels. No torch here."""

import importlib.util
import inspect
import sys
import traceback
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from host.appfile import App, Task
from host.errors import TactusError, UsageError


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """A recorded sensor signal and the windows a model is evaluated on.

    counts: int16 [samples, channels], sensor counts; one count is `lsb` (a float32) units.
    starts: uint32 [windows], first sample of each window; a window is `window` samples.
    hop: samples between the windows of a live source.
    """

    name: str
    counts: npt.NDArray[np.int16]
    lsb: float
    window: int
    hop: int
    starts: npt.NDArray[np.uint32]

    def values(self) -> npt.NDArray[np.float32]:
        """All windows in physical units, float32 [windows, window, channels]: what devices see."""
        index = self.starts.astype(np.int64)[:, None] + np.arange(self.window)
        return self.counts[index].astype(np.float32) * np.float32(self.lsb)


@dataclass(frozen=True, slots=True, eq=False)
class ModelSpec:
    """One model: a trained torch.nn.Module in eval mode and the data that belongs to it.

    input_shape: [1, C, H, W] or [1, N]. Windows fill an input in memory order: row-major for [1, N],
        channels last (H, W, C) for [1, C, H, W], so a window of samples is the input.
    calibration: float32 [batches, window, channels], never part of the evaluation.
    truth: int64 [windows], the right label of each window of the record.
    early_exit: the module returns (early, final), two tensors of one shape. Where time is short the first is
        the answer (imprecise computation, Liu et al., "Algorithms for Scheduling Imprecise Computations",
        Computer 24(5), 1991): what it needs is the mandatory part, the rest is optional.
    """

    name: str
    module: Any
    input_shape: tuple[int, ...]
    labels: tuple[str, ...]
    calibration: npt.NDArray[np.float32]
    record: Record
    truth: npt.NDArray[np.int64]
    early_exit: bool = False


def load_spec(app: App, task: Task) -> ModelSpec:
    """Call the task's function of the application's model.py. Raises UsageError."""
    where = f"{app.path}: task {task.name!r}"
    module = _load_module(app.model_file)
    function = getattr(module, task.model, None)
    if not callable(function):
        names = [
            name
            for name, value in inspect.getmembers(module, inspect.isfunction)
            if value.__module__ == module.__name__ and not name.startswith("_")
        ]
        near = get_close_matches(task.model, names, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UsageError(
            f"{where}: {app.model_file} has no function {task.model!r}",
            f"{hint}it has: {', '.join(names) or 'none'}",
        )
    try:
        spec = function()
    except TactusError:
        raise
    except Exception as error:
        raise UsageError(
            f"{app.model_file}: {task.model}() failed: {_told(error, app.model_file)}",
            "correct it there; --verbose shows the whole traceback",
        ) from error
    if not isinstance(spec, ModelSpec):
        raise UsageError(
            f"{where}: {task.model}() returned {type(spec).__name__}",
            "return a host.export.spec.ModelSpec",
        )
    if spec.record.name != task.source.record:
        raise UsageError(
            f"{where}: source.record is {task.source.record!r}",
            f"{task.model}() brings the record {spec.record.name!r}; name that one",
        )
    if task.early_exit and not spec.early_exit:
        raise UsageError(
            f"{where}: early_exit is true, and {task.model}() names no early exit",
            "return (early, final) from the module and set early_exit=True in its ModelSpec",
        )
    _check(spec, f"{app.model_file}: {task.model}()")
    return spec


def _load_module(file: Path) -> ModuleType:
    if not file.is_file():
        raise UsageError(f"there is no {file}", "define the models there, one function each")
    name = f"tactus_app_{file.parent.name}"
    found = importlib.util.spec_from_file_location(name, file)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # torch.export looks functions up there
    sys.path.insert(0, str(file.parent))
    try:
        found.loader.exec_module(module)
    except TactusError:
        raise
    except Exception as error:
        del sys.modules[name]
        remedy = "correct it there; --verbose shows the whole traceback"
        raise UsageError(f"{file} does not load: {_told(error, file)}", remedy) from error
    finally:
        sys.path.remove(str(file.parent))
    return module


def _told(error: Exception, file: Path) -> str:
    """One line: the error, and the last line of `file` on the way to it."""
    first = (str(error).strip() or "no message").splitlines()[0]
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(file)]
    where = f" (line {lines[-1]})" if lines else ""
    return f"{type(error).__name__}: {first}{where}"


def _check(spec: ModelSpec, where: str) -> None:
    record, count = spec.record, len(spec.record.starts)
    elements = int(np.prod(spec.input_shape))
    channels = record.counts.shape[1] if record.counts.ndim == 2 else 0

    def require(good: bool, cause: str, remedy: str) -> None:
        if not good:
            raise UsageError(f"{where}: {cause}", remedy)

    require(
        len(spec.input_shape) in (2, 4) and spec.input_shape[0] == 1,
        f"input_shape is {spec.input_shape}",
        "use (1, C, H, W) or (1, N)",
    )
    require(
        record.counts.dtype == np.int16 and channels > 0,
        f"record.counts is {record.counts.dtype} {record.counts.shape}",
        "make it int16 [samples, channels]",
    )
    require(
        record.window * channels == elements,
        f"a window has {record.window} x {channels} values, the input {elements}",
        "make input_shape, record.window and the channels agree",
    )
    require(
        count > 0 and int(record.starts.max()) + record.window <= len(record.counts),
        "a window of the record leaves its samples (or there is none)",
        "correct record.starts",
    )
    require(
        len(spec.truth) == count and int(spec.truth.max()) < len(spec.labels),
        f"truth has {len(spec.truth)} labels for {count} windows, at most {len(spec.labels)}",
        "give one label index for each window",
    )
    require(
        spec.calibration.shape[1:] == (record.window, channels) and len(spec.calibration) > 0,
        f"calibration is {spec.calibration.shape}",
        f"make it [batches, {record.window}, {channels}]",
    )
