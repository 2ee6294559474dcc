"""Models on this computer: the engine's plain C, and ExecuTorch with XNNPACK on the same int8 networks.

CPU time of one thread, the smallest of several runs: what else the computer does only adds.
"""

import ctypes
import hashlib
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from host.boards import BUILD, ROOT
from host.errors import TactusError
from host.flash import system
from host.flash.lock import locked

_ENGINE = ROOT / "device" / "engine"
_FLAGS = ("-std=c11", "-O2", "-ffp-contract=off", "-shared", "-fPIC", f"-I{ROOT / 'device'}")
_ALIGN = 16
_WARM_UP, _SECONDS, _RUNS_MIN = 3, 0.5, 20


class _Model(ctypes.Structure):  # tac_model_t
    _fields_ = (
        ("image", ctypes.c_void_p),
        ("arena", ctypes.c_void_p),
        ("next_op", ctypes.c_uint16),
        ("op_count", ctypes.c_uint16),
    )


STATE_BYTES = ctypes.sizeof(_Model)


@dataclass(frozen=True, slots=True)
class Timing:
    """CPU time of an inference, us: the engine, and executorch.runtime with XNNPACK in int8."""

    engine_us: float
    xnnpack_us: float

    @property
    def ratio(self) -> float:
        """The engine's time as a multiple of XNNPACK's."""
        return self.engine_us / self.xnnpack_us


class NativeEngine:
    """device/engine, compiled for this computer."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._init, self._step = library.tac_model_init, library.tac_exec_step
        self._reset, self._run = library.tac_exec_reset, library.tac_exec_run
        self._init.argtypes = [
            *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t),
        ]
        self._step.argtypes = self._reset.argtypes = [ctypes.c_void_p]
        self._input, self._output = library.tac_model_input, library.tac_model_output
        for function in (self._input, self._output):
            function.argtypes = [ctypes.c_void_p, ctypes.c_uint, ctypes.c_void_p]
            function.restype = ctypes.c_void_p

    @classmethod
    def built(cls) -> "NativeEngine":
        """Compile it unless these very sources are compiled already. Raises TactusError."""
        system.require("gcc")
        sources = sorted(_ENGINE.glob("*.c"))
        digest = hashlib.sha256(repr(_FLAGS).encode())
        for path in [*sources, *sorted((ROOT / "device").rglob("*.h"))]:
            digest.update(path.read_bytes())
        folder = BUILD / "bench" / "programs"
        target = folder / f"{digest.hexdigest()[:16]}-engine.so"
        with locked(folder / "engine.so"):
            if not target.is_file():
                for old in folder.glob("*-engine.so"):
                    old.unlink()
                partial = folder / "engine.so.new"
                command = ["gcc", *_FLAGS, "-o", str(partial), *map(str, sources)]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode != 0:
                    last = (done.stderr.strip().splitlines() or ["no output"])[-1]
                    raise TactusError(f"the engine did not compile: {last}", "correct it there")
                partial.replace(target)
        return cls(ctypes.CDLL(str(target)))

    def answers(self, image: bytes, inputs: npt.NDArray[np.int8]) -> list[bytes]:
        """Outputs of a plan image for each input [n, bytes]. Raises TactusError for a refused image."""
        run, output = self._bound(image)
        answers = []
        for window in inputs:
            run(window)
            answers.append(output())
        return answers

    def inference(self, image: bytes, window: npt.NDArray[np.int8]) -> Callable[[], None]:
        """A call that runs one inference on `window`."""
        run, _ = self._bound(image)
        return lambda: run(window)

    def _bound(
        self, image: bytes
    ) -> tuple[Callable[[npt.NDArray[np.int8]], None], Callable[[], bytes]]:
        stored = _aligned(len(image))
        stored[:] = np.frombuffer(image, np.uint8)
        arena_bytes = int.from_bytes(image[24:28], "little")
        arena, model, size = _aligned(arena_bytes), _Model(), ctypes.c_uint32()
        reference = ctypes.byref(model)
        code = self._init(reference, stored.ctypes.data, len(image), arena.ctypes.data, arena_bytes)
        if code != 0:
            raise TactusError(
                f"the engine refused the image with {code}", "protocol/errors.py has the number"
            )
        at = self._input(reference, 0, ctypes.byref(size))

        def run(window: npt.NDArray[np.int8]) -> None:
            self._reset(reference)
            ctypes.memmove(at, window.ctypes.data, window.nbytes)
            while self._step(reference) > 0:
                pass

        def output() -> bytes:
            assert stored.size and arena.size  # both must outlive the model
            return ctypes.string_at(self._output(reference, 0, ctypes.byref(size)), size.value)

        return run, output


def timing(name: str, engine: NativeEngine, image: bytes, inputs: npt.NDArray[np.int8]) -> Timing:
    """CPU times of an inference of a model of host.bench.mlperf_tiny, both in this process."""
    ours = _best_us(engine.inference(image, inputs[0]))
    return Timing(ours, _best_us(_xnnpack_inference(name)))


def _best_us(inference: Callable[[], Any]) -> float:
    for _ in range(_WARM_UP):
        inference()
    best, runs, started = float("inf"), 0, time.process_time()
    while runs < _RUNS_MIN or time.process_time() - started < _SECONDS:
        before = time.process_time()
        inference()
        best = min(best, time.process_time() - before)
        runs += 1
    return best * 1e6


def _aligned(size: int) -> npt.NDArray[np.uint8]:
    raw = np.zeros(size + _ALIGN, np.uint8)
    start = -raw.ctypes.data % _ALIGN
    return raw[start : start + size]


def _xnnpack_inference(name: str) -> Callable[[], Any]:
    """The network quantized and delegated as ExecuTorch recommends for CPUs, in its own runtime."""
    import torch

    from host.bench.mlperf_tiny import mlperf_tiny_spec
    from host.export.lower import as_input
    from host.export.quiet import quiet

    with quiet():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
            XNNPACKQuantizer,
            get_symmetric_quantization_config,
        )
        from executorch.exir import to_edge_transform_and_lower
        from executorch.extension.pybindings import portable_lib
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

        spec = mlperf_tiny_spec(name)
        batches = [as_input(window[None], spec.input_shape) for window in spec.calibration]
        with torch.no_grad():
            captured = torch.export.export(spec.module, (batches[0],), strict=True)
            quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config())
            prepared = prepare_pt2e(captured.module(check_guards=False), quantizer)
            for batch in batches:
                prepared(batch)
            converted = convert_pt2e(prepared)
            exported = torch.export.export(converted, (batches[0],), strict=True)
        lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
        portable_lib._unsafe_reset_threadpool(1)
        method = portable_lib._load_for_executorch_from_buffer(lowered.to_executorch().buffer)
    inputs: Sequence[Any] = [batches[0]]
    return lambda: method.forward(inputs)
