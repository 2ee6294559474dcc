"""The arena planner against its independent checker, a brute-force optimum, and broken plans."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from host.compile.graph import Graph, Kind, Op, Tensor
from host.compile.order import topological_order
from host.compile.plan.check import PlanError, Step, check_plan
from host.compile.plan.greedy import greedy_plan
from host.compile.plan.lifetimes import Buffer, aligned, lifetimes, lower_bound_bytes
from host.compile.result import BufferPlan


@st.composite
def graphs(draw: st.DrawFn, most_ops: int = 12) -> Graph:
    """A random model: each op reads one or two earlier tensors; the last tensor is the output."""
    sizes = st.integers(1, 400)
    tensors = {"input": Tensor("input", draw(sizes), "int8")}
    ops = []
    for index in range(draw(st.integers(1, most_ops))):
        reads = draw(st.lists(st.sampled_from(sorted(tensors)), min_size=1, max_size=2))
        name = f"t{index:02}"
        tensors[name] = Tensor(name, draw(sizes), draw(st.sampled_from(["int8", "float32"])))
        ops.append(Op(name, Kind.COPY, tuple(reads), name))
    return Graph(tensors, tuple(ops), ("input",), (ops[-1].output,))


def judge(graph: Graph, plan: tuple[BufferPlan, ...], arena_bytes: int) -> None:
    check_plan(
        [Step(op.inputs, op.output) for op in graph.ops],
        {name: tensor.size_bytes for name, tensor in graph.tensors.items()},
        graph.inputs,
        graph.outputs,
        plan,
        arena_bytes,
    )


def optimum(buffers: tuple[Buffer, ...]) -> int:
    """The best of all first-fit orders, among which an optimal plan always is."""
    best = None
    for order in permutations(buffers):
        at: dict[Buffer, int] = {}
        for buffer in order:
            offset = 0
            for other in sorted((o for o in at if o.meets(buffer)), key=lambda o: at[o]):
                if offset + aligned(buffer.size_bytes) <= at[other]:
                    break
                offset = max(offset, at[other] + aligned(other.size_bytes))
            at[buffer] = offset
        peak = max(offset + aligned(b.size_bytes) for b, offset in at.items())
        best = peak if best is None else min(best, peak)
    assert best is not None
    return best


@given(graphs())
def test_the_checker_accepts_every_greedy_plan_and_no_plan_beats_the_bound(graph: Graph) -> None:
    buffers = lifetimes(graph, graph.ops)
    plan, arena_bytes = greedy_plan(buffers)
    judge(graph, plan, arena_bytes)
    assert lower_bound_bytes(buffers) <= arena_bytes
    assert arena_bytes <= sum(aligned(buffer.size_bytes) for buffer in buffers)


@given(graphs(most_ops=5))
def test_the_optimum_of_small_models_lies_between_the_bound_and_greedy(graph: Graph) -> None:
    buffers = lifetimes(graph, graph.ops)
    best = optimum(buffers)
    assert lower_bound_bytes(buffers) <= best <= greedy_plan(buffers)[1]


@given(graphs())
def test_planning_twice_gives_the_same_plan(graph: Graph) -> None:
    buffers = lifetimes(graph, graph.ops)
    assert greedy_plan(buffers) == greedy_plan(buffers)


@given(graphs(), st.data())
def test_two_live_buffers_on_the_same_bytes_are_rejected(graph: Graph, data: st.DataObject) -> None:
    plan, arena_bytes = greedy_plan(lifetimes(graph, graph.ops))
    together = [
        (i, j)
        for i, one in enumerate(plan)
        for j, other in enumerate(plan)
        if i != j and one.first <= other.last and other.first <= one.last
    ]
    i, j = data.draw(st.sampled_from(together))
    broken = list(plan)
    broken[i] = replace(plan[i], offset=plan[j].offset)
    with pytest.raises(PlanError, match=r"share bytes|ends after"):
        judge(graph, tuple(broken), arena_bytes)
    with pytest.raises(PlanError, match="share bytes"):
        judge(graph, tuple(broken), arena_bytes + 4096)


@given(graphs(), st.data())
def test_a_lifetime_cut_short_is_rejected(graph: Graph, data: st.DataObject) -> None:
    plan, arena_bytes = greedy_plan(lifetimes(graph, graph.ops))
    long = [i for i, place in enumerate(plan) if place.last > place.first]
    assume(long)
    i = data.draw(st.sampled_from(long))
    for shorter in (
        replace(plan[i], last=plan[i].last - 1),
        replace(plan[i], first=plan[i].first + 1),
    ):
        with pytest.raises(PlanError, match="not kept so long"):
            judge(graph, (*plan[:i], shorter, *plan[i + 1 :]), arena_bytes)


@given(graphs(), st.data())
def test_a_misplaced_missing_or_small_buffer_is_rejected(graph: Graph, data: st.DataObject) -> None:
    plan, arena_bytes = greedy_plan(lifetimes(graph, graph.ops))
    i = data.draw(st.integers(0, len(plan) - 1))
    place, rest = plan[i], (*plan[:i], *plan[i + 1 :])
    with pytest.raises(PlanError, match="not a multiple"):
        judge(graph, (*rest, replace(place, offset=place.offset + 8)), arena_bytes + 8)
    with pytest.raises(PlanError, match="ends after"):
        judge(graph, (*rest, replace(place, offset=aligned(arena_bytes))), arena_bytes)
    with pytest.raises(PlanError, match="has no place"):
        judge(graph, rest, arena_bytes)
    with pytest.raises(PlanError, match="placed twice"):
        judge(graph, (*plan, place), arena_bytes)
    with pytest.raises(PlanError, match="and needs"):
        judge(graph, (*rest, replace(place, size_bytes=place.size_bytes - 1)), arena_bytes)


@given(graphs(), st.randoms(use_true_random=False))
def test_any_shuffle_of_a_model_is_brought_into_an_executable_order(
    graph: Graph, random: object
) -> None:
    shuffled = list(graph.ops)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    ordered = topological_order(replace(graph, ops=tuple(shuffled)))
    known = set(graph.inputs)
    for op in ordered:
        assert known.issuperset(op.inputs)
        known.add(op.output)
    assert sorted(op.name for op in ordered) == sorted(op.name for op in graph.ops)
    assert topological_order(graph) == graph.ops, "an executable order is kept"


def test_a_cycle_has_no_order() -> None:
    loop = Op("a", Kind.COPY, ("b",), "a"), Op("b", Kind.COPY, ("a",), "b")
    tensors = {name: Tensor(name, 1, "int8") for name in "ab"}
    with pytest.raises(ValueError, match="no order"):
        topological_order(Graph(tensors, loop, (), ("b",)))
