"""Measured op times go into the image that they were measured with, and into no other."""

from dataclasses import replace
from pathlib import Path

import package_builder as build
import pytest

from host.bench.wcet import undisturbed
from host.boards import load_board
from host.compile.result import CompiledModel, OpReport, TensorInfo
from host.errors import UsageError
from host.schedule import wcet_table
from host.schedule.wcet_table import MeasuredOp, WcetTable, declare, engine_digest, image_digest

BOARD = load_board("qemu-m4")


def model(wcet_us: int = 40, **changes: int) -> CompiledModel:
    tensor = TensorInfo((1, 2, 1, 3), "int8", 0.5, -1, 6)
    return CompiledModel(
        name="clamp",
        image=build.plan(wcet_us, **changes).image(),
        arena_bytes=32,
        arena_lower_bound_bytes=32,
        pte_bytes=1,
        input=tensor,
        output=tensor,
        ops=(OpReport(0, "clamp", "clamp", 6, wcet_us, (6,), 0),),
        buffers=(),
        coverage={},
    )


def table(observed_us: int = 300, data_dependent: bool = False) -> WcetTable:
    return WcetTable(
        "clamp",
        image_digest(model().image),
        engine_digest(BOARD),
        10,
        5,
        20,
        (MeasuredOp("clamp", observed_us, data_dependent),),
    )


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(wcet_table, "tables_folder", lambda board: tmp_path / board.name)
    return tmp_path


def test_declared_times_have_the_stated_margin_and_stand_in_image_and_report() -> None:
    declared = declare(model(), table())
    assert declared.budget_us == declared.longest_op_us == 315 + 20
    assert declare(model(), table(data_dependent=True)).budget_us == 360 + 20
    assert declared.image == model(335).image


def test_a_run_in_which_something_else_had_the_processor_is_left_out_but_not_the_cold_one() -> None:
    quiet = [(4, 6), (5, 6), (4, 7), (5, 7)]
    runs = [(9, 30), *quiet, (4, 4_000), (30, 3)]
    assert undisturbed(runs) == [(9, 30), *quiet]
    assert undisturbed([(0, 0), (0, 1), (0, 0)]) == [(0, 0), (0, 1), (0, 0)]


def test_a_table_is_found_whatever_the_image_declared_before(tables: Path) -> None:
    wcet_table.write_tables(BOARD, [table()], None)
    assert wcet_table.find_table(BOARD, model(40), None) == table()
    assert wcet_table.find_table(BOARD, model(999), None) == table()
    assert wcet_table.find_table(BOARD, model(40, act_max=19), None) is None


def test_a_table_beside_the_application_serves_who_never_measured(tables: Path) -> None:
    app = tables / "app"
    app.mkdir()
    wcet_table.write_tables(BOARD, [table()], wcet_table.kept_file(app, BOARD))
    for path in (tables / "qemu-m4").iterdir():
        path.unlink()
    assert wcet_table.find_table(BOARD, model(), app) == table()


def test_a_table_of_another_engine_is_not_used(tables: Path) -> None:
    wcet_table.write_tables(BOARD, [replace(table(), engine="0" * 64)], None)
    assert wcet_table.find_table(BOARD, model(), None) is None


@pytest.mark.parametrize("text", ["{", '[{"ops": []}]', '[{"ops": [{"kind": "clamp"}]}]'])
def test_a_damaged_table_is_named(tables: Path, text: str) -> None:
    file = tables / "qemu-m4" / f"{image_digest(model().image)[:24]}.json"
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(UsageError, match="no table of op times"):
        wcet_table.find_table(BOARD, model(), None)
