"""The main job as a user runs it, on the embedded default and on emulated firmware."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def demo(board: str, speed: int, report: Path) -> dict[str, Any]:
    command = [sys.executable, "tasks.py", "demo", "--board", board, "--json"]
    command += ["--speed", str(speed), "--report", str(report)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False
    )
    replay = f"replay: {' '.join(command)}\n{done.stderr[-4000:]}"
    assert done.returncode == 0, replay
    result = json.loads(done.stdout.strip().splitlines()[-1])
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
    tmp_path: Path,
) -> None:
    result = demo("host", 20, tmp_path / "report.html")
    check_shape(result, "host")
    check_answers(result)
    assert "<svg" in (tmp_path / "report.html").read_text()


@pytest.mark.emulated
def test_the_demo_runs_on_emulated_firmware_without_missing_a_deadline(tmp_path: Path) -> None:
    result = demo("qemu-m4", 10, tmp_path / "report.html")
    check_shape(result, "qemu-m4")
    check_answers(result)
    assert sum(row["bytes"] for row in result["ram_table"]) == 262_144
    for name, task in result["tasks"].items():
        assert (task["missed_late"], task["aborted"], task["skipped"]) == (0, 0, 0), name
