"""`bench realtime` in short: near the limit nothing is missed, and no job starts later than was predicted."""

from __future__ import annotations

import json

import pytest

from host.bench.realtime import measure_realtime
from host.bench.realtime_sets import SETS

pytestmark = pytest.mark.emulated
SECONDS = 30  # of the board's time


def test_a_nearly_full_processor_misses_nothing_and_keeps_to_its_bounds() -> None:
    result = measure_realtime("qemu-m4", SECONDS, SETS[1:])
    busy, found = result.sets
    assert found.jobs > 20 * SECONDS
    assert found.missed == 0
    assert found.missed_run_to_completion > found.jobs // 4
    for task in found.tasks:
        assert 0 < task.start_latency_max_us <= task.start_latency_bound_us, task
        assert task.start_latency_bound_us <= 1.5 * task.start_latency_max_us, task
        assert task.response_max_us <= task.deadline_us, task
        assert task.wcet_exceeded == 0, task
    assert busy.utilization == 0.9
    assert busy.missed == 0 < busy.missed_run_to_completion
    assert 0.005 < busy.overhead_share <= 0.03
    assert 20 < result.dispatch_instructions_per_op <= 150
    assert 500 < result.dispatch_instructions_per_job <= 6_000


def test_two_runs_give_the_same_figures_to_the_last_digit() -> None:
    first, second = (measure_realtime("qemu-m4", 5, SETS) for _ in range(2))
    assert json.dumps(first.as_json()) == json.dumps(second.as_json())


def test_arrival_order_runs_for_minutes_and_says_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("host.bench.realtime.ARRIVAL_SECONDS", 2)
    result = measure_realtime("qemu-m4", 6, SETS[2:])
    assert (result.seconds, result.seconds_run_to_completion) == (6, 2)
    (found,) = result.sets
    assert 0 < found.missed_run_to_completion <= found.jobs_run_to_completion < found.jobs // 2
