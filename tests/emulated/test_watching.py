"""Watching real boards: over a reset and a restart, into a log, a trace and a report; and soaking them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from trace_rules import check_trace

from host.flash.device_room import DEVICES_VARIABLE
from host.link.session import Session, connect
from host.monitor.live import Moment, follow
from host.monitor.recording import read_recording
from host.monitor.views import AllOf, LogFile, PlainLines

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.emulated


def command(*arguments: str) -> list[str]:
    return [sys.executable, "tasks.py", *arguments]


def tactus(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=900, check=False
    )


@pytest.fixture
def devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A room for boards of this test alone; they are stopped at its end."""
    monkeypatch.setenv(DEVICES_VARIABLE, str(tmp_path / "devices"))
    yield tmp_path
    tactus("boards", "--stop", "all")


def started(board: str, speed: int) -> None:
    done = tactus("flash", "--board", board, "--app", "demo")
    assert done.returncode == 0, done.stderr
    with connect(board) as session:
        session.tactus.run(speed)


def test_a_reset_is_seen_and_the_log_adds_up_both_starts(devices: Path) -> None:
    started("host", 1)
    log = devices / "board.log"
    boots: list[int] = []

    def seen(session: Session, moment: Moment) -> bool:
        boots.append(moment.info.boot_id)
        if len(boots) == 3:
            session.os.reset()
        return len(set(boots)) == 2 and boots.count(boots[-1]) == 3

    text = StringIO()
    follow("host", None, AllOf([LogFile(log), PlainLines(text)]), seen, time.monotonic() + 60)
    assert len(set(boots)) == 2, text.getvalue()
    recording = read_recording(log)
    assert recording.starts == 2 and recording.frames == len(boots)
    assert all(stats.done > 0 for stats in recording.stats)


def test_a_board_that_is_gone_and_comes_back_is_watched_on(devices: Path) -> None:
    started("host", 1)
    log, trace = devices / "board.log", devices / "trace.json"
    monitor = subprocess.Popen(
        command("monitor", "--board", "host", "--json", "--log", str(log), "--trace", str(trace)),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert monitor.stdout is not None
        lines: list[dict[str, Any]] = []

        def until(wanted: str, value: object = None) -> None:
            while not lines or wanted not in lines[-1] or value not in (None, lines[-1][wanted]):
                line = monitor.stdout.readline() if monitor.stdout else ""
                assert line, "the monitor ended"
                lines.append(json.loads(line))

        until("uptime_ms")
        boot = lines[-1]["boot_id"]
        tactus("boards", "--stop", "host")
        until("lost")
        tactus("flash", "--board", "host")
        until("uptime_ms")
        assert lines[-1]["boot_id"] != boot
        monitor.send_signal(2)  # Ctrl-C is how a person ends it
        _, errors = monitor.communicate(timeout=30)
    finally:
        monitor.kill()
        monitor.wait()
    assert monitor.returncode == 0 and "Traceback" not in errors, errors
    recording = read_recording(log)
    assert recording.starts == 2 and recording.gaps == 1
    events = json.loads(trace.read_text())
    check_trace(events)
    jobs = {event["pid"] for event in events if event.get("cat") == "job"}
    assert jobs >= {1} and any(event["name"].startswith("ops to ") for event in events)
    page = devices / "report.html"
    done = tactus("report", str(log), "-o", str(page), "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["starts"] == 2 and result["report"] == str(page)
    assert page.read_text().count("<svg") >= 2


def test_one_frame_and_a_report_of_a_live_board(devices: Path) -> None:
    started("host", 1)
    once = tactus("monitor", "--once", "--json")
    assert once.returncode == 0 and len(once.stdout.splitlines()) == 1, once.stderr
    assert json.loads(once.stdout)["board"] == "host"
    page = devices / "report.html"
    done = tactus("report", "--board", "host", "--output", str(page))
    assert done.returncode == 0 and "demo" in page.read_text(), done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("report", "nowhere.log"), 2, "cannot read nowhere.log"),
        (("report", "--log", "x", "--board", "host"), 2, "a log and a board together"),
        (("monitor", "--web-port", "1"), 2, "--web-port without --web"),
        (("soak", "--load", "2"), 2, "--load is '2'"),
        (("monitor", "--board", "host"), 3, "board host is not running here"),
        (("report", "--board", "host"), 3, "board host is not running here"),
    ],
)
def test_mistakes_get_a_cause_a_remedy_and_their_code(
    devices: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    done = tactus(*arguments)
    assert done.returncode == code and words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 2, done.stderr


def soak(board: str, minutes: str, load: str) -> tuple[dict[str, Any], int]:
    done = tactus("soak", "--board", board, "--minutes", minutes, "--load", load, "--json")
    assert done.stdout, done.stderr
    print(done.stdout)
    return json.loads(done.stdout.splitlines()[-1]), done.returncode


def test_a_short_soak_of_the_host_board_is_judged_by_its_rule(devices: Path) -> None:
    result, code = soak("host", "0.2", "0.1")
    # This machine runs other programs: what is checked is that verdict and figures agree.
    missed = sum(task["missed"] for task in result["tasks"].values())
    assert (result["verdict"] == "steady") == (code == 0)
    assert (result["verdict"] == "missed") == (missed > 0)
    assert result["uptime_ms"] >= 12_000 and result["span_ms"] == 4_000
    assert result["background_requests"] > 20
    for task in result["tasks"].values():
        for span in ("first", "last"):
            assert task[span]["jobs"] > 0
            assert 0 < task[span]["response_us"]["p50"] <= task[span]["response_us"]["max"]
    with connect("host") as session:
        assert session.tactus.tasks()[1].period_us == 50_000, "the application is back as it was"


def test_a_short_soak_of_the_emulated_m4_is_steady(devices: Path) -> None:
    result, code = soak("qemu-m4", "0.2", "0.8")
    assert code == 0 and result["verdict"] == "steady" and result["reasons"] == []
    assert result["background_requests"] > 5
    assert all(task["missed"] == 0 for task in result["tasks"].values())
