"""`bench update`, all of its parts in short: what it prints is what the issue asks for, and nothing is lost."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest
from rich.console import Console

from host.bench import update
from host.bench.delta import DeltaFigures, measure_metadata
from host.bench.update_table import figures_table
from host.boards import ROOT, load_board

pytestmark = pytest.mark.emulated
SHORT = update.Effort(
    kills=2, cut_seeds=20, fuzz_s=1, updates_per_rate=1, variants_step=100, rates=(0.01,)
)
KEYS = {
    *("cut_points", "cut_failures", "kills", "kill_failures", "fuzz", "refusals", "update"),
    *("delta_metadata_ratio", "bad_line", "code_bytes", "verify_instructions"),
}


def test_all_its_parts_in_short(monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = measure_metadata(load_board("qemu-m4"))
    assert metadata.is_sent and metadata.ratio <= 0.01
    deltas = DeltaFigures((metadata,))  # the others export models anew
    monkeypatch.setattr(update, "measure_delta", lambda board, progress: deltas)
    said: list[str] = []
    found = update.measure_update(SHORT, say=said.append)
    assert found.failed == ()
    assert any(line.startswith("kills: ") for line in said)

    figures = json.loads(json.dumps(found.as_json()))
    assert set(figures) == KEYS
    assert figures["cut_points"] > 15_000 and figures["cut_failures"] == 0
    assert (figures["kills"], figures["kill_failures"]) == (2, 0)
    assert len(figures["fuzz"]) == 9
    for run in figures["fuzz"].values():
        assert set(run) == {"executions", "findings"} and run["executions"] > 0
        assert run["findings"] == 0
    assert figures["refusals"] > 20
    assert set(figures["update"]) == {"seconds", "wire_ratio_cobs", "wire_ratio_console"}
    assert figures["update"]["seconds"] > 3, "the trial's window"
    assert 1 < figures["update"]["wire_ratio_cobs"] < figures["update"]["wire_ratio_console"]
    assert figures["delta_metadata_ratio"] == round(metadata.ratio, 5)
    for row, rate in zip(figures["bad_line"], SHORT.rates, strict=True):
        assert set(row) == {"rate", "updates", "completed", "bytes_ratio"}
        assert (row["rate"], row["updates"], row["completed"]) == (rate, 1, 1)
        assert row["bytes_ratio"] > 1
    assert 10_000 < figures["code_bytes"] < 100_000
    assert figures["verify_instructions"] > 1_000_000

    page = io.StringIO()
    Console(file=page, width=100).print(figures_table(found))
    for subject in ("power cuts", "resumed after kills", "delta of resnet8", "verification"):
        assert subject in page.getvalue()


def test_another_board_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "tasks.py", "bench", "update", "--board", "host"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2 and "--board" in done.stderr
