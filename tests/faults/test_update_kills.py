"""The emulator killed with SIGKILL at instants all over `update`: a good package always runs, the update goes on."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import package_builder as build
import pytest

from host.bench.update_kills import kill_during_updates
from host.boards import load_board
from host.flash.device_room import DeviceStatus, device_room
from host.flash.emulator import start_emulator
from host.flash.firmware import build_firmware
from host.package import keys

pytestmark = pytest.mark.emulated
BOARD = load_board("qemu-m4")
KILLS = 20
SEED = 3
OP_US = 300


def package(version: str) -> bytes:
    times = {"budget_us": OP_US, "longest_op_us": OP_US}
    tasks = [build.task(name, 0, 32 * i, 1, **times) for i, name in enumerate(("left", "right"))]
    content = build.manifest(tasks=tasks, version=version, trial=build.SHORT_TRIAL)
    content["target"] |= {"class": BOARD.device_class, "features": list(BOARD.features)}
    filler = random.Random(version).randbytes(16_000)
    parts = [*build.payloads(build.plan(OP_US).image()), ("filler", filler)]
    return build.build(content, parts, keys.demo_signer())


def starter() -> Callable[[Path], DeviceStatus]:
    firmware = build_firmware(BOARD, *keys.trusted())
    recorded = build.replay_image()

    def start(folder: Path) -> DeviceStatus:
        room = device_room(BOARD, folder)
        if not room.flash_file.exists():
            room.prepare_flash(BOARD.flash.bytes, int(BOARD.emulator["flash_file_bytes"]))
            room.write_flash(BOARD.flash.replay_offset, recorded)
        return start_emulator(BOARD, firmware, folder, with_parent=True)

    return start


def test_no_kill_loses_the_last_good_package(tmp_path: Path) -> None:
    packages = [package(version) for version in "123"]
    found = kill_during_updates(BOARD, starter(), packages, KILLS, SEED, tmp_path)
    assert found.failures == [], f"replay: pytest {__file__} -k no_kill (seed {SEED})"
    assert found.kills == KILLS
    assert found.resumed > 0 and found.completed > 1


def test_a_package_that_is_lost_is_noticed(tmp_path: Path) -> None:
    start, starts = starter(), []

    def forgetful(folder: Path) -> DeviceStatus:
        starts.append(folder)
        if len(starts) == 3:
            device_room(BOARD, folder).write_flash(0, b"\xff" * BOARD.flash.slot_offsets[0])
        return start(folder)

    packages = [package(version) for version in "123"]
    found = kill_during_updates(BOARD, forgetful, packages, 3, SEED, tmp_path, at_once=1)
    assert found.kills == 3
    assert any("nothing runs" in failure for failure in found.failures)
