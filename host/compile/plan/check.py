"""The independent judge of an arena plan: pairwise, from the ops alone. Shares nothing with planners.

It takes neither lifetimes nor offsets nor distances on trust: it derives from the ops when each
tensor must exist, tests every pair of placements, O(n^2), and where an output lies in a dying input
it follows the kernel's steps byte by byte (walk.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from host.compile.graph import Op
from host.compile.plan.walk import survives
from host.compile.result import BufferPlan


class PlanError(Exception):
    """A plan that would corrupt data; a defect of the planner, never of the user."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one op touches, by tensor name; scratch is needed only while it runs.

    With `op` its output may overlap inputs that die.
    """

    reads: tuple[str, ...]
    writes: str
    op: Op | None = None
    scratch: str | None = None


def check_plan(
    steps: Sequence[Step],
    sizes: Mapping[str, int],
    inputs: Sequence[str],
    outputs: Sequence[str],
    placements: Sequence[BufferPlan],
    arena_bytes: int,
    alignment: int = 16,
) -> None:
    """Raise PlanError if any byte could be overwritten while it is needed."""
    at = {placement.name: placement for placement in placements}
    if len(at) != len(placements):
        raise PlanError("a tensor is placed twice")
    needed: dict[str, list[int]] = {name: [0] for name in inputs}
    for index, step in enumerate(steps):
        for name in step.reads:
            if name not in needed:
                raise PlanError(f"op {index} reads {name} before anything wrote it")
            needed[name].append(index)
        if step.writes in needed:
            raise PlanError(f"op {index} writes {step.writes}, which exists already")
        needed[step.writes] = [index]
        if step.scratch is not None:
            needed[step.scratch] = [index]
    for name in outputs:
        if name not in needed:
            raise PlanError(f"nothing writes the output {name}")
        needed[name].append(len(steps) - 1)
    for name, times in needed.items():
        if name not in at:
            raise PlanError(f"{name} has no place")
        place = at[name]
        if place.size_bytes < sizes[name]:
            raise PlanError(f"{name} has {place.size_bytes} bytes and needs {sizes[name]}")
        if place.first > min(times) or place.last < max(times):
            raise PlanError(f"{name} is needed in {min(times)}..{max(times)}, not kept so long")
        if place.offset % alignment or place.offset < 0:
            raise PlanError(f"{name} lies at {place.offset}, not a multiple of {alignment}")
        if place.offset + place.size_bytes > arena_bytes:
            raise PlanError(f"{name} ends after the arena's {arena_bytes} bytes")
    for i, one in enumerate(placements):
        for other in placements[i + 1 :]:
            apart_in_time = one.last < other.first or other.last < one.first
            apart_in_space = (
                one.offset + one.size_bytes <= other.offset
                or other.offset + other.size_bytes <= one.offset
            )
            if not apart_in_time and not apart_in_space:
                _check_overlap(steps, sizes, needed, one, other)


def _check_overlap(
    steps: Sequence[Step],
    sizes: Mapping[str, int],
    needed: Mapping[str, Sequence[int]],
    one: BufferPlan,
    other: BufferPlan,
) -> None:
    """Accept bytes shared by an input and the output of the op in which the input dies."""
    dying, born = (one, other) if max(needed[one.name]) == min(needed[other.name]) else (other, one)
    index = max(needed[dying.name])
    step = steps[index]
    if (
        step.op is None
        or step.writes != born.name
        or dying.name not in step.reads
        or (dying.last, born.first) != (index, index)
    ):
        raise PlanError(f"{one.name} and {other.name} share bytes while both are alive")
    for which, name in enumerate(step.reads):
        if name == dying.name and not survives(
            step.op, which, sizes[name], sizes[born.name], dying.offset - born.offset
        ):
            raise PlanError(f"op {index} overwrites {dying.name} before it has read it all")
