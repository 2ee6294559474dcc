"""The packing search: perfect packings, small instances by brute force, proofs, bad files."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.bench.planner import INSTANCES, exact_packing, measure, read_csv, verify
from host.compile.plan.exact import solve
from host.compile.plan.lifetimes import Buffer
from host.compile.plan.packing import Interval, pack
from host.compile.plan.problem import make_problem
from host.errors import UsageError, VerificationError


@st.composite
def intervals(draw: st.DrawFn, most: int = 6) -> list[Interval]:
    found = []
    for index in range(draw(st.integers(1, most))):
        lower = draw(st.integers(0, 6))
        upper = lower + draw(st.integers(1, 4))
        found.append(Interval(f"b{index}", lower, upper, draw(st.integers(1, 9))))
    return found


def optimum(buffers: list[Interval]) -> int:
    """The best of all orders in which each buffer falls to the lowest place."""
    best = sum(one.size for one in buffers)
    for order in permutations(buffers):
        placed: list[tuple[Interval, int]] = []
        for one in order:
            at = 0
            for other, there in sorted(placed, key=lambda pair: pair[1]):
                apart = one.upper <= other.lower or other.upper <= one.lower
                if not apart and at < there + other.size and there < at + one.size:
                    at = there + other.size
            placed.append((one, at))
        best = min(best, max(at + one.size for one, at in placed))
    return best


@settings(max_examples=150, deadline=None)
@given(intervals())
def test_small_instances_reach_the_brute_force_optimum_with_proof(buffers: list[Interval]) -> None:
    solution = pack(buffers)
    verify(buffers, solution.offsets, solution.peak)
    assert solution.optimal
    assert solution.peak == optimum(buffers)


@settings(max_examples=60, deadline=None)
@given(intervals(most=25))
def test_larger_instances_are_valid_and_repeat(buffers: list[Interval]) -> None:
    solution = pack(buffers, nodes=20_000)
    verify(buffers, solution.offsets, solution.peak)
    load = max(sum(one.size for one in buffers if one.lower <= at < one.upper) for at in range(11))
    assert load <= solution.lower_bound <= solution.peak
    assert pack(buffers, nodes=20_000) == solution


@pytest.mark.parametrize("instance", [i for i in INSTANCES if i[1] <= 200])
def test_perfect_packings_are_found(instance: tuple[str, int, float]) -> None:
    made = exact_packing(*instance)
    assert made == exact_packing(*instance)
    assert instance[1] <= len(made.buffers) <= instance[1] + 4
    row = measure(made)
    assert row["peak"] == row["optimum"] == row["lower_bound"]
    assert row["seconds"] < 60


def test_a_load_bound_that_no_plan_reaches_is_refuted_by_both_searches() -> None:
    rows = [
        (4, 7, 1), (0, 4, 2), (3, 5, 1), (0, 3, 2), (7, 8, 2), (6, 8, 2), (3, 5, 1), (5, 7, 1),
        (4, 6, 1),
    ]  # fmt: skip
    buffers = [Interval(f"b{index}", *row) for index, row in enumerate(rows)]
    load = max(sum(one.size for one in buffers if one.lower <= at < one.upper) for at in range(8))
    solution = pack(buffers)
    verify(buffers, solution.offsets, solution.peak)
    assert (load, solution.peak, solution.lower_bound) == (4, 5, 5)
    problem = make_problem(
        [Buffer(one.name, one.size, one.lower, one.upper - 1) for one in buffers], alignment=1
    )
    other = solve(problem)
    assert (other.peak, other.lower_bound) == (5, 5)


def test_a_plan_that_shares_bytes_is_refused() -> None:
    buffers = [Interval("a", 0, 2, 4), Interval("b", 1, 3, 4)]
    verify(buffers, (0, 4), 8)
    with pytest.raises(VerificationError, match="share bytes"):
        verify(buffers, (0, 3), 8)
    with pytest.raises(VerificationError, match="outside"):
        verify(buffers, (0, 5), 8)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "first row"),
        ("id,lower,upper\n", "first row"),
        ("id,lower,upper,size\n", "no buffers"),
        ("id,lower,upper,size\nb,1,1,4\n", "row 2: b,1,1,4"),
        ("id,lower,upper,size\na,0,1,4\nb,0,1,0\n", "row 3: b,0,1,0"),
        ("id,lower,upper,size\nb,0,x,4\n", "row 2"),
        ("id,lower,upper,size\nb,0,2\n", "row 2"),
    ],
)
def test_a_bad_file_is_named_with_its_row(tmp_path: Path, text: str, cause: str) -> None:
    file = tmp_path / "buffers.csv"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_csv(file)
    assert cause in caught.value.cause
    with pytest.raises(UsageError, match="cannot be read"):
        read_csv(tmp_path / "nowhere.csv")


def test_a_file_is_planned(tmp_path: Path) -> None:
    file = tmp_path / "buffers.csv"
    file.write_text("id,lower,upper,size\na,0,2,4\nb,2,4,4\nc,0,4,8\n")
    row = measure(read_csv(file))
    assert (row["buffers"], row["peak"], row["optimum"]) == (3, 12, 12)
