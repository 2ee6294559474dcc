"""The log of a monitor: what went in comes out, over resets, gaps and a cut last line."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from report_samples import TASKS, moment, ring

from host.errors import ExitCode, TactusError, UsageError
from host.monitor.recording import (
    lost_json,
    moment_from_json,
    moment_json,
    read_recording,
    recording_of,
)
from host.monitor.report import recording_page, render_report
from host.monitor.span import Loads, merge_stats, stats_between
from host.monitor.views import LogFile


def written(tmp_path, *lines):
    file = tmp_path / "board.log"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def test_a_moment_survives_the_log():
    sample = moment(late=2)
    seen = moment_from_json(json.loads(json.dumps(moment_json(sample))))
    assert seen.tasks == sample.tasks and seen.events == sample.events and seen.ram == sample.ram
    for one, other in zip(seen.stats.tasks, sample.stats.tasks, strict=True):
        assert one._replace(start=None, response=None) == other._replace(start=None, response=None)
        assert one.response.buckets == other.response.buckets
        assert vars(one.start) == vars(other.start)
    assert seen.at_s == sample.at_s and seen.info.boot_id == 7
    assert seen.stats.loop == sample.stats.loop and seen.mode == "normal"


def test_the_ring_is_logged_once_and_a_frame_is_a_line(tmp_path):
    file = tmp_path / "new" / "board.log"
    with LogFile(file) as log:
        for index in range(3):
            log.show(moment(400 + index, 20_000 + index, late=1 if index else 0))
        log.lost("cable pulled")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert ["events" in line for line in lines] == [False, True, False, False]
    assert lines[3]["lost"] == "cable pulled" and {line["format"] for line in lines} == {1}
    with LogFile(file) as log:
        log.show(moment(500, 30_000))
    assert len(file.read_text().splitlines()) == 5, "a log is continued, not overwritten"


def test_a_full_disk_and_a_folder_are_told(tmp_path):
    with pytest.raises(UsageError, match="cannot write"):
        LogFile(tmp_path)
    with (
        pytest.raises(TactusError, match="/dev/full: No space left"),
        LogFile(Path("/dev/full")) as log,
    ):
        log.show(moment())


def test_a_recording_adds_up_the_starts_of_the_board(tmp_path):
    lines = [moment_json(moment(jobs, ms)) for jobs, ms in ((100, 5_000), (400, 20_000))]
    lines += [lost_json("gone", 5.0), lost_json("gone", 6.0)]
    lines += [moment_json(moment(jobs, ms, 8)) for jobs, ms in ((40, 2_000), (200, 10_000))]
    seen = read_recording(written(tmp_path, *lines))
    assert (seen.frames, seen.starts, seen.gaps) == (4, 2, 1)
    assert seen.stats[1].done == 600 and seen.stats[1].response.n == 600
    assert seen.stats[1].response.max_us == max(
        moment(jobs).stats.tasks[1].response.max_us for jobs in (400, 200)
    )


def test_a_restart_of_the_same_boot_is_a_start_of_its_own(tmp_path):
    lines = [moment_json(moment(400, 20_000)), moment_json(moment(40, 22_000))]
    assert read_recording(written(tmp_path, *lines)).starts == 2


def test_a_cut_last_line_is_left_out(tmp_path):
    file = written(tmp_path, moment_json(moment(100)), moment_json(moment(400)))
    file.write_text(file.read_text()[:-300])
    assert read_recording(file).frames == 1


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("{", "line 2"),
        ('{"format": 2}', "format 2"),
        ("[]", "line 2"),
        ('{"format": 1}', "KeyError"),
        ("\x00", "line 2"),
    ],
)
def test_what_is_no_log_is_named_with_its_line(tmp_path, line, word):
    file = tmp_path / "x.log"
    good = json.dumps(moment_json(moment()))
    file.write_text(f"{good}\n{line}\n{good}\n")
    with pytest.raises(UsageError, match=word) as caught:
        read_recording(file)
    assert caught.value.exit_code == ExitCode.USAGE and "monitor --log" in caught.value.remedy


@pytest.mark.parametrize(
    "change",
    [
        {"period_us": 0},
        {"budget_us": -1},
        {"policy": "hope"},
        {"counters": {"released": 1.5}},
        {"start_histogram": {"n": 1, "min": 0, "max": 0, "sum": 0, "buckets": []}},
        {"start_histogram": {"n": 1, "min": 0, "max": 0, "sum": 0, "buckets": [[-1, 1]]}},
        {"response_histogram": {"n": 1, "min": 0, "max": 0, "sum": 0, "buckets": [[176, 1]]}},
    ],
)
def test_numbers_that_cannot_be_are_refused(tmp_path, change):
    line = moment_json(moment())
    line["tasks"]["digits"] |= change
    with pytest.raises(UsageError):
        read_recording(written(tmp_path, line))


def test_a_report_is_about_the_last_tasks_and_periods(tmp_path):
    slower = tuple(replace(task, period_us=2 * task.period_us) for task in TASKS)
    lines = [moment_json(moment(jobs, 50 * jobs, late=1)) for jobs in (100, 120)]
    lines += [
        moment_json(replace(moment(jobs, 50 * jobs, 8), tasks=slower)) for jobs in (10, 20, 30)
    ]
    seen = read_recording(written(tmp_path, *lines))
    assert (seen.frames, seen.starts, seen.left_out, seen.events) == (3, 1, 2, ())
    assert seen.stats[1].done == 30 and seen.last.tasks == slower
    assert "2 frames of other tasks or periods before left out" in render_report(
        recording_page(seen)
    )


def test_files_without_a_frame_are_told(tmp_path):
    with pytest.raises(UsageError, match="no frame"):
        read_recording(written(tmp_path))
    with pytest.raises(UsageError, match="cannot read"):
        read_recording(tmp_path)


def test_the_report_of_a_log_shows_times_memory_and_the_miss(tmp_path):
    file = written(tmp_path, moment_json(moment(100)), moment_json(moment(400, 21_000, late=3)))
    page = render_report(recording_page(read_recording(file)))
    assert page.count("<svg") == 3
    for words in (
        "The first miss",
        "digits job 62 ended 2.500 ms after",
        "2 frames",
        "deadline 40.00 ms",
    ):
        assert words in page, words
    assert "Answers" not in page and "Arena of" not in page
    calm = render_report(recording_page(recording_of(moment())))
    assert "The first miss" not in calm and calm.count("<svg") == 2


def test_a_span_is_the_difference_of_two_snapshots_and_merging_undoes_it():
    old, new = moment(100).stats.tasks[1], moment(400).stats.tasks[1]
    whole = merge_stats(old, stats_between(old, merge_stats(old, new)))
    span = stats_between(old, merge_stats(old, new))
    assert span.response.buckets == new.response.buckets and span.done == new.done
    assert whole.response.buckets == merge_stats(old, new).response.buckets
    exact = new.response.max_us
    assert exact <= span.response.max_us <= max(exact * 1.125, old.response.max_us)
    assert stats_between(old, old).response.max_us == 0


def test_loads_follow_the_frames_and_start_over_with_the_board():
    loads = Loads()
    first = loads.take(moment(100, 5_000).stats, moment().tasks)
    assert first[1].rate_hz is None and first[1].utilization == pytest.approx(0.42, rel=0.01)
    second = loads.take(moment(120, 6_000).stats, moment().tasks)
    assert second[1].rate_hz == pytest.approx(20.0)
    assert second[1].budget == pytest.approx(22_400 / 29_000)
    assert loads.take(moment(20, 1_000, 8).stats, moment().tasks)[1].rate_hz is None
    wrapped = Loads()
    wrapped.take(moment(100, 2**30 - 500).stats, moment().tasks)
    assert wrapped.take(moment(120, 500).stats, moment().tasks)[1].rate_hz == pytest.approx(20.0)


def test_the_ring_sample_has_the_size_of_a_ring():
    assert len(ring()) <= 32
