"""`bench realtime` in short: near the limit nothing is missed, and no job starts later than was predicted."""

from __future__ import annotations

from dataclasses import asdict

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


def test_two_runs_agree_within_two_percent() -> None:
    first, second = (measure_realtime("qemu-m4", 5, [SETS[0]]) for _ in range(2))
    assert first.dispatch_instructions_per_op == pytest.approx(
        second.dispatch_instructions_per_op, rel=2e-2
    )
    assert first.dispatch_instructions_per_job == pytest.approx(
        second.dispatch_instructions_per_job, rel=2e-2
    )
    for one, other in zip(first.sets, second.sets, strict=True):
        assert one.overhead_share == pytest.approx(other.overhead_share, rel=2e-2)
        for task, again in zip(one.tasks, other.tasks, strict=True):
            pairs = zip(asdict(task).values(), asdict(again).values(), strict=True)
            for value, same in pairs:  # when the command to start arrives moves the phases a little
                assert value == same or abs(value - same) <= 1 + value // 50
            assert (task.jobs, task.missed) == (again.jobs, again.missed)
