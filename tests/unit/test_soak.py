"""Soak: what load means, how the first span is judged against the last, and the package it runs."""

from dataclasses import replace

import pytest
from package_samples import KEY
from package_samples import package as sample_package
from report_samples import TASKS, histogram, moment, stats

from host.boards import load_board
from host.errors import DoesNotFitError, UsageError
from host.link.tactus_group import StatsSnapshot
from host.monitor.soak import (
    Soak,
    SoakError,
    SoakTask,
    _Keeper,
    at_load,
    faster,
    largest_factor,
    soak_json,
)
from host.monitor.soak_table import soak_table
from host.package.keys import public_bytes
from host.package.read import read_package
from host.package.write import retime_package
from host.schedule.admit import TaskTiming, admit_tasks
from host.verbs import Console
from host.verbs import soak as verb

PUBLIC = public_bytes(KEY)
M4 = load_board("qemu-m4")
TIMINGS = [
    TaskTiming("motion", 4_000, 1_000_000, 200_000, 700),
    TaskTiming("digits", 2_400, 50_000, 40_000, 700),
]


def test_load_one_is_the_fastest_that_admission_accepts():
    factor = largest_factor(M4, TIMINGS)
    assert factor > 1
    admit_tasks(M4, faster(TIMINGS, factor))
    with pytest.raises(DoesNotFitError):
        admit_tasks(M4, faster(TIMINGS, factor + 0.002))


@pytest.mark.parametrize("load", [0.1, 0.5, 1.0])
def test_a_load_uses_its_share_of_that_utilization(load):
    def share(tasks):
        return sum(task.budget_us / task.period_us for task in tasks)

    full, _ = at_load(M4, TIMINGS, 1.0)
    tasks, verdict = at_load(M4, TIMINGS, load)
    assert share(tasks) == pytest.approx(load * share(full), rel=0.001)
    assert verdict.slack_us >= 0


def test_tasks_that_do_not_fit_as_they_are_are_refused():
    with pytest.raises(DoesNotFitError):
        at_load(M4, [TaskTiming("heavy", 60_000, 50_000, 50_000, 700)], 0.5)


def span(typical_us, jobs=600, late=0):
    return stats(2, jobs, typical_us, late, 1)


def soak(first, last, whole):
    task = SoakTask(TASKS[1], first, last, whole)
    return Soak((task,), 180_000, 60_000, 720, {"gc_count": 3}, {"gc_count": 9})


@pytest.mark.parametrize(
    ("first", "last", "whole", "verdict"),
    [
        (span(20_000), span(20_000), span(20_000), "steady"),
        (span(20_000), span(24_000), span(22_000), "steady"),
        (span(20_000), span(27_000), span(24_000), "drift"),
        (span(27_000), span(20_000), span(24_000), "steady"),
        (span(20_000), span(20_000), span(20_000, late=1), "missed"),
        (span(20_000), span(20_000, 0), span(20_000), "stalled"),
    ],
)
def test_the_verdict_follows_the_rule(first, last, whole, verdict):
    found, reasons = soak(first, last, whole).verdict()
    assert found == verdict and bool(reasons) == (verdict != "steady")


def test_a_drift_of_microseconds_is_none():
    quick = span(20_000)._replace(start=histogram([40] * 100))
    slower = span(20_000)._replace(start=histogram([90] * 100))
    assert soak(quick, slower, slower).verdict()[0] == "steady"
    slow = span(20_000)._replace(start=histogram([900] * 100))
    assert soak(quick, slow, slow).verdict() == (
        "drift",
        [
            "digits: p50 of start latency 40 -> 900 us",
            "digits: p99 of start latency 40 -> 900 us",
        ],
    )


@pytest.mark.parametrize(
    ("jobs", "found"), [(9, []), (10, ["p50"]), (499, ["p50"]), (500, ["p50", "p99"])]
)
def test_a_percentile_is_judged_when_enough_jobs_lie_beyond_it(jobs, found):
    first, last = span(20_000, jobs), span(30_000, jobs)
    drifts = SoakTask(TASKS[1], first, last, last).drifts()
    assert [words.split(": ")[1].split(" ")[0] for words in drifts] == found


def test_the_json_names_both_spans_and_the_boards_counters():
    seen = soak_json(soak(span(20_000), span(21_000), span(20_500)))
    assert seen["verdict"] == "steady" and seen["loop"] == {"gc_count": {"first": 3, "last": 9}}
    digits = seen["tasks"]["digits"]
    assert digits["missed"] == 0 and set(digits["first"]) == set(digits["last"])
    assert digits["last"]["response_us"]["p50"] >= 20_000
    assert soak_table(soak(span(20_000), span(21_000), span(20_500))).row_count == 2


class _Idle:
    requests = 0

    def between_frames(self):
        self.requests += 1


def test_frames_that_bound_the_spans_are_kept_and_none_between():
    keeper = _Keeper(600_000, 60_000, _Idle())
    for index in range(1201):
        ended = keeper.take(StatsSnapshot(index, 5_000 + 500 * index, ()))
        assert ended == (index == 1200)
    assert keeper.first.uptime_ms == 65_000 and len(keeper.latest) == 121
    assert (keeper.latest[0].uptime_ms, keeper.latest[-1].uptime_ms) == (545_000, 605_000)


def test_a_reset_ends_the_soak():
    keeper = _Keeper(600_000, 60_000, _Idle())
    keeper.take(moment(100, 50_000).stats)
    with pytest.raises(SoakError, match="reset"):
        keeper.take(moment(4, 900).stats)


def test_a_retimed_package_keeps_its_models_and_is_signed():
    package = sample_package()
    before = read_package(package, [PUBLIC])
    times = {
        task["name"]: (task["period_us"] * 2, task["deadline_us"] + 1)
        for task in before.manifest["tasks"]
    }
    after = read_package(retime_package(package, times, KEY), [PUBLIC])
    assert [replace(p, offset=0) for p in after.payloads] == [
        replace(p, offset=0) for p in before.payloads
    ]
    for old, new in zip(before.manifest["tasks"], after.manifest["tasks"], strict=True):
        assert (new["period_us"], new["deadline_us"]) == times[old["name"]]
        assert {**new, "period_us": 0, "deadline_us": 0} == {
            **old,
            "period_us": 0,
            "deadline_us": 0,
        }
    same = {t["name"]: (t["period_us"], t["deadline_us"]) for t in before.manifest["tasks"]}
    assert retime_package(package, same, KEY) == package


@pytest.mark.parametrize(
    ("minutes", "load"), [("0", "0.5"), ("x", "0.5"), ("nan", "1"), ("1", "0"), ("1", "1.1")]
)
def test_wrong_options_are_told(minutes, load):
    with pytest.raises(UsageError, match=r"is '"):
        verb.run(Console(True, False), "demo", "host", "", minutes, load)
