"""An op that is too long for the other tasks is cut until the application is admitted, or the build says how short it falls."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from host import build
from host.bench.wcet import measure_wcet
from host.boards import load_board
from host.demo import prepare, run_demo
from host.errors import DoesNotFitError
from host.export.program import export_model
from host.export.spec import load_spec
from host.flash.device_room import DEVICES_VARIABLE
from host.flash.flasher import stop_board
from host.monitor.views import choose_view
from host.progress import silent
from host.schedule import wcet_table
from host.schedule.fit import fit_application

pytestmark = pytest.mark.emulated
MODEL = Path(__file__).parents[1] / "tiled_app" / "model.py"
BOARD = "qemu-m4"
SPEED = 2  # busy for a good part of the time, and answers wait for the rest
TASK = """
[[task]]
name = "{name}"
model = "{model}"
period_ms = {period}
deadline_ms = {deadline}
policy = "{policy}"
source = {{ kind = "replay", record = "{record}" }}
"""


def task(name: str, period: int, deadline: int, record: str, policy: str = "skip_next") -> str:
    return TASK.format(
        name=name, model=name, period=period, deadline=deadline, record=record, policy=policy
    )


QUICK = task("quick", 50, 40, "noise16")
TREND = task("trend", 200, 150, "noise16")
WIDE = (
    task("wide", 900, 800, "noise576", "degrade") + "variants = { lite = { model = 'narrow' } }\n"
)
MODES = """
[modes.calm]
quick = { period_ms = 100 }
trend = "off"
wide = { variant = "lite" }
[modes.hasty]
quick = { deadline_ms = 30 }
[modes.turned]
quick = { period_ms = 300, deadline_ms = 200 }
trend = { deadline_ms = 100 }
wide = "off"
"""


def application(folder: Path, *parts: str) -> str:
    """An application of these parts in `folder`, whose name it bears."""
    folder.mkdir()
    head = f'name = "{folder.name}"\nversion = "0.1.0"\ncounter = 1\n'
    (folder / "app.toml").write_text(head + "".join(parts))
    shutil.copy(MODEL, folder / "model.py")
    return str(folder)


def test_a_long_op_is_cut_until_the_tasks_are_admitted_and_then_miss_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DEVICES_VARIABLE, str(tmp_path / "devices"))
    alone = build.build_app(application(tmp_path / "tiled-alone", WIDE), BOARD).report
    uncut = alone["tasks"][0]
    parts = (QUICK, TREND, WIDE, MODES)
    built = prepare(application(tmp_path / "tiled", *parts), BOARD, SPEED, silent)
    quick, trend, wide = built.report["tasks"]
    assert uncut["longest_op_us"] > quick["deadline_us"], "nothing to cut"
    assert wide["longest_op_us"] < 30_000, "a mode asks for shorter ops than the normal one"
    assert not wide["runs_whole"]
    # The two short ones share, in spite of the modes: in one of them their deadlines stand the other way round.
    assert quick["arena_offset"] == trend["arena_offset"] != wide["arena_offset"]
    assert quick["runs_whole"] and trend["runs_whole"]
    assert built.report["arena_bytes"] < built.report["arena_bytes_unshared"]
    assert [mode["name"] for mode in built.report["modes"]] == ["normal", "calm", "hasty", "turned"]
    assert all(mode["slack_us"] >= 0 for mode in built.report["modes"])
    assert built.report["modes"][1]["tasks"]["wide"]["variant"] == "lite"
    assert built.report["modes"][1]["tasks"]["trend"] is None
    assert wide["lite"]["budget_us"] < wide["budget_us"]
    evidence = json.loads((built.folder / "app.evidence.json").read_text())
    assert list(evidence["admission"]) == ["calm", "hasty", "normal", "turned"]
    assert evidence["lite_variants"]["wide"]["budget_us"] == wide["lite"]["budget_us"]
    try:
        with open("/dev/null", "w") as nowhere:
            view = choose_view(False, nowhere, keep=False)
            result = run_demo(built, SPEED, view, tmp_path / "report.html")
    finally:
        stop_board(load_board(BOARD))
    assert result.parity_mismatches == 0
    for row in result.tasks:
        stats = row.stats
        assert stats.done > 0
        assert stats.missed_late + stats.aborted + stats.skipped == 0, row.name
        assert stats.wcet_exceeded == stats.budget_exceeded == 0, row.name


def test_an_op_that_cannot_be_cut_enough_fails_the_build_by_its_name_and_length(
    tmp_path: Path,
) -> None:
    heavy = task("heavy", 4000, 4000, "noise576")
    with pytest.raises(DoesNotFitError) as caught:
        build.build_app(application(tmp_path / "tiled-heavy", QUICK, heavy), BOARD)
    cause = re.sub(r"[\d,]+", "N", caught.value.cause)
    assert "N us without a pause are allowed" in cause, caught.value.cause


def test_arenas_that_only_just_fit_together_are_planned_once_more_for_ram_alone(
    tmp_path: Path,
) -> None:
    stack = task("stack", 4000, 4000, "noise576")
    app = build.find_app(application(tmp_path / "tiled-stack", QUICK, stack, WIDE))
    exported = [export_model(load_spec(app, one)) for one in app.tasks]
    board = load_board(BOARD)
    roomy = fit_application(app, board, exported)
    tight = replace(board, arena_bytes=roomy.arenas.total_bytes - 100)
    fitted = fit_application(app, tight, exported)
    assert fitted.arenas.total_bytes <= tight.arena_bytes
    assert fitted.compiled[1].budget_us > roomy.compiled[1].budget_us, "time is what it costs"
    tiny = replace(board, arena_bytes=fitted.arenas.total_bytes - 16)
    with pytest.raises(DoesNotFitError, match="the arenas need") as caught:
        fit_application(app, tiny, exported)
    assert "smaller by 16 bytes" in caught.value.remedy


@pytest.mark.parametrize("board_name", ["host", "unix"])
def test_op_times_of_a_board_that_is_a_process_are_measured_with_a_wide_margin(
    board_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DEVICES_VARIABLE, str(tmp_path / "devices"))
    monkeypatch.setattr(wcet_table, "BUILD", tmp_path)
    folder = application(tmp_path / f"tiled-{board_name}", TREND)
    try:
        (table,) = measure_wcet(folder, board_name).tables
        modelled = build.build_app(folder, board_name).report["tasks"][0]
    finally:
        stop_board(load_board(board_name))
    assert table.margin_percent == load_board(board_name).wcet.margin_percent >= 100
    assert table.runs + table.left_out > 100 and table.left_out < 50
    assert modelled["budget_us"] == sum(table.declared_us())
