"""The main job as a user runs it, on the embedded default and on emulated firmware."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from host.boards import load_board
from host.flash.device_room import DEVICES_VARIABLE
from host.link.session import connect

PLAN_ALIGN = 16  # bytes; a plan is rounded up to it
ROOT = Path(__file__).resolve().parents[2]


def tactus(devices: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "tasks.py", *arguments]
    return subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        env={**os.environ, DEVICES_VARIABLE: str(devices)},
    )


@pytest.fixture
def devices(tmp_path: Path) -> Iterator[Path]:
    """A room for boards of this test alone; they are stopped at its end."""
    yield tmp_path / "devices"
    tactus(tmp_path / "devices", "boards", "--stop", "all")


def demo(devices: Path, board: str, speed: int) -> dict[str, Any]:
    report = devices.parent / "report.html"
    arguments = ["demo", "--board", board, "--json", "--speed", str(speed), "--report", str(report)]
    done = tactus(devices, *arguments)
    assert done.returncode == 0, f"replay: {' '.join(done.args)}\n{done.stderr[-4000:]}"
    assert "<svg" in report.read_text()
    result = json.loads(done.stdout)
    print(json.dumps(result))
    return result


def check_shape(result: dict[str, Any], board: str) -> None:
    assert result["board"] == board
    assert result["app"] == "demo"
    assert 0 < result["arena_lower_bound_bytes"] <= result["arena_bytes"]
    assert result["package_bytes"] > 0
    assert result["pte_bytes"] > 0
    assert set(result["tasks"]) == {"motion", "digits"}
    for task in result["tasks"].values():
        assert task["released"] - task["done"] - task["aborted"] - task["skipped"] in (0, 1)
        for timing in ("start_latency_us", "response_us"):
            assert 0 < task[timing]["p50"] <= task[timing]["p99"] <= task[timing]["max"]


def check_answers(result: dict[str, Any]) -> None:
    for name, task in result["tasks"].items():
        assert task["parity_mismatches"] == 0, name
        accuracy = task["accuracy"]
        assert accuracy["device"] >= accuracy["float"] - 0.03, name
        assert accuracy["device"] > 0.9, name


@pytest.mark.emulated
def test_the_demo_runs_on_the_host_board_with_every_answer_equal_to_the_reference(
    devices: Path,
) -> None:
    result = demo(devices, "host", 20)
    check_shape(result, "host")
    check_answers(result)


@pytest.mark.emulated
def test_the_demo_runs_on_emulated_firmware_without_missing_a_deadline(
    devices: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = load_board("qemu-m4")
    result = demo(devices, board.name, 20)
    check_shape(result, board.name)
    check_answers(result)
    assert sum(row["bytes"] for row in result["ram_table"]) == board.ram_bytes
    for name, task in result["tasks"].items():
        assert (task["missed_late"], task["aborted"], task["skipped"]) == (0, 0, 0), name
    monkeypatch.setenv(DEVICES_VARIABLE, str(devices))
    with connect(board.name) as session:
        stats = session.tactus.stats().tasks
        arenas = session.tactus.arenas()
    # What admission was told is what was seen: no operator and no background piece ran longer.
    for task in stats:
        assert task.wcet_exceeded == 0
        assert task.budget_exceeded == 0
        assert task.background_max_us <= board.time.background_us
    assert len(arenas) == len(stats)
    for arena in arenas:
        assert arena.planned - PLAN_ALIGN < arena.touched <= arena.planned
