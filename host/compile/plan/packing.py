"""Packs many buffers that must not overlap: greedy plans, then the search of packing.c.

The core is compiled with the gcc of this machine once per content, into build/cache.
"""

import ctypes
import hashlib
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import gcd
from pathlib import Path

import numpy as np
import numpy.typing as npt

from host.boards import BUILD
from host.compile.plan.exact import Solution
from host.compile.plan.greedy import greedy_offsets
from host.compile.plan.lifetimes import Buffer
from host.compile.plan.problem import make_problem
from host.errors import MissingError, TactusError
from host.flash import system

SOURCE = Path(__file__).with_name("packing.c")
FLAGS = (
    *("-std=c11", "-O2", "-shared", "-fPIC"),
    *("-Wall", "-Wextra", "-Werror", "-Wconversion"),
)
NODES = 20_000_000  # of the first capacity; about a microsecond each
_LATER_NODES = 2_000_000  # of each further one
_TRIALS = 10  # capacities between bound and best plan that are tried when the bound does not fit
_FOUND, _NONE, _MEMORY = 1, 0, -2


@dataclass(frozen=True, slots=True)
class Interval:
    """A buffer of `size` units, alive in [lower, upper)."""

    name: str
    lower: int
    upper: int
    size: int


def pack(intervals: Sequence[Interval], nodes: int = NODES) -> Solution:
    """Offsets in the unit of the sizes. Deterministic: effort is counted, not timed.

    Raises MissingError where there is no gcc and greedy plans do not reach the lower bound.
    """
    if not intervals:
        return Solution((), 0, 0)
    unit = gcd(*(one.size for one in intervals))
    buffers = [
        Buffer(str(index), one.size // unit, one.lower, one.upper - 1)
        for index, one in enumerate(intervals)
    ]
    problem = make_problem(buffers, alignment=1)
    best = greedy_offsets(problem)
    proved, peak = problem.lower_bound, problem.peak(best)
    unknown = proved  # capacities below this one need no further trial
    for trial in range(_TRIALS):
        if unknown >= peak:
            break
        capacity = unknown if trial == 0 else (unknown + peak - 1) // 2
        verdict, offsets = _search(intervals, unit, capacity, nodes)
        if offsets is not None:
            best, peak = offsets, problem.peak(offsets)
        else:
            if verdict == _NONE:
                proved = capacity + 1
            unknown = capacity + 1
        nodes = min(nodes, _LATER_NODES)
    return Solution(tuple(at * unit for at in best), peak * unit, proved * unit)


def _search(
    intervals: Sequence[Interval], unit: int, capacity: int, nodes: int
) -> tuple[int, tuple[int, ...] | None]:
    times = sorted({time for one in intervals for time in (one.lower, one.upper)})
    section = {time: index for index, time in enumerate(times)}
    begin = np.array([section[one.lower] for one in intervals], np.int32)
    end = np.array([section[one.upper] for one in intervals], np.int32)
    size = np.array([one.size // unit for one in intervals], np.int64)
    offsets = np.zeros(len(intervals), np.int64)
    verdict: int = _library().pack_search(
        len(intervals),
        len(times) - 1,
        *(_pointer(array) for array in (begin, end, size)),
        capacity,
        nodes,
        _pointer(offsets),
    )
    if verdict == _MEMORY:
        raise TactusError("the packing search has no memory", "plan fewer buffers at a time")
    return verdict, tuple(offsets.tolist()) if verdict == _FOUND else None


def _pointer(array: npt.NDArray[np.int32] | npt.NDArray[np.int64]) -> ctypes.c_void_p:
    return array.ctypes.data_as(ctypes.c_void_p)


@cache
def _library() -> ctypes.CDLL:
    digest = hashlib.sha256(repr(FLAGS).encode() + SOURCE.read_bytes()).hexdigest()[:16]
    path = BUILD / "cache" / f"packing-{digest}.so"
    if not path.is_file():
        system.require("gcc")
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        done = subprocess.run(
            ["gcc", *FLAGS, "-o", str(partial), str(SOURCE)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["no output"]
            raise MissingError(f"packing.c did not compile: {lines[-1]}", "install a C11 gcc")
        partial.replace(path)
    library = ctypes.CDLL(str(path))
    number, address = ctypes.c_int32, ctypes.c_void_p
    library.pack_search.argtypes = [
        *(number, number, address, address, address),
        *(ctypes.c_int64, ctypes.c_int64, address),
    ]
    return library
