"""The HTML report and the closing JSON: complete, exact, self-contained, the same for the same run."""

import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from report_samples import memory, report, stats

from host.demo_result import Accuracy, demo_json
from host.monitor.report import demo_page, render_report, write_report
from host.monitor.times import milliseconds

REPORT = report()
PAGE = render_report(demo_page(REPORT))
FIGURES = re.findall(r"<svg.*?</svg>", PAGE, re.DOTALL)


def test_the_same_run_gives_the_same_page():
    assert render_report(demo_page(report())) == PAGE


def test_the_page_needs_nothing_from_elsewhere():
    outside = [link for link in re.findall(r"https?://[^\"' <>)]+", PAGE) if "w3.org" not in link]
    assert not outside
    assert not re.search(r"<(script|link|img|iframe)\b|@import|url\((?!#)", PAGE)


def test_every_task_and_every_model_has_its_figure():
    assert len(FIGURES) == 4
    for figure in FIGURES:
        ET.fromstring(figure)
    assert "deadline 40.00 ms" in FIGURES[1] and "budget 29.00 ms" in FIGURES[1]


def test_the_figures_say_the_exact_numbers():
    digits = REPORT.tasks[1].stats
    assert f"max {milliseconds(digits.response.max_us)} ms" in FIGURES[1]
    assert f"p99 {milliseconds(digits.response.percentile(99))} ms" in FIGURES[1]
    assert f"p50 {milliseconds(digits.start.percentile(50))} ms" in FIGURES[1]


def test_every_buffer_is_on_the_arena_map_with_its_place():
    for figure, model in zip(FIGURES[2:], REPORT.models, strict=True):
        for buffer in model.buffers:
            tip = (
                f"<title>{buffer.name}: {buffer.size_bytes:,} B at {buffer.offset:,}, "
                f"ops {buffer.first} to {buffer.last}</title>"
            )
            assert figure.count(tip) == 1, tip


def test_an_optimal_arena_is_called_so():
    model = replace(REPORT.models[0], arena_lower_bound_bytes=REPORT.models[0].arena_bytes)
    assert "optimal" in render_report(demo_page(replace(REPORT, models=(model,))))
    assert "optimal" not in PAGE


def test_figures_take_every_colour_from_the_page():
    colours = set(re.findall(r"#[0-9a-fA-F]{6}\b", "".join(FIGURES)))
    assert not colours, f"fixed colours {colours} would not follow the dark page"
    used = set(re.findall(r"var\((--[\w]+)\)", "".join(FIGURES)))
    light, dark = re.findall(r":root \{(.*?)\}", PAGE, re.DOTALL)
    for name in used:
        assert f"{name}:" in light and f"{name}:" in dark, name


def test_ids_are_unique_in_the_page():
    names = re.findall(r'\bid="([^"]+)"', PAGE)
    assert len(names) == len(set(names))


def test_page_and_tables_name_board_app_and_versions():
    for words in ("demo 1.0.0 on qemu-m4", "MicroPython 1.25.0", "24,656 B", "262,144", "97.50%"):
        assert words in PAGE


def test_misses_and_mismatches_are_marked_bad():
    good, bad = PAGE.count('class="bad"'), render_report(demo_page(report(late=3, mismatches=2)))
    assert good == 0 and bad.count('class="bad"') == 4


def test_names_from_a_board_are_escaped():
    hostile = '<script>alert("x")</script>'
    models = (replace(memory("m", [10, 20, 30]), name=hostile),)
    tasks = (replace(REPORT.tasks[0], name=hostile),)
    demo = replace(REPORT, app=hostile, tasks=tasks, models=models, ram=((hostile, 5),))
    page = render_report(demo_page(demo))
    assert "<script" not in page and "&lt;script&gt;" in page


@pytest.mark.parametrize(
    "sample",
    [
        stats(1, 0),
        stats(1, 1),
        stats(1, 50, 900_000, 50),
        stats(1, 5, 0),
        stats(1, 5, 1 << 25),
    ],
    ids=["no job", "one job", "all late", "instant", "beyond the histogram"],
)
def test_extreme_runs_still_make_a_page(sample):
    if sample.done == 5 and sample.exec_max_us < 2000:
        sample.start.min_us = sample.response.min_us = 0
    task = replace(REPORT.tasks[0], stats=sample, accuracy=Accuracy(0, 0, 0))
    model = replace(REPORT.models[0], buffers=(), ops=(), arena_bytes=0, arena_lower_bound_bytes=0)
    page = render_report(demo_page(replace(REPORT, tasks=(task,), models=(model,), ram=())))
    assert page.count("<svg") == 2


def test_the_report_is_written_where_it_was_asked_for(tmp_path):
    write_report(demo_page(REPORT), tmp_path / "new" / "report.html")
    assert (tmp_path / "new" / "report.html").read_text() == PAGE


def test_the_closing_json_has_exactly_the_promised_keys():
    seen = demo_json(REPORT)
    assert list(seen) == [
        "board",
        "app",
        "arena_bytes",
        "arena_lower_bound_bytes",
        "package_bytes",
        "pte_bytes",
        "ram_table",
        "tasks",
    ]
    assert list(seen["tasks"]) == ["motion", "digits"]
    digits = seen["tasks"]["digits"]
    assert list(digits) == [
        "released",
        "done",
        "missed_late",
        "aborted",
        "skipped",
        "start_latency_us",
        "response_us",
        "accuracy",
        "parity_mismatches",
    ]
    assert list(digits["response_us"]) == ["p50", "p99", "max"]
    assert digits["accuracy"] == {"float": 0.9833, "quantized": 0.9805, "device": 0.9805}
    assert seen["pte_bytes"] == 28_440
