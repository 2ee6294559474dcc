"""Compiles device/engine for this machine and calls it through ctypes."""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
DEVICE = ROOT / "device"
CACHE = ROOT / "build" / "cache" / "tests"
SOURCES = sorted((DEVICE / "engine").glob("*.c"))
# -ffp-contract=off is part of the contract of the kernels (engine/kernel.h).
FLAGS = [
    "-std=c11", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-ffp-contract=off", f"-I{DEVICE}",
]  # fmt: skip
UNTOUCHED = 0xA5


def compile_cached(name: str, sources: Sequence[Path], flags: Sequence[str]) -> Path:
    """Compiles with gcc into build/cache/tests, once per content of the sources; gives the path."""
    digest = hashlib.sha256(repr(flags).encode())
    for path in [*sources, *sorted(DEVICE.glob("**/*.h"))]:
        digest.update(path.read_bytes())
    target = CACHE / f"{digest.hexdigest()[:16]}-{name}"
    if not target.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(f".{os.getpid()}")
        subprocess.run(["gcc", *FLAGS, *flags, "-o", str(partial), *map(str, sources)], check=True)
        partial.replace(target)
    return target


_NOW = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p)


class _Clock(ctypes.Structure):
    _fields_ = (("now_us", _NOW), ("ctx", ctypes.c_void_p))


class _Model(ctypes.Structure):
    _fields_ = (
        ("image", ctypes.c_void_p),
        ("arena", ctypes.c_void_p),
        ("next_op", ctypes.c_uint16),
        ("units_left", ctypes.c_uint16),
        ("segment", ctypes.c_uint16 * 26),
    )


def aligned(data: bytes | int) -> np.ndarray:
    """A uint8 array that starts at a multiple of 16: a copy of bytes, or that many of UNTOUCHED."""
    size = data if isinstance(data, int) else len(data)
    raw = np.full(size + 16, UNTOUCHED, np.uint8)
    start = -raw.ctypes.data % 16
    array = raw[start : start + size]
    if not isinstance(data, int):
        array[:] = np.frombuffer(data, np.uint8)
    return array


class Instance:
    """A model bound to an arena of its own; gone with this object."""

    def __init__(self, lib: ctypes.CDLL, image: bytes, arena_bytes: int) -> None:
        self._lib = lib
        self._image, self._arena = aligned(image), aligned(arena_bytes)
        self._model = _Model()
        code = lib.tac_model_init(
            ctypes.byref(self._model), self._image.ctypes.data, len(image),
            self._arena.ctypes.data, arena_bytes,
        )  # fmt: skip
        assert code == 0, f"the plan was refused with code {code}"
        self.output_count = int.from_bytes(image[22:24], "little")

    @property
    def next_op(self) -> int:
        return int(self._model.next_op)

    @property
    def units_left(self) -> int:
        return int(self._model.units_left)

    def write(self, inputs: Sequence[bytes]) -> None:
        """Fill the input tensors."""
        size = ctypes.c_uint32()
        for index, data in enumerate(inputs):
            at = self._lib.tac_model_input(ctypes.byref(self._model), index, ctypes.byref(size))
            assert size.value == len(data), f"input {index} takes {size.value} bytes"
            ctypes.memmove(at, data, len(data))

    def outputs(self) -> list[bytes]:
        """Copies of the output tensors."""
        size = ctypes.c_uint32()
        found = []
        for index in range(self.output_count):
            at = self._lib.tac_model_output(ctypes.byref(self._model), index, ctypes.byref(size))
            found.append(ctypes.string_at(at, size.value))
        return found

    def reset(self) -> None:
        self._lib.tac_exec_reset(ctypes.byref(self._model))

    def step(self) -> int:
        """tac_exec_step(): units left."""
        return int(self._lib.tac_exec_step(ctypes.byref(self._model)))

    def run(self, now_us: Callable[[], int], until_us: int) -> int:
        """tac_exec_run() on this clock: units left."""
        clock = _Clock(_NOW(lambda _: now_us()), None)
        return int(self._lib.tac_exec_run(ctypes.byref(self._model), ctypes.byref(clock), until_us))


