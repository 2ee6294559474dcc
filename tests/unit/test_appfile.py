"""app.toml: what is read, and that every mistake is named with its place and a way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from host.appfile import TrialLimits, load_app
from host.boards import ROOT, load_board
from host.errors import ExitCode, UsageError
from host.schedule.admit import TaskTiming, start_latency_bounds_us
from host.schedule.trial import trial_of

GOOD = """
name = "watch"
version = "1.2.0"
[[task]]
name = "motion"
model = "motion"
period_ms = 1000
deadline_ms = 200
source = { kind = "replay", record = "wrist" }
"""


def write(folder: Path, text: str) -> Path:
    (folder / "app.toml").write_text(text)
    return folder


def refusal(folder: Path, text: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        load_app(write(folder, text))
    assert caught.value.exit_code == ExitCode.USAGE
    for line in (caught.value.cause, caught.value.remedy):
        assert line and "\n" not in line
    return caught.value


def test_a_small_file_gets_the_documented_defaults(tmp_path: Path) -> None:
    app = load_app(write(tmp_path, GOOD))
    assert (app.name, app.version, app.counter, app.fallback) == ("watch", "1.2.0", 1, "forbid")
    (task,) = app.tasks
    assert (task.period_us, task.deadline_us, task.budget_us) == (1_000_000, 200_000, None)
    assert (task.policy, task.post, task.source.record) == ("skip_next", "argmax", "wrist")
    assert app.model_file == tmp_path / "model.py"


def test_every_key_is_read(tmp_path: Path) -> None:
    text = GOOD.replace("[[task]]", "counter = 7\n[[task]]").replace(
        "deadline_ms = 200",
        'deadline_ms = 12.5\nbudget_us = 9000\npolicy = "abort"\npost = "argmax"',
    )
    app = load_app(write(tmp_path, text + '[policy]\nfallback = "forbid"\n'))
    (task,) = app.tasks
    assert app.counter == 7
    assert (task.deadline_us, task.budget_us, task.policy) == (12_500, 9000, "abort")


def test_the_demo_application_loads() -> None:
    app = load_app(ROOT / "host" / "apps" / "demo")
    assert [task.name for task in app.tasks] == ["motion", "digits"]


@pytest.mark.parametrize(
    ("old", "new", "where", "near"),
    [
        ("version =", "verison =", "verison", "version"),
        ("period_ms", "period_msec", "task[0].period_msec", "period_ms"),
        ("record =", "recrod =", "task[0].source.recrod", "record"),
        ("[[task]]", "[polcy]\n[[task]]", "polcy", "policy"),
    ],
)
def test_a_misspelt_key_is_named_with_its_place_and_the_nearest_key(
    tmp_path: Path, old: str, new: str, where: str, near: str
) -> None:
    error = refusal(tmp_path, GOOD.replace(old, new, 1))
    assert f"{tmp_path / 'app.toml'}: {where}: unknown key" in error.cause
    assert f"did you mean {near!r}?" in error.remedy
    assert "allowed here: " in error.remedy


@pytest.mark.parametrize(
    ("old", "new", "names", "offers"),
    [
        ("period_ms = 1000", "period_ms = '1s'", "task[0].period_ms is '1s'", "milliseconds"),
        ("period_ms = 1000", "period_ms = true", "task[0].period_ms is True", "milliseconds"),
        ("period_ms = 1000", "period_ms = nan", "task[0].period_ms is nan", "milliseconds"),
        ("period_ms = 1000", "period_ms = -5", "task[0].period_ms is -5", "0.1 to"),
        ("period_ms = 1000", "period_ms = 1.23456", "task[0].period_ms", "whole microseconds"),
        ("period_ms = 1000", "", "task[0].period_ms is missing", "milliseconds"),
        ("deadline_ms = 200", "deadline_ms = 1001", "deadline_ms is 1001", "at most period_ms"),
        ("deadline_ms = 200", "deadline_ms = 200\nbudget_us = 0", "budget_us is 0", "from 1 to"),
        (
            "deadline_ms = 200",
            "deadline_ms = 200\nbudget_us = 200001",
            "budget_us is 200001",
            "from 1 to 200000",
        ),
        (
            "deadline_ms = 200",
            "deadline_ms = 200\npolicy = 'skipnext'",
            "task[0].policy is 'skipnext'",
            "did you mean 'skip_next'?",
        ),
        ("deadline_ms = 200", "deadline_ms = 200\npost = 'mean'", "post is 'mean'", "argmax"),
        ('kind = "replay"', 'kind = "imu"', "task[0].source.kind is 'imu'", "replay"),
        ('name = "motion"', 'name = "Motion!"', "task[0].name is 'Motion!'", "at most 15"),
        ('name = "motion"', 'name = "m2345678901234567"', "task[0].name", "at most 15"),
        ('model = "motion"', 'model = "a b"', "task[0].model is 'a b'", "function in model.py"),
        ('name = "watch"', "name = 3", "name is 3", "a name"),
        ('version = "1.2.0"', 'version = ""', "version is ''", "1.0.0"),
        (
            'model = "motion"',
            'model = "motion"\nkeep_input = 1',
            "keep_input is 1",
            "true or false",
        ),
        (
            'model = "motion"',
            'model = "motion"\nprecision = "float"',
            "precision is 'float'",
            "did you mean 'float32'?",
        ),
        ("[[task]]", "counter = -1\n[[task]]", "counter is -1", "from 0 to"),
        ("[[task]]", "[policy]\nfallback = 'allow'\n[[task]]", "fallback is 'allow'", "forbid"),
        ("[[task]]", "policy = 3\n[[task]]", "policy is 3", "a table with the keys"),
    ],
)
def test_a_wrong_value_is_shown_with_what_is_allowed(
    tmp_path: Path, old: str, new: str, names: str, offers: str
) -> None:
    assert old in GOOD
    error = refusal(tmp_path, GOOD.replace(old, new, 1))
    assert names in error.cause
    assert offers in error.remedy


def test_a_file_without_tasks_or_with_too_many_is_refused(tmp_path: Path) -> None:
    head, task = GOOD.split("[[task]]")
    assert "0 tasks" in refusal(tmp_path, head).cause
    assert "5 tasks" in refusal(tmp_path, head + ("[[task]]" + task) * 5).cause
    assert "no list of tasks" in refusal(tmp_path, head + "[task]" + task).cause


def test_two_tasks_of_one_name_are_refused(tmp_path: Path) -> None:
    error = refusal(tmp_path, GOOD + GOOD[GOOD.index("[[task]]") :])
    assert "two tasks are called 'motion'" in error.cause


def test_broken_toml_names_the_line_and_a_missing_file_its_path(tmp_path: Path) -> None:
    assert "line 2" in refusal(tmp_path, "name = 'a'\nversion = \n").cause
    with pytest.raises(UsageError, match="there is no"):
        load_app(tmp_path / "nowhere")


def test_the_trial_says_what_is_good_enough(tmp_path: Path) -> None:
    assert load_app(write(tmp_path, GOOD)).trial == TrialLimits()
    text = "[trial]\nwindow_s = 30\njobs = 5\nmiss_ppm = 0\nlink_gap_ms = 0\nstart_ms = 1.5\n"
    trial = load_app(write(tmp_path, GOOD + text)).trial
    assert trial == TrialLimits(30_000, 5, 0, None, 0, 1500)


@pytest.mark.parametrize(
    "line",
    ["window_s = 3601", "jobs = 0", "miss_ppm = 1000001", "overrun_ppm = -1", "misses = 1"],
)
def test_a_wrong_threshold_is_named(tmp_path: Path, line: str) -> None:
    error = refusal(tmp_path, GOOD + "[trial]\n" + line)
    assert "trial." + line.split()[0] in error.cause


def test_thresholds_that_are_not_said_follow_from_the_board(tmp_path: Path) -> None:
    app = load_app(write(tmp_path, GOOD + "[modes.slow]\nmotion = { period_ms = 2000 }\n"))
    full = [TaskTiming("motion", 9000, 1_000_000, 200_000, 3000)]
    board = load_board("qemu-m4")
    trial = trial_of(app, board, full, [None])
    (bound,) = start_latency_bounds_us(board, full)
    longest_us = max(board.time.background_us, board.time.gc_us)
    assert trial["start_us"] == [bound] and longest_us < bound < 200_000
    assert (trial["miss_ppm"], trial["window_ms"], trial["link_gap_ms"]) == (1000, 10_000, 1000)
    on_pc = trial_of(app, load_board("host"), full, [None])
    assert (on_pc["miss_ppm"], on_pc["start_us"], on_pc["link_gap_ms"]) == (1_000_000, [], 0)
    said = load_app(write(tmp_path, GOOD + "[trial]\nmiss_ppm = 5\nstart_ms = 2\n"))
    assert trial_of(said, load_board("host"), full, [None])["start_us"] == [2000]
