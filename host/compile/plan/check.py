"""The independent judge of an arena plan: pairwise, from the ops alone. Shares nothing with planners.

It takes neither lifetimes nor offsets on trust: it derives from the ops when each tensor must
exist and tests every pair of placements, O(n^2).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from host.compile.result import BufferPlan


class PlanError(Exception):
    """A plan that would corrupt data; a defect of the planner, never of the user."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one op touches, by tensor name; scratch is needed only while it runs."""

    reads: tuple[str, ...]
    writes: str
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
                raise PlanError(f"{one.name} and {other.name} share bytes while both are alive")
