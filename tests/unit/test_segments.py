"""Segments without an engine: their gaps against the step by step judge, bounds, and times."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from segment_graphs import random_graph

from host.boards import load_board
from host.compile.graph import Graph
from host.compile.plan.arena import node_problem
from host.compile.plan.bound import stack_bound
from host.compile.plan.check_rows import RowError, RowSteps, check_rows
from host.compile.plan.exact import solve
from host.compile.plan.greedy import rearranged_offsets
from host.compile.plan.lifetimes import lifetimes
from host.compile.plan.live import stream_buffers
from host.compile.plan.segments import plan_segments
from host.compile.plan.steps import Segment, make_segment
from host.compile.plan.timing import segment_wcet_us, step_wcet_us
from host.compile.records import segment_ops, segment_record

seeds = st.integers(0, 2**32 - 1)


def random_segment(rng: np.random.Generator, packed: bool, rows: int) -> tuple[Graph, Segment]:
    graph = random_graph(rng, packed, 5)
    segment = make_segment(graph, graph.ops, rows)
    assume(segment is not None)  # elements alone have no rows
    return graph, segment


def accepted(graph: Graph, segment: Segment, at: dict[str, int], arena_bytes: int) -> bool:
    record = segment_record(segment, 0)
    steps = RowSteps(segment_ops(segment), record.steps, record.links)
    sizes = {name: tensor.size_bytes for name, tensor in graph.tensors.items()}
    try:
        check_rows(steps, at, sizes, (), arena_bytes)
    except RowError:
        return False
    return True


def judged(graph: Graph, segment: Segment) -> list[tuple[bool, bool]]:
    """For each two buffers: whether the judge accepts their gap, and whether a byte less."""
    stream = stream_buffers(graph, segment, set(segment.inputs), 1)
    sizes = dict(zip(stream.names, stream.sizes, strict=True))
    found = []
    for a, upper in enumerate(stream.names):
        for b, lower in enumerate(stream.names):
            gap = int(stream.above[a, b])
            if a == b or not -sizes[upper] < gap or 1 - gap >= stream.above[b, a]:
                continue  # never alive together, or right the other way round
            at, end = {}, 0
            for name in stream.names:
                if name not in (upper, lower):
                    at[name], end = end, end + sizes[name]
            at[lower] = end + sizes[upper]
            arena_bytes = at[lower] + sizes[lower] + 2 * sizes[upper] + max(gap, 0)
            found.append(
                tuple(
                    accepted(graph, segment, at | {upper: at[lower] + distance}, arena_bytes)
                    for distance in (gap, gap - 1)
                )
            )
    return found


@settings(max_examples=60, deadline=None)
@given(st.booleans(), st.integers(1, 3), seeds)
def test_the_judge_accepts_any_two_buffers_at_their_gap(packed: bool, rows: int, seed: int) -> None:
    graph, segment = random_segment(np.random.default_rng(seed), packed, rows)
    assert all(right for right, _ in judged(graph, segment))


def test_gaps_are_exact_but_for_bytes_of_rows_that_no_kernel_reads() -> None:
    verdicts = []
    for seed in range(40):
        graph = random_graph(np.random.default_rng(seed), seed % 2 == 1, 5)
        segment = make_segment(graph, graph.ops, 1 + seed % 3)
        if segment is not None:
            verdicts += judged(graph, segment)
    assert len(verdicts) > 300
    assert sum(not closer for _, closer in verdicts) >= 0.95 * len(verdicts)


@settings(max_examples=40, deadline=None)
@given(st.booleans(), st.integers(1, 2), seeds)
def test_no_plan_is_below_the_bounds(packed: bool, rows: int, seed: int) -> None:
    graph, segment = random_segment(np.random.default_rng(seed), packed, rows)
    buffers = lifetimes(graph, (segment,))
    problem = node_problem(graph, (segment,), buffers, ())
    solution = solve(problem)
    assert stack_bound(problem) <= problem.lower_bound <= solution.lower_bound <= solution.peak
    assert solution.peak <= problem.peak(rearranged_offsets(problem, 20))
    for pair in problem.pairs:
        distance = solution.offsets[pair.a] - solution.offsets[pair.b]
        assert distance >= pair.above or -distance >= pair.below


@settings(max_examples=40, deadline=None)
@given(st.booleans(), st.integers(1, 4), seeds)
def test_every_row_is_made_once_and_rings_hold_what_is_alive(
    packed: bool, rows: int, seed: int
) -> None:
    _, segment = random_segment(np.random.default_rng(seed), packed, rows)
    for index in range(len(segment.ops)):
        made = 0
        for run in segment.steps_of(index):
            assert run.first == made
            made += run.rows
    held, most = [0] * len(segment.ops), [0] * len(segment.ops)
    for run in segment.runs:
        held[run.op] += run.rows
        most[run.op] = max(most[run.op], held[run.op])
        for ring, gone in run.slides:
            held[ring] -= gone
    assert tuple(most[:-1]) == segment.ring_rows[:-1] and segment.ring_rows[-1] == 0


@settings(max_examples=30, deadline=None)
@given(st.booleans(), seeds)
def test_planning_twice_gives_the_same_plan(packed: bool, seed: int) -> None:
    graph = random_graph(np.random.default_rng(seed), packed, 8)
    assert plan_segments(graph, graph.ops) == plan_segments(graph, graph.ops)


@pytest.mark.parametrize("name", ["host", "qemu-m4"])
def test_fewer_rows_never_take_longer(name: str) -> None:
    rng, board = np.random.default_rng(4), load_board(name)
    for _ in range(20):
        graph = random_graph(rng, name != "host", 4)
        segment = make_segment(graph, graph.ops, 2)
        if segment is None:
            continue
        declared = segment_wcet_us(board, segment)
        for index, (op, shape) in enumerate(zip(segment.ops, segment.rows, strict=True)):
            most = max(run.rows for run in segment.steps_of(index))
            times = [step_wcet_us(board, op, shape, rows) for rows in range(1, most + 1)]
            assert times == sorted(times)
            assert times[-1] <= declared[index]
