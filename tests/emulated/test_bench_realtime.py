"""`bench realtime` in short: near the limit nothing is missed, and no job starts later than was predicted."""

from __future__ import annotations

import pytest

from host.bench.realtime import measure_realtime
from host.bench.realtime_sets import SETS

pytestmark = pytest.mark.emulated
SECONDS = 30  # of the board's time


def test_a_nearly_full_processor_misses_nothing_and_keeps_to_its_bounds() -> None:
    result = measure_realtime("qemu-m4", SECONDS, [SETS[2]])
    (found,) = result.sets
    assert found.jobs > 20 * SECONDS
    assert found.missed == 0
    assert found.missed_run_to_completion > found.jobs // 4
    for task in found.tasks:
        assert 0 < task.start_latency_max_us <= task.start_latency_bound_us, task
        assert task.start_latency_bound_us <= 1.5 * task.start_latency_max_us, task
        assert task.response_max_us <= task.deadline_us, task
        assert task.wcet_exceeded == 0, task
    assert 0 < found.overhead_share < 0.06
    assert 0 < result.dispatch_instructions_per_op < 1_000
    assert 0 < result.dispatch_instructions_per_job < 20_000


def test_the_same_run_gives_the_same_figures() -> None:
    first, second = (measure_realtime("qemu-m4", 5, [SETS[0]]).as_json() for _ in range(2))
    assert first == second
