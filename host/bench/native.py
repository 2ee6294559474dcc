"""Models on this computer: the engine's plain C, and ExecuTorch with XNNPACK on the same int8 networks.

CPU time of one thread, the smallest of several runs: what else the computer does only adds.
"""

import contextlib
import ctypes
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from host.boards import BUILD, ROOT
from host.errors import TactusError
from host.flash import system
from host.flash.lock import locked

_ENGINE = ROOT / "device" / "engine"
# -O3 for its vectors. No -march: the same file must run on every processor of the family, as the
# `host` board's extension does. Contraction would change float results.
_FLAGS = ("-std=c11", "-O3", "-ffp-contract=off", "-shared", "-fPIC", f"-I{ROOT / 'device'}")
_FOR_THIS_PROCESSOR = ("-march=native",)
_ALIGN = 16
_WARM_UP, _SECONDS, _RUNS_MIN = 3, 0.5, 20


# The size of tac_model_t is the compiler's to say.
_SIZE_SOURCE = """#include "engine/exec.h"
const unsigned bench_model_bytes = sizeof(tac_model_t);
"""


@dataclass(frozen=True, slots=True)
class Timing:
    """CPU time of an inference, us: the engine, and executorch.runtime with XNNPACK in int8.

    tuned_us: the engine compiled for the instructions of just this processor.
    """

    engine_us: float
    tuned_us: float
    xnnpack_us: float

    @property
    def ratio(self) -> float:
        """The engine's time as a multiple of XNNPACK's."""
        return self.engine_us / self.xnnpack_us


class NativeEngine:
    """device/engine, compiled for this computer. state_bytes: RAM of a model besides its arena."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        self.state_bytes = ctypes.c_uint.in_dll(library, "bench_model_bytes").value
        pointer, size = ctypes.c_void_p, ctypes.c_size_t
        library.tac_model_init.argtypes = [pointer, pointer, size, pointer, size]
        library.tac_exec_step.argtypes = library.tac_exec_reset.argtypes = [pointer]
        for function in (library.tac_model_input, library.tac_model_output):
            function.argtypes = [pointer, ctypes.c_uint, pointer]
            function.restype = pointer

    @classmethod
    def built(cls, tuned: bool = False) -> "NativeEngine":
        """Compile it unless these very sources are compiled already. Raises TactusError.

        tuned: for the instructions of this processor, to see what they are worth.
        """
        system.require("gcc")
        flags = (*_FLAGS, *_FOR_THIS_PROCESSOR) if tuned else _FLAGS
        name = "tuned-engine.so" if tuned else "plain-engine.so"
        sources = sorted(_ENGINE.glob("*.c"))
        digest = hashlib.sha256(repr((flags, _SIZE_SOURCE)).encode())
        for path in [*sources, *sorted((ROOT / "device").rglob("*.h"))]:
            digest.update(path.read_bytes())
        folder = BUILD / "bench" / "programs"
        target = folder / f"{digest.hexdigest()[:16]}-{name}"
        with locked(folder / name):
            if not target.is_file():
                for old in folder.glob(f"*-{name}"):
                    old.unlink()
                partial = folder / f"{name}.new"
                command = ["gcc", *flags, "-o", str(partial), *map(str, sources), "-x", "c", "-"]
                done = subprocess.run(
                    command, input=_SIZE_SOURCE, capture_output=True, text=True, check=False
                )
                if done.returncode != 0:
                    last = (done.stderr.strip().splitlines() or ["no output"])[-1]
                    raise TactusError(f"the engine did not compile: {last}", "correct it there")
                partial.replace(target)
        return cls(ctypes.CDLL(str(target)))


class NativeModel:
    """A plan image bound to an arena of its own."""

    def __init__(self, engine: NativeEngine, image: bytes) -> None:
        self._library = engine.library
        self._image = _aligned(len(image))
        self._image[:] = np.frombuffer(image, np.uint8)
        arena_bytes = int.from_bytes(image[24:28], "little")
        self._arena, self._model = _aligned(arena_bytes), _aligned(engine.state_bytes)
        code = self._library.tac_model_init(
            *(self._model.ctypes.data, self._image.ctypes.data, len(image)),
            *(self._arena.ctypes.data, arena_bytes),
        )
        if code != 0:
            raise TactusError(
                f"the engine refused the image with {code}", "protocol/errors.py has the number"
            )

    def run(self, window: npt.NDArray[np.int8]) -> None:
        """One inference on int8 [input bytes]."""
        model = self._model.ctypes.data
        self._library.tac_exec_reset(model)
        at, size = self._tensor(self._library.tac_model_input)
        assert size == window.nbytes
        ctypes.memmove(at, window.ctypes.data, size)
        while self._library.tac_exec_step(model) > 0:
            pass

    def answer(self, window: npt.NDArray[np.int8]) -> bytes:
        """The output of one inference."""
        self.run(window)
        return ctypes.string_at(*self._tensor(self._library.tac_model_output))

    def _tensor(self, function: Callable[..., int]) -> tuple[int, int]:
        size = ctypes.c_uint32()
        return function(self._model.ctypes.data, 0, ctypes.byref(size)), size.value


def timing(name: str, image: bytes, window: npt.NDArray[np.int8]) -> Timing:
    """CPU times of an inference of a model of host.bench.mlperf_tiny, all in this process."""
    plain, tuned = (
        NativeModel(NativeEngine.built(for_this_processor), image)
        for for_this_processor in (False, True)
    )
    return Timing(
        engine_us=_best_us(lambda: plain.run(window)),
        tuned_us=_best_us(lambda: tuned.run(window)),
        xnnpack_us=_best_us(_xnnpack_inference(name)),
    )


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
        # Plain NCHW: a delegate refuses channels-last tensors whose strides are ambiguous.
        shaped = [as_input(window[None], spec.input_shape) for window in spec.calibration]
        batches = [torch.empty(batch.shape).copy_(batch) for batch in shaped]
        with torch.no_grad():
            captured = torch.export.export(spec.module, (batches[0],), strict=True)
            quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config())
            prepared = prepare_pt2e(captured.module(check_guards=False), quantizer)
            for batch in batches:
                prepared(batch)
            converted = convert_pt2e(prepared)
            exported = torch.export.export(converted, (batches[0],), strict=True)
        lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
        program, inputs = lowered.to_executorch().buffer, [batches[0]]
    with _mute():
        portable_lib._unsafe_reset_threadpool(1)
        method = portable_lib._load_for_executorch_from_buffer(program)
        method.forward(inputs)

    def inference() -> None:
        assert program  # the runtime reads weights out of it and keeps no copy
        method.forward(inputs)

    return inference


@contextlib.contextmanager
def _mute() -> Iterator[None]:
    """Send what C++ libraries say about the processor to nobody."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nobody:
            os.dup2(nobody.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
