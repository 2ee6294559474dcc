"""The arena planner against its independent checker, a brute-force optimum, and broken plans."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from host.compile.graph import Fields, Graph, Kind, Op, Tensor
from host.compile.order import smallest_order, topological_order
from host.compile.plan.arena import plan_arena
from host.compile.plan.check import PlanError, Step, check_plan
from host.compile.plan.exact import solve
from host.compile.plan.greedy import greedy_offsets
from host.compile.plan.lifetimes import ALIGNMENT, Buffer, aligned, lifetimes
from host.compile.plan.problem import make_problem
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


def apart(graph: Graph) -> tuple[tuple[BufferPlan, ...], int]:
    """A plan without overlaps, and its bytes."""
    buffers = lifetimes(graph, graph.ops)
    solution = solve(make_problem(buffers))
    placed = zip(buffers, solution.offsets, strict=True)
    plan = tuple(BufferPlan(b.name, b.size_bytes, b.first, b.last, at * 16) for b, at in placed)
    return plan, solution.peak * ALIGNMENT


@given(graphs())
def test_the_checker_accepts_every_plan_and_none_beats_the_bound(graph: Graph) -> None:
    problem = make_problem(lifetimes(graph, graph.ops))
    plan, arena_bytes = apart(graph)
    judge(graph, plan, arena_bytes)
    assert problem.lower_bound * ALIGNMENT <= arena_bytes
    assert arena_bytes <= problem.peak(greedy_offsets(problem)) * ALIGNMENT


@given(graphs(most_ops=5))
def test_the_exact_search_finds_the_optimum_of_small_models(graph: Graph) -> None:
    buffers = lifetimes(graph, graph.ops)
    solution = solve(make_problem(buffers))
    assert solution.optimal
    assert solution.peak * ALIGNMENT == optimum(buffers)


@given(graphs())
def test_planning_twice_gives_the_same_plan(graph: Graph) -> None:
    assert apart(graph) == apart(graph)


@st.composite
def elementwise_graphs(draw: st.DrawFn) -> Graph:
    """Tables and additions over one size, many of which can run in place."""
    count = draw(st.integers(2, 100))
    tensors = {"input": Tensor("input", count, "int8")}
    ops = []
    for index in range(draw(st.integers(1, 12))):
        reads = draw(st.lists(st.sampled_from(sorted(tensors)), min_size=1, max_size=2))
        name, kind = f"t{index:02}", Kind.LUT if len(reads) == 1 else Kind.ADD
        tensors[name] = Tensor(name, count, "int8")
        ops.append(Op(name, kind, tuple(reads), name, fields=Fields(count=count)))
    return Graph(tensors, tuple(ops), ("input",), (ops[-1].output,))


def judge_ops(
    graph: Graph, ops: tuple[Op, ...], plan: tuple[BufferPlan, ...], arena_bytes: int
) -> None:
    check_plan(
        [Step(op.inputs, op.output, op) for op in ops],
        {name: tensor.size_bytes for name, tensor in graph.tensors.items()},
        graph.inputs,
        graph.outputs,
        plan,
        arena_bytes,
    )


@given(elementwise_graphs(), st.booleans())
def test_plans_in_place_pass_the_checker_and_prove_their_optimum(graph: Graph, keep: bool) -> None:
    plan = plan_arena(graph, graph.ops, keep)
    judge_ops(graph, plan.ops, plan.buffers, plan.arena_bytes)
    assert plan.optimal
    assert plan.arena_bytes <= apart(graph)[1] or keep


def conv(size: int, channels: int) -> Fields:
    """A 3x3 window over a square map, stride 1, same size."""
    return Fields(
        in_h=size, in_w=size, in_c=channels, out_h=size, out_w=size, out_c=channels, k_h=3, k_w=3,
        stride_h=1, stride_w=1, dil_h=1, dil_w=1, pad_t=1, pad_l=1, row_end=size,
    )  # fmt: skip


def chain(kinds: list[Kind], size: int, channels: int) -> Graph:
    """Operators on one map, one after the other."""
    names = ["input", *(f"t{index}" for index in range(len(kinds)))]
    ops = [
        Op(out, kind, (source,), out, fields=conv(size, channels))
        for kind, source, out in zip(kinds, names, names[1:], strict=False)
    ]
    tensors = {name: Tensor(name, size * size * channels, "int8") for name in names}
    return Graph(tensors, tuple(ops), ("input",), (names[-1],))


def test_a_chain_of_depthwise_ops_alternates_its_direction() -> None:
    graph = chain([Kind.DWCONV2D] * 6, 8, 16)
    plan = plan_arena(graph, graph.ops)
    assert plan.arena_bytes == 8 * 8 * 16 + (8 + 1) * 16
    assert plan.optimal
    assert sorted({op.fields.flags for op in plan.ops}) == [0, 1]
    judge_ops(graph, plan.ops, plan.buffers, plan.arena_bytes)


@pytest.mark.parametrize("kind", [Kind.DWCONV2D, Kind.CONV2D])
def test_the_checker_rejects_an_overlap_one_step_too_close(kind: Kind) -> None:
    graph = chain([kind], 8, 16)
    plan = plan_arena(graph, graph.ops)
    source, result = plan.buffers
    assert source.name == "input" and source.offset > result.offset
    closer = (replace(source, offset=source.offset - ALIGNMENT), result)
    with pytest.raises(PlanError, match="overwrites input before it has read it all"):
        judge_ops(graph, plan.ops, closer, plan.arena_bytes)
    turned = tuple(replace(op, fields=replace(op.fields, flags=1)) for op in plan.ops)
    if kind == Kind.DWCONV2D:
        with pytest.raises(PlanError, match="overwrites input"):
            judge_ops(graph, turned, plan.buffers, plan.arena_bytes)


def test_the_checker_rejects_sharing_with_a_buffer_that_lives_on() -> None:
    graph = chain([Kind.DWCONV2D, Kind.DWCONV2D], 8, 16)
    plan = plan_arena(graph, graph.ops)
    source = next(place for place in plan.buffers if place.name == "input")
    longer = tuple(replace(p, last=1) if p is source else p for p in plan.buffers)
    with pytest.raises(PlanError, match="share bytes"):
        judge_ops(graph, plan.ops, longer, plan.arena_bytes)


@given(graphs(), st.data())
def test_two_live_buffers_on_the_same_bytes_are_rejected(graph: Graph, data: st.DataObject) -> None:
    plan, arena_bytes = apart(graph)
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
    plan, arena_bytes = apart(graph)
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
    plan, arena_bytes = apart(graph)
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


def lookup(name: str, sources: tuple[str, ...], count: int) -> Op:
    kind = Kind.LUT if len(sources) == 1 else Kind.ADD
    return Op(name, kind, sources, name, fields=Fields(count=count))


def test_branches_run_in_the_order_of_the_smallest_peak() -> None:
    # Two branches swell (pad) and shrink (pad); side by side, both large maps would be alive.
    def pad(name: str, source: str, before: int, after: int) -> Op:
        f = Fields(in_h=before, in_w=1, in_c=16, out_h=after, out_w=1, out_c=16, row_end=after)
        return Op(name, Kind.PAD, (source,), name, fields=f)

    ops = (
        pad("a1", "input", 4, 40), pad("b1", "input", 4, 40), pad("a2", "a1", 40, 4),
        pad("b2", "b1", 40, 4), lookup("sum", ("a2", "b2"), 64),
    )  # fmt: skip
    rows = {"input": 4, "a1": 40, "b1": 40, "a2": 4, "b2": 4, "sum": 4}
    tensors = {name: Tensor(name, 16 * count, "int8") for name, count in rows.items()}
    graph = Graph(tensors, ops, ("input",), ("sum",))
    own, best = plan_arena(graph, ops), plan_arena(graph, smallest_order(graph))
    assert own.arena_bytes >= 80 * 16
    assert best.arena_bytes <= 48 * 16
    assert [op.name for op in smallest_order(graph)][:2] in (["a1", "a2"], ["b1", "b2"])
    judge_ops(graph, best.ops, best.buffers, best.arena_bytes)


@given(elementwise_graphs(), st.booleans())
def test_the_chosen_order_is_executable_and_never_worse(graph: Graph, keep: bool) -> None:
    ordered = smallest_order(graph, keep)
    known = set(graph.inputs)
    for op in ordered:
        assert known.issuperset(op.inputs)
        known.add(op.output)
    assert sorted(op.name for op in ordered) == sorted(op.name for op in graph.ops)
    own, best = plan_arena(graph, graph.ops, keep), plan_arena(graph, ordered, keep)
    assert best.lower_bound_bytes <= own.lower_bound_bytes


def test_a_cycle_has_no_order() -> None:
    loop = Op("a", Kind.COPY, ("b",), "a"), Op("b", Kind.COPY, ("a",), "b")
    tensors = {name: Tensor(name, 1, "int8") for name in "ab"}
    with pytest.raises(ValueError, match="no order"):
        topological_order(Graph(tensors, loop, (), ("b",)))
