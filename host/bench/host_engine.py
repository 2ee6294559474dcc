"""device/engine compiled for this machine and called directly: no scheduler, no link, no package."""

import ctypes
import hashlib
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from host.boards import ROOT
from host.flash import system

_SOURCES = ROOT / "device"
_FLAGS = ("-std=c11", "-O2", "-ffp-contract=off", "-shared", "-fPIC")
_ALIGN = 16


class _Model(ctypes.Structure):
    _fields_ = (
        ("image", ctypes.c_void_p),
        ("arena", ctypes.c_void_p),
        ("next_op", ctypes.c_uint16),
        ("units_left", ctypes.c_uint16),
        ("segment", ctypes.c_uint16 * 26),  # and the rows of its rings
    )


class EngineRefusedError(Exception):
    """tac_plan_check() refused an image: a defect of the compiler, never of the user."""


class HostEngine:
    """Runs plan images on this machine."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(str(_built()))
        for name in ("tac_model_input", "tac_model_output"):
            getattr(self._library, name).restype = ctypes.c_void_p

    def run(self, image: bytes, inputs: Sequence[bytes], arena_bytes: int) -> list[bytes]:
        """One inference from an arena of garbage: input bytes -> output bytes."""
        image_store, image_at = _aligned(image)
        arena_store, arena_at = _aligned(b"\xa5" * arena_bytes)
        model, size = _Model(), ctypes.c_uint32()
        at = ctypes.byref(model)
        library = self._library
        code = library.tac_model_init(
            at,
            ctypes.c_void_p(image_at),
            ctypes.c_size_t(len(image)),
            ctypes.c_void_p(arena_at),
            ctypes.c_size_t(arena_bytes),
        )
        if code != 0:
            raise EngineRefusedError(f"the plan was refused with code {code}")
        for index, data in enumerate(inputs):
            target = library.tac_model_input(at, index, ctypes.byref(size))
            if size.value != len(data):
                raise EngineRefusedError(f"input {index} takes {size.value} bytes, not {len(data)}")
            ctypes.memmove(target, data, len(data))
        while library.tac_exec_step(at):
            pass
        outputs = []
        for index in range(int.from_bytes(image[22:24], "little")):
            source = library.tac_model_output(at, index, ctypes.byref(size))
            outputs.append(ctypes.string_at(source, size.value))
        del image_store, arena_store
        return outputs


def _aligned(data: bytes) -> tuple[ctypes.Array[ctypes.c_char], int]:
    """A copy of data at a multiple of 16, and its address."""
    store = ctypes.create_string_buffer(len(data) + _ALIGN)
    at = -(-ctypes.addressof(store) // _ALIGN) * _ALIGN
    ctypes.memmove(at, data, len(data))
    return store, at


def _built() -> Path:
    """The shared library, compiled when any source changed."""
    system.require(*system.CPYTHON_EXTENSION)
    sources = sorted((_SOURCES / "engine").glob("*.c"))
    digest = hashlib.sha256(repr(_FLAGS).encode())
    for path in (*sources, *sorted(_SOURCES.rglob("*.h"))):
        digest.update(path.read_bytes())
    target = ROOT / "build" / "cache" / f"engine-{digest.hexdigest()[:16]}.so"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(f".{os.getpid()}")
        subprocess.run(
            ["gcc", *_FLAGS, f"-I{_SOURCES}", "-o", str(partial), *map(str, sources)], check=True
        )
        partial.replace(target)
    return target
