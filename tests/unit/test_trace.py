"""Chrome trace events: the rules of the format, and that every job is where it ran."""

import json
from collections import defaultdict
from types import SimpleNamespace

import pytest
from report_samples import TASKS, moment, ring
from trace_rules import check_trace

from host.errors import UsageError
from host.link.tactus_group import ResultsPage
from host.monitor.trace import Run, TraceFile
from protocol.stats import EVENT_KINDS, Event, Result


def result(sequence, task, job, response_us, late=False):
    return Result(sequence, 0, job, response_us, task, late, 0, b"", False)


def test_jobs_are_slices_from_release_to_end_with_their_ops_inside():
    run = Run(1, TASKS)
    results = [result(0, 1, 61, 37_300), result(1, 0, 3, 102_400), result(2, 1, 62, 42_500, True)]
    # The sample's jobs lie on the grid of digits: job 61 is released at 61 * 50 ms.
    events = run.jobs([results[0], results[2]]) + run.ring(ring(100_000 + 61 * 50_000 - 10_000))
    slices = check_trace([event for event in events if event["tid"] == 3])
    assert slices[1, 3][:2] == [(3_050_000, 3_087_300), (3_100_000, 3_142_500)]
    assert len(slices[1, 3]) == 2 + 4, "two jobs, two ops each"
    marks = [(event["name"], event["ts"]) for event in events if event["ph"] == "i"]
    assert marks == [("deadline missed", 3_140_000), ("preempted", 3_070_100)]
    assert [e["dur"] for e in events if e["tid"] == 1] == [12_000]


def test_a_job_that_had_to_wait_for_its_forerunner_does_not_overlap_it():
    events = Run(1, TASKS).jobs([result(0, 1, 0, 70_000, True), result(1, 1, 1, 45_000, True)])
    slices = check_trace(events)
    assert slices[1, 3] == [(0, 70_000), (70_000, 95_000)]
    assert events[2]["args"] == {
        "release_us": 50_000,
        "response_us": 45_000,
        "late": True,
        "lite": False,
        "early": False,
    }


def test_the_ring_is_read_often_and_written_once():
    run = Run(1, TASKS)
    events = ring()
    first, second = run.ring(events[:12]), run.ring(events[3:])
    check_trace(first + second)
    assert sum(event["ph"] == "X" for event in first + second) == 8


@pytest.mark.parametrize("job", [61, 86_001, 300_001])
@pytest.mark.parametrize("start_us", [0, 100_000, 2**32 - 30_000])
def test_instants_beyond_32_bits_are_unwrapped_onto_the_grid(job, start_us):
    run = Run(1, TASKS)
    run.jobs([result(0, 1, job - 1, 100)])
    origin = job * 50_000 - 10_000  # of the sample, counted from release 0
    events = run.ring(ring(start_us + origin, job))
    begins = [event["ts"] - origin for event in events if event["ph"] == "X"]
    assert begins == [100, 9_100, 30_200, 39_300, 47_400, 59_400, 62_500, 87_500]


class FakeSession:
    """Serves results by cursor and a ring, as group 64 does."""

    def __init__(self, results, events=()):
        self.tactus = SimpleNamespace(results=self._page, events=lambda: events)
        self._results = results

    def _page(self, cursor, maximum):
        records = [r for r in self._results if r.sequence >= cursor][:maximum]
        return ResultsPage(cursor + len(records), tuple(records))


def test_a_file_holds_all_jobs_and_a_process_a_start(tmp_path):
    file = tmp_path / "new" / "trace.json"
    jobs = [result(n, 1, n, 9_000) for n in range(95)]
    with TraceFile(file) as trace:
        trace.take(FakeSession(jobs[:90], ring()), moment(90, 5_000))
        trace.take(FakeSession(jobs), moment(95, 5_500, late=1))
        trace.take(FakeSession(jobs[:7]), moment(7, 400, 8))
    events = json.loads(file.read_text())
    check_trace([event for event in events if event["name"].startswith(("job", "process"))])
    count = defaultdict(int)
    for event in events:
        count[event["pid"]] += event["name"].startswith("job")
    assert count == {1: 95, 2: 7}
    names = {
        event["args"]["name"] for event in events if event["ph"] == "M" and "name" in event["args"]
    }
    assert {
        "demo 1.0.0 on qemu-m4",
        "demo 1.0.0 on qemu-m4, part 2, mode normal",
        "motion",
        "background",
    } <= names
    misses = [event["args"]["digits"] for event in events if event["ph"] == "C"]
    assert misses == [0, 1, 0]


def test_a_mode_has_a_grid_of_its_own_and_is_marked():
    run = Run(2, TASKS)
    start = Event(9_000_000, 0, 255, EVENT_KINDS.index("mode"), 1, 700)
    release = Event(9_050_000, 1, 1, EVENT_KINDS.index("release"), 0, 0)
    (mark,) = run.ring([start, release])
    assert (mark["ts"], mark["name"]) == (0, "mode 1")
    (job,) = run.jobs([result(0, 1, 1, 9_000)])
    assert (job["ts"], job["dur"]) == (50_000, 9_000)


def test_a_trace_is_whole_after_an_error_and_a_folder_is_refused(tmp_path):
    with pytest.raises(ZeroDivisionError), TraceFile(tmp_path / "t.json") as trace:
        trace.take(FakeSession([]), moment())
        raise ZeroDivisionError
    assert json.loads((tmp_path / "t.json").read_text())
    with pytest.raises(UsageError, match="cannot write"):
        TraceFile(tmp_path)


def test_strange_events_from_a_board_are_left_out():
    run = Run(1, TASKS)
    strange = [Event(5, 1, 77, EVENT_KINDS.index("op"), 0, 3)]
    assert run.ring(strange) == [] and run.jobs([result(0, 50, 1, 1)]) == []
