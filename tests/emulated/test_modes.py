"""Modes and the lite variant on a board: switched over the link, counted, and seen in the results."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import package_builder as build
import pytest

from host.boards import load_board
from host.flash.flasher import flash_board, stop_board
from host.install import install_package
from host.link.errors import DeviceError
from host.link.session import Session, connect
from host.package import keys
from protocol import errors
from protocol import manifest as schema

pytestmark = pytest.mark.emulated
LITE_MAX = 3
OP_US = 300


def package(board_name: str) -> bytes:
    """Two clamps; the lite variant of the first clamps harder and comes with mode "hot", the second is off in it."""
    board = load_board(board_name)
    times = {"budget_us": OP_US, "longest_op_us": OP_US}
    first = build.task("left", 0, 0, 1, policy="degrade", **times)
    tensors = {name: first[name] for name in ("input", "output")}
    first["lite"] = {"plan": 2, **times, "selftest": [], **tensors}
    second = build.task("right", 0, 32, 1, **times)
    content = build.manifest(tasks=[first, second])
    hot = {"period_us": 100_000, "deadline_us": 50_000, "variant": 1}
    content["modes"] = [{"name": "hot", "tasks": [hot, None]}]
    content["target"] |= {"class": board.device_class, "features": list(board.features)}
    if board.device_class == "hosted":  # a PC is busy with other things
        content["trial"] = {**schema.TRIAL_DEFAULT, "miss_ppm": schema.MILLION, "link_gap_ms": 0}
    lite = build.plan(OP_US, act_min=-LITE_MAX, act_max=LITE_MAX)
    parts = [*build.payloads(build.plan(OP_US).image()), ("lite", lite.image())]
    return build.build(content, parts, keys.demo_signer())


@pytest.fixture(params=["host", "unix", "qemu-m4"])
def session(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Session]:
    board = load_board(request.param)
    replay = build.replay_image()
    status = flash_board(board, replay, *keys.trusted(), folder=tmp_path, with_parent=True)
    try:
        assert install_package(None, str(status.port), package(board.name)) == "installed"
        with connect(port=str(status.port)) as opened:
            yield opened
    finally:
        stop_board(board, tmp_path)


def test_a_mode_is_asked_for_begins_and_shows(session: Session) -> None:
    assert session.tactus.mode().modes == ("normal", "hot")
    assert session.tactus.info().mode == "normal"
    with pytest.raises(DeviceError) as caught:
        session.tactus.want_mode("cold")
    assert caught.value.code == errors.NOT_FOUND
    time.sleep(0.5)
    session.tactus.want_mode("hot")
    give_up = time.monotonic() + 10
    while session.tactus.mode().mode != "hot":
        assert time.monotonic() < give_up
        time.sleep(0.02)
    time.sleep(0.5)
    seen = session.tactus.stats()
    left, right = seen.tasks
    assert seen.loop is not None and (seen.loop.mode, seen.loop.mode_switches) == (1, 1)
    assert (left.period_us, left.variant, left.off, right.off) == (100_000, 1, False, True)
    assert 0 < left.done_lite < left.done
    for record in session.tactus.results(0, 99).records:
        # Counts from -7 on, 3 channels, a quarter each in steps of a half with zero point -1.
        values = [round((-7 + 3 * (0, 1, 3)[record.tag] + i) * 0.5) - 1 for i in range(6)]
        limit = LITE_MAX if record.variant else build.CLAMP_MAX
        expected = [max(-limit, min(limit, value)) for value in values]
        assert [b - 256 if b > 127 else b for b in record.output] == expected, record
    session.tactus.stop()
    with pytest.raises(DeviceError) as caught:
        session.tactus.want_mode("normal")
    assert caught.value.code == errors.STATE
    session.tactus.run()
    assert session.tactus.mode().mode == "normal"
