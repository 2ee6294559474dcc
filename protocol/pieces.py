"""Long work as a generator: each `yield` ends a piece, the value returned is the result.

A board does other things between two pieces; whoever has the time calls finish().
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import TypeVar

    T = TypeVar("T")


def finish(work: "Generator[None, None, T]") -> "T":
    """Do all pieces one after the other; what the work returns."""
    try:
        while True:
            next(work)
    except StopIteration as end:
        result: T = end.value
        return result
