"""How tensors lie in memory: orders of axes, strides, and walks that move elements between them.

An order names the logical axes of a tensor from the outermost to the innermost one in memory.
Axes of extent 1 have no influence on memory.
"""

import struct
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

Shape = tuple[int, ...]
Order = tuple[int, ...]
RANK = 6  # axes of a STRIDED record's table


def natural(shape: Shape) -> Order:
    """The order in which tensors cross a model's border: maps [N, C, H, W] lie as N H W C."""
    return (0, 2, 3, 1) if len(shape) == 4 else row_major(shape)


def row_major(shape: Shape) -> Order:
    """The last axis innermost."""
    return tuple(range(len(shape)))


def same_memory(shape: Shape, one: Order, other: Order) -> bool:
    """Whether two orders put each element of this shape at the same place."""
    return [axis for axis in one if shape[axis] > 1] == [axis for axis in other if shape[axis] > 1]


def element_strides(shape: Shape, order: Order) -> tuple[int, ...]:
    """Elements from one index to the next, by logical axis."""
    found, step = [0] * len(shape), 1
    for axis in reversed(order):
        found[axis] = step
        step *= shape[axis]
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Walk:
    """A loop nest, outermost first: how many turns, and how far input and output move in each."""

    extents: tuple[int, ...]
    reads: tuple[int, ...]
    writes: tuple[int, ...]

    @property
    def count(self) -> int:
        """Elements moved."""
        return prod(self.extents)

    def joined(self) -> "Walk":
        """The same walk with as few loops as it needs."""
        loops: list[tuple[int, int, int]] = []
        for extent, read, write in zip(self.extents, self.reads, self.writes, strict=True):
            if extent == 1:
                continue
            if loops and loops[-1][1:] == (extent * read, extent * write):
                loops[-1] = (loops[-1][0] * extent, read, write)
            else:
                loops.append((extent, read, write))
        extents, reads, writes = zip(*loops, strict=True) if loops else ((1,), (1,), (1,))
        return Walk(tuple(extents), tuple(reads), tuple(writes))

    def table(self) -> bytes:
        """int32 extents, reads, writes of RANK loops, as a STRIDED record wants them."""
        walk = self.joined()
        missing = RANK - len(walk.extents)
        if missing < 0:
            raise ValueError(f"a walk of {len(walk.extents)} loops")
        numbers = [*[1] * missing, *walk.extents]
        for steps in (walk.reads, walk.writes):
            numbers += [*[0] * missing, *steps]
        return struct.pack(f"<{3 * RANK}i", *numbers)


def rearranged(shape: Shape, have: Order, want: Order) -> Walk:
    """The walk that copies a tensor from one order to another."""
    reads, writes = element_strides(shape, have), element_strides(shape, want)
    return Walk(
        tuple(shape[axis] for axis in want),
        tuple(reads[axis] for axis in want),
        tuple(writes[axis] for axis in want),
    )


def read_positions(table: bytes) -> npt.NDArray[np.int64]:
    """Where each element of a dense output comes from, in the order of the output."""
    numbers = struct.unpack(f"<{3 * RANK}i", table)
    extents, reads = numbers[:RANK], numbers[RANK : 2 * RANK]
    positions = np.zeros(extents, dtype=np.int64)
    for axis, (extent, read) in enumerate(zip(extents, reads, strict=True)):
        along = [1] * RANK
        along[axis] = extent
        positions += (np.arange(extent, dtype=np.int64) * read).reshape(along)
    return positions.reshape(-1)
