"""Telemetry of the emulated M4: written beside its tasks, there after resets and power cuts, fetched by stock tools."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import package_builder as build
import pytest

from host.boards import load_board
from host.demo_result import missed
from host.flash.device_room import DeviceStatus
from host.flash.flasher import flash_board, stop_board
from host.install import install_package
from host.link.session import Session, connect
from host.package import keys
from protocol import telemetry

pytestmark = pytest.mark.emulated
BOARD = load_board("qemu-m4")
OP_US = 300
GIVE_UP_S = 120.0


def package() -> bytes:
    """Two small tasks."""
    times = {"budget_us": OP_US, "longest_op_us": OP_US}
    tasks = [build.task(name, 0, 32 * i, 1, **times) for i, name in enumerate(("left", "right"))]
    content = build.manifest(tasks=tasks)
    content["target"] |= {"class": BOARD.device_class, "features": list(BOARD.features)}
    return build.build(content, build.payloads(build.plan(OP_US).image()), keys.demo_signer())


class Bench:
    """A board with a package, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.start()
        assert install_package(None, str(self.status.port), package()) == "installed"

    def start(self) -> None:
        replay = build.replay_image()
        self.status: DeviceStatus = flash_board(
            BOARD, replay, *keys.trusted(), folder=self.folder, with_parent=True
        )

    def session(self) -> Session:
        return connect(port=str(self.status.port))


def records(session: Session, cursor: int = 1) -> list[telemetry.Record]:
    """Everything in the ring from a cursor on, each named by its own sequence."""
    found = []
    while True:
        page = session.tactus.telemetry(cursor)
        if not page.records:
            return found
        for sequence, content in page.records:
            record = telemetry.decode(content)
            assert record.sequence == sequence
            found.append(record)
        cursor = page.next


def wait_for(session: Session, kind: int, count: int = 1) -> list[telemetry.Record]:
    end = time.monotonic() + GIVE_UP_S
    while time.monotonic() < end:
        found = records(session)
        if sum(r.kind == kind and r.boot_id == session.info.boot_id for r in found) >= count:
            return found
        time.sleep(0.2)
    raise AssertionError(f"no {telemetry.kind_name(kind)}: {session.client.log.lines}")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("telemetry")
    yield Bench(folder)
    stop_board(BOARD, folder)


def test_writing_at_the_fastest_pace_round_the_ring_misses_no_deadline(bench: Bench) -> None:
    """Every sector is erased once, beside two tasks, and no piece takes longer than the board declares."""
    with bench.session() as session:
        session.tactus.run(1)
        ring_bytes = BOARD.flash.telemetry_bytes
        end = time.monotonic() + 4 * GIVE_UP_S
        session.tactus.pace_telemetry(250, 600_000)
        while session.tactus.telemetry(0xFFFFFFFF).oldest == 1:
            assert time.monotonic() < end
            time.sleep(2)
        found = records(session)
        page = session.tactus.telemetry()
        loop = session.stat.read("loop")
        stats = session.tactus.stats()
        session.tactus.pace_telemetry(250, 0)
    print(len(found), page.oldest, page.newest, loop, ring_bytes)
    assert [missed(task) for task in stats.tasks] == [0, 0]
    assert loop["background_max_us"] <= BOARD.time.background_us
    assert loop["gc_forced"] == 0
