"""The ring of the first miss as a Gantt chart: who held the processor, and what is drawn."""

import io
import re
from xml.etree import ElementTree as ET

import pytest
from report_samples import TASKS, ring
from rich.console import Console

from host.monitor.timeline import build_timeline
from host.monitor.timeline_plot import timeline_svg
from host.monitor.timeline_text import TimelineText
from protocol.stats import EVENT_KINDS, Event


def drawn(line, width=80):
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(TimelineText(line))
    return console.export_text().splitlines()


@pytest.mark.parametrize("zero_us", [0, 2**32 - 60_000, 2**32 - 1, 2**31])
def test_the_miss_is_accounted_to_those_who_held_the_processor(zero_us):
    line = build_timeline(ring(zero_us), TASKS)
    assert line is not None and line.miss is not None
    miss = line.miss
    assert (miss.row, miss.job, miss.what) == (1, 62, "late")
    assert (miss.deadline_us, miss.at_us, miss.since_us) == (40_000, 42_500, 0)
    assert miss.by == (("its own ops", 40_000), ("motion", 2_400))
    assert (line.start_us, line.end_us) == (-59_900, 42_500)
    assert line.sentence() == (
        "digits job 62 ended 2.500 ms after its deadline of 40.00 ms. Of the 42.50 ms until then, "
        "its own ops 40.00 ms, motion 2.400 ms; the loop, dispatch or a stall 0.100 ms."
    )


def test_jobs_wait_from_their_release_to_their_end():
    line = build_timeline(ring(), TASKS)
    waits = {(wait.row, wait.job): (wait.start_us, wait.end_us) for wait in line.waits}
    assert waits == {(0, 3): (-59_900, 2_400), (1, 61): (-50_000, -12_700), (1, 62): (0, 42_500)}


def test_a_skipped_release_blames_the_job_before_it_and_what_held_that_up():
    rows = [
        (50_000, 0, 1, "release", 0, 0),
        (50_000, 0, 1, "start", 0, 0),
        (50_000, 0, 1, "op", 0, 70_000),
        (60_000, 1, 1, "release", 0, 60_000),
        (110_000, 1, 2, "release", 0, 10_000),
        (120_000, 1, 2, "skipped", 0, 10_000),
    ]
    events = [
        Event(at, job, task, EVENT_KINDS.index(kind), op, v) for at, task, job, kind, op, v in rows
    ]
    line = build_timeline(events, TASKS)
    assert line.miss.since_us == -50_000 and line.miss.by == (("motion", 60_000),)
    assert "released 50.00 ms earlier" in line.sentence()


def test_a_release_that_the_ring_no_longer_holds_comes_from_the_grid_of_the_others():
    kinds = EVENT_KINDS.index
    start_us = 100_000  # between the start and release 0
    events = [
        Event(start_us + 9_000_000, 9, 0, kinds("release"), 0, 0),
        Event(start_us + 9_040_000, 180, 1, kinds("op"), 3, 5_000),
        Event(start_us + 9_045_000, 180, 1, kinds("aborted"), 3, 30_000),
    ]
    line = build_timeline(events, TASKS)
    assert (line.miss.at_us, line.miss.since_us) == (45_000, 40_000)
    assert "The ring begins 40.00 ms after the release" in line.sentence()
    alone = build_timeline(events[1:], TASKS)
    assert alone.miss.at_us == 5_000, "nothing tells the release: its first event stands for it"


def test_a_ring_without_a_miss_is_drawn_too_and_an_empty_one_is_not():
    line = build_timeline(ring()[:10], TASKS)
    assert line.miss is None and line.sentence() == "No deadline was missed."
    assert drawn(line)[0].startswith("motion  ")
    assert build_timeline((), TASKS) is None
    assert build_timeline([Event(0, 0, 9, 1, 0, 0)], TASKS) is None, "no such task"


@pytest.mark.parametrize("width", [30, 80, 120])
def test_the_chart_fits_the_terminal_and_shows_who_ran_while_the_other_waited(width):
    line = build_timeline(ring(), TASKS)
    motion, digits, background, axis = drawn(line, width)
    assert max(map(len, (motion, digits, background, axis))) <= width
    assert "█" in background and "┊" in digits and "ms" in axis
    if width >= 80:
        running = {
            row: {i for i, c in enumerate(text) if c in "█┊"}
            for row, text in enumerate((motion, digits, background))
        }
        waiting = {i for i, c in enumerate(digits) if c == "░"}
        assert waiting and waiting <= running[0] | running[2] | {max(running[0]) + 1}


def test_the_figure_names_every_bar_and_follows_the_page():
    line = build_timeline(ring(), TASKS)
    figure = timeline_svg(line)
    ET.fromstring(figure)
    for words in (
        "digits job 62, ops to 1: 15.00 ms",
        "background 12.00 ms",
        "deadline 40.00 ms",
        "motion job 3, under way",
    ):
        assert words in figure, words
    assert not re.findall(r"#[0-9a-fA-F]{6}\b", figure)
    assert figure == timeline_svg(line)
