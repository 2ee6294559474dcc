"""The planner alone: instances whose optimum is known by construction, and instances from a file.

A rectangle of time and bytes is cut into buffers without waste, by straight cuts through a piece
and by spirals of five pieces, which no straight cuts make. Its height is then the optimum.
"""

import csv
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from host.compile.plan.packing import Interval, pack
from host.errors import UsageError, VerificationError

_COLUMNS = ["id", "lower", "upper", "size"]
_BYTES = 1 << 20  # height of all instances, in steps of
_STEP = 1 << 10  # bytes
_SPIRALS = 0.2  # share of cuts
# (name, buffers, share of spirals); a step of time for each buffer, as in a model.
INSTANCES = (
    *((f"cuts-{n}", n, 0.0) for n in (150, 200, 250, 300, 350, 400, 450)),
    *((f"spirals-{n}", n, _SPIRALS) for n in (150, 200, 250, 300, 350, 400, 450)),
)

_Piece = tuple[int, int, int, int]  # lower, bottom, upper, top


@dataclass(frozen=True, slots=True)
class Instance:
    """Buffers of which a perfect plan exists that needs `optimum` bytes (None if not known)."""

    name: str
    buffers: tuple[Interval, ...]
    optimum: int | None


def exact_packing(name: str, buffers: int, spirals: float, seed: int = 1) -> Instance:
    """Cut a rectangle into about `buffers` pieces. The same arguments give the same instance."""
    draw = random.Random(f"{name} {seed}")
    pieces: list[_Piece] = [(0, 0, buffers, _BYTES // _STEP)]
    while len(pieces) < buffers:
        among = [draw.randrange(len(pieces)) for _ in range(4)]
        index = max(among, key=lambda k: _area(pieces[k]))
        pieces[index : index + 1] = _cut(pieces[index], draw, spirals)
    draw.shuffle(pieces)
    return Instance(
        name,
        tuple(
            Interval(f"b{number}", lower, upper, (top - bottom) * _STEP)
            for number, (lower, bottom, upper, top) in enumerate(pieces)
        ),
        _BYTES,
    )


def _area(piece: _Piece) -> int:
    return (piece[2] - piece[0]) * (piece[3] - piece[1])


def _cut(piece: _Piece, draw: random.Random, spirals: float) -> list[_Piece]:
    lower, bottom, upper, top = piece
    wide, tall = upper - lower, top - bottom
    if wide >= 3 and tall >= 3 and draw.random() < spirals:
        early, late = sorted(draw.sample(range(lower + 1, upper), 2))
        low, high = sorted(draw.sample(range(bottom + 1, top), 2))
        return [
            (lower, bottom, late, low),
            (late, bottom, upper, high),
            (early, high, upper, top),
            (lower, low, early, top),
            (early, low, late, high),
        ]
    if wide >= 2 and (tall < 2 or draw.random() < 0.5):
        at = draw.randrange(lower + 1, upper)
        return [(lower, bottom, at, top), (at, bottom, upper, top)]
    if tall >= 2:
        at = draw.randrange(bottom + 1, top)
        return [(lower, bottom, upper, at), (lower, at, upper, top)]
    return [piece]


def read_csv(path: Path) -> Instance:
    """Rows id,lower,upper,size; lifetimes are half-open. Raises UsageError that names the row."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", "name a CSV file") from None
    rows = [row for row in csv.reader(text.splitlines()) if row]
    if not rows or [cell.strip() for cell in rows[0]] != _COLUMNS:
        raise UsageError(f"{path}: the first row is not {','.join(_COLUMNS)}", "add that header")
    buffers = []
    for number, row in enumerate(rows[1:], 2):
        remedy = "write whole numbers with lower < upper and size > 0"
        try:
            name = row[0]
            lower, upper, size = (int(cell) for cell in row[1:])
        except ValueError:
            raise UsageError(f"{path}, row {number}: {','.join(row)}", remedy) from None
        if lower >= upper or size <= 0:
            raise UsageError(f"{path}, row {number}: {','.join(row)}", remedy)
        buffers.append(Interval(name.strip(), lower, upper, size))
    if not buffers:
        raise UsageError(f"{path} has no buffers", "add rows below the header")
    return Instance(path.name, tuple(buffers), None)


def measure(instance: Instance) -> dict[str, Any]:
    """Plan an instance and check the plan pair by pair. Raises VerificationError for a bad plan."""
    started = time.perf_counter()
    solution = pack(instance.buffers)
    seconds = time.perf_counter() - started
    verify(instance.buffers, solution.offsets, solution.peak)
    optimum = instance.optimum
    if optimum is None and solution.optimal:
        optimum = solution.peak
    return {
        "name": instance.name,
        "buffers": len(instance.buffers),
        "peak": solution.peak,
        "optimum": optimum,
        "lower_bound": solution.lower_bound,
        "seconds": round(seconds, 3),
    }


def verify(buffers: Sequence[Interval], offsets: Sequence[int], peak: int) -> None:
    """Raise VerificationError unless no two buffers share a byte while both are alive."""
    placed = list(zip(buffers, offsets, strict=True))
    for index, (one, at) in enumerate(placed):
        if at < 0 or at + one.size > peak:
            raise VerificationError(f"{one.name} lies outside the plan", "report this instance")
        for other, there in placed[:index]:
            apart = one.upper <= other.lower or other.upper <= one.lower
            if not apart and at < there + other.size and there < at + one.size:
                raise VerificationError(
                    f"{one.name} and {other.name} share bytes", "report this instance"
                )
