"""The independent judge of an arena plan: pairwise, from the ops alone. Shares nothing with planners.

It takes neither lifetimes nor offsets nor distances on trust: it derives from the ops when each
tensor must exist, tests every pair of placements, O(n^2), and where an output lies in a dying input
it follows the kernel's steps byte by byte (walk.py). A segment is run step by step (check_rows.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from host.compile.graph import Op
from host.compile.plan.check_rows import RowError, RowSteps, check_rows
from host.compile.plan.walk import survives
from host.compile.result import BufferPlan


class PlanError(Exception):
    """A plan that would corrupt data; a defect of the planner, never of the user."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one op, or a segment, touches, by tensor name; scratch is needed only while it runs.

    With `op` or `rows` its output may overlap inputs that die.
    """

    reads: tuple[str, ...]
    writes: str
    op: Op | None = None
    scratch: str | None = None
    rows: RowSteps | None = None  # of a segment

    @property
    def ops(self) -> int:
        """Ops that it counts as."""
        return len(self.rows.ops) if self.rows else 1


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
    sizes = dict(sizes)
    needed: dict[str, list[int]] = {name: [0] for name in inputs}
    index = 0
    by_op: list[Step] = []
    for step in steps:
        last = index + step.ops - 1
        by_op += [step] * step.ops
        for name in step.reads:
            if name not in needed:
                raise PlanError(f"op {index} reads {name} before anything wrote it")
            needed[name] += [index, last]
        inside = step.rows.inside() if step.rows else {}
        sizes |= inside
        if step.scratch is not None:
            inside = {step.scratch: sizes[step.scratch]}
        for name in (step.writes, *inside):
            if name in needed:
                raise PlanError(f"op {index} writes {name}, which exists already")
            needed[name] = [index, last]
        index = last + 1
    for name in outputs:
        if name not in needed:
            raise PlanError(f"nothing writes the output {name}")
        needed[name].append(index - 1)
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
                _check_overlap(by_op, sizes, needed, one, other)
    for step in steps:
        if step.rows is not None:
            _check_rows(step, step.rows, sizes, needed, at, arena_bytes)


def _check_overlap(
    steps: Sequence[Step],
    sizes: Mapping[str, int],
    needed: Mapping[str, Sequence[int]],
    one: BufferPlan,
    other: BufferPlan,
) -> None:
    """Accept bytes shared by an input and the output of the op in which the input dies.

    Also by two buffers that meet in one segment only: its steps tell what they keep.
    """
    begin = max(min(needed[one.name]), min(needed[other.name]), one.first, other.first)
    end = min(max(needed[one.name]), max(needed[other.name]))
    end = max(end, min(one.last, other.last))
    rows = steps[begin].rows
    if rows is not None and steps[begin] is steps[end]:
        made = {*rows.inside(), steps[begin].writes}
        names = {one.name, other.name}
        if names & made and names <= {*rows.outside(), *made}:
            return
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


def _check_rows(
    step: Step,
    rows: RowSteps,
    sizes: Mapping[str, int],
    needed: Mapping[str, Sequence[int]],
    at: Mapping[str, BufferPlan],
    arena_bytes: int,
) -> None:
    last = max(needed[rows.ops[0].output])
    if len(rows.ops) == 1:
        last = min(needed[step.writes])
    kept = [name for name in step.reads if max(needed[name]) > last]
    if set(rows.outside()) != set(step.reads) or rows.ops[-1].output != step.writes:
        raise PlanError(f"the segment of {step.writes} reads or writes other tensors than it says")
    offsets = {name: place.offset for name, place in at.items()}
    try:
        check_rows(rows, offsets, sizes, kept, arena_bytes)
    except RowError as error:
        raise PlanError(f"in the segment of {step.writes}: {error}") from None


def check_mandatory(written: Sequence[str], early: str, mandatory_records: int) -> None:
    """Raise PlanError unless the first records make the early answer. written: each record's output."""
    if early not in written[:mandatory_records] or early in written[mandatory_records:]:
        raise PlanError(
            f"the early answer {early} is not made by the first {mandatory_records} ops"
        )
