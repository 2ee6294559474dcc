"""A model with an early exit on boards: what is cut off when time is short, what comes when it is not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from host.build import build_app
from host.built_app import BuiltApp
from host.flash.flasher import flash_board, stop_board
from host.install import install_package
from host.link.session import Session, connect
from host.package import keys

pytestmark = pytest.mark.emulated
APP = Path(__file__).parents[1] / "early_exit_app"
JOBS = 60


def relaxed(tmp_path: Path) -> Path:
    """The application with so long a period that the whole model fits."""
    folder = tmp_path / "relaxed"
    folder.mkdir()
    (folder / "model.py").write_text((APP / "model.py").read_text())
    text = (APP / "app.toml").read_text().replace('"early"', '"early-relaxed"')
    text = text.replace("period_ms = 40\ndeadline_ms = 40", "period_ms = 200\ndeadline_ms = 200")
    (folder / "app.toml").write_text(text)
    return folder


@pytest.fixture(params=["tight", "relaxed"])
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[BuiltApp, Session]]:
    built = build_app(str(APP if request.param == "tight" else relaxed(tmp_path)), "qemu-m4")
    folder = tmp_path / "board"
    status = flash_board(
        built.board, built.replay, *keys.trusted(), folder=folder, with_parent=True
    )
    try:
        assert install_package(None, str(status.port), built.package) == "installed"
        with connect(port=str(status.port)) as session:
            yield built, session
    finally:
        stop_board(built.board, folder)


def test_the_optional_part_is_dropped_where_it_does_not_fit_and_no_deadline_is_missed(
    running: tuple[BuiltApp, Session],
) -> None:
    built, session = running
    row = built.report["tasks"][0]
    cut = row["budget_us"] < row["early"]["full_us"]
    assert cut == (row["period_us"] == 40_000)
    told = session.tactus.tasks()[0]
    assert told.early is not None and told.budget_us == row["budget_us"]
    assert (told.early.mandatory_us, told.early.full_us) == (
        row["early"]["mandatory_us"],
        row["early"]["full_us"],
    )
    session.tactus.run()
    give_up = time.monotonic() + 120
    while (seen := session.tactus.stats()).tasks[0].done < JOBS:
        assert time.monotonic() < give_up
        time.sleep(0.2)
    session.tactus.stop()
    seen = session.tactus.stats()
    for stats in seen.tasks:
        assert stats.missed_late + stats.aborted + stats.skipped == 0
        assert (stats.wcet_exceeded, stats.budget_exceeded) == (0, 0)
    picture, signal = seen.tasks
    assert (picture.has_early, signal.has_early, signal.early) == (True, False, 0)
    assert picture.early == (picture.done if cut else 0)
    assert picture.exec_max_us <= row["budget_us"]
    final, early = built.expected("picture"), built.expected_early("picture")
    records = session.tactus.results(0, 99).records
    windows = set()
    for record in records:
        if record.task == 0:
            assert record.early == cut
            right = (early if record.early else final)[record.tag]
            assert np.array_equal(np.frombuffer(record.output, np.int8), right), record
            windows.add(record.tag)
    assert len(windows) > 5
    tested = session.tactus.selftest()
    assert tested.failed == 0 and tested.passed >= 3