class Engine:
    """device/engine behind ctypes."""

    def __init__(self, library: Path) -> None:
        self._lib = ctypes.CDLL(str(library))
        self._lib.tac_plan_check.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]
        self._lib.tac_model_init.argtypes = [
            ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t,
        ]  # fmt: skip
        for name in ("tac_model_input", "tac_model_output"):
            function = getattr(self._lib, name)
            function.argtypes = [ctypes.c_void_p, ctypes.c_uint, ctypes.c_void_p]
            function.restype = ctypes.c_void_p
        self._lib.tac_exec_step.argtypes = [ctypes.c_void_p]
        self._lib.tac_exec_run.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64]
        self._lib.tac_exec_reset.argtypes = [ctypes.c_void_p]
        self._lib.tac_exec_reset.restype = None
        self._lib.tac_quantize_i16.restype = None
        self._lib.tac_quantize_i16.argtypes = [
            ctypes.c_void_p, ctypes.c_uint32, ctypes.c_float, ctypes.c_float, ctypes.c_int32,
            ctypes.c_void_p,
        ]  # fmt: skip

    @classmethod
    def build(cls) -> Engine:
        return cls(compile_cached("engine.so", SOURCES, ["-O2", "-shared", "-fPIC"]))

    def check(self, image: bytes, arena_bytes: int, misalign: int = 0) -> int:
        """tac_plan_check() on a copy of the image, `misalign` bytes off its alignment."""
        store = aligned(b"\0" * misalign + image)
        code: int = self._lib.tac_plan_check(store.ctypes.data + misalign, len(image), arena_bytes)
        return code

    def load(self, image: bytes, arena_bytes: int = 1 << 20) -> Instance:
        """A model of a good image in an arena full of UNTOUCHED."""
        return Instance(self._lib, image, arena_bytes)

    def run(self, image: bytes, inputs: Sequence[bytes], arena_bytes: int = 1 << 20) -> list[bytes]:
        """Runs a checked image once from an arena full of UNTOUCHED; gives the output tensors."""
        model = self.load(image, arena_bytes)
        model.write(inputs)
        for left in reversed(range(model.units_left)):
            assert model.step() == left == model.units_left
        assert model.step() == 0, "a done model stays done"
        return model.outputs()

    def run_arena(self, image: bytes, arena: bytes) -> bytes:
        """The whole arena after a run that started from `arena`."""
        store, memory = aligned(image), aligned(arena)
        model = _Model()
        code = self._lib.tac_model_init(
            ctypes.byref(model), store.ctypes.data, len(image), memory.ctypes.data, len(arena)
        )
        assert code == 0, f"the plan was refused with code {code}"
        while self._lib.tac_exec_step(ctypes.byref(model)):
            pass
        return memory.tobytes()

    def run_on(self, image: bytes, arena: np.ndarray) -> Iterator[int]:
        """Runs a checked image on an arena of the caller; yields each unit's op after it ran."""
        store, model = aligned(image), _Model()
        code = self._lib.tac_model_init(
            ctypes.byref(model), store.ctypes.data, len(image), arena.ctypes.data, arena.size
        )
        assert code == 0, f"the plan was refused with code {code}"
        while model.units_left:
            index = int(model.next_op)
            self._lib.tac_exec_step(ctypes.byref(model))
            yield index

    def quantize_i16(
        self, samples: np.ndarray, lsb: np.float32, inv_scale: np.float32, zero_point: int
    ) -> np.ndarray:
        samples = np.ascontiguousarray(samples, np.int16)
        out = np.empty(samples.size, np.int8)
        self._lib.tac_quantize_i16(
            samples.ctypes.data, samples.size, float(lsb), float(inv_scale), zero_point,
            out.ctypes.data,
        )  # fmt: skip
        return out
