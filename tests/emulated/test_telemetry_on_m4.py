"""Telemetry of the emulated M4: written beside its tasks, there after resets and power cuts, fetched by stock tools."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import cbor2
import package_builder as build
import pytest
from stock_client import Smpmgr
from telemetry_ring import full_ring

from host.boards import load_board
from host.demo_result import missed
from host.flash.device_room import DeviceStatus, device_room
from host.flash.flasher import flash_board, stop_board
from host.install import install_package
from host.link.session import Session, connect
from host.package import keys
from protocol import package as container
from protocol import telemetry

pytestmark = pytest.mark.emulated
BOARD = load_board("qemu-m4")
OP_US = 300
GIVE_UP_S = 120.0
NONE = 0xFFFFFFFF  # a cursor behind every record
RECORDS = 40
UTC_S = 1_800_000_000


def package() -> bytes:
    """Two small tasks."""
    times = {"budget_us": OP_US, "longest_op_us": OP_US}
    tasks = [build.task(name, 0, 32 * i, 1, **times) for i, name in enumerate(("left", "right"))]
    content = build.manifest(tasks=tasks)
    content["target"] |= {"class": BOARD.device_class, "features": list(BOARD.features)}
    return build.build(content, build.payloads(build.plan(OP_US).image()), keys.demo_signer())


class Bench:
    """A board with a package, in a folder of its own; its ring was full when it got it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        status = self.start(erase=True)
        stop_board(BOARD, folder)
        ring, self.newest = full_ring(BOARD.flash)
        with status.flash_file.open("r+b") as file:
            file.seek(BOARD.flash.telemetry_offset)
            file.write(ring)
        self.start()
        assert install_package(None, self.port, package()) == "installed"

    def start(self, erase: bool = False) -> DeviceStatus:
        replay = build.replay_image()
        status = flash_board(
            BOARD, replay, *keys.trusted(), erase=erase, folder=self.folder, with_parent=True
        )
        self.port = str(status.port)
        return status

    def session(self) -> Session:
        return connect(port=self.port)


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


def wait_for(session: Session, after: int, kind: int) -> telemetry.Record:
    """The first record of a kind behind a sequence."""
    end = time.monotonic() + GIVE_UP_S
    while time.monotonic() < end:
        for record in records(session, after + 1):
            if record.kind == kind:
                return record
        time.sleep(0.2)
    raise AssertionError(f"no {telemetry.kind_name(kind)}: {session.client.log.lines}")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("telemetry")
    yield Bench(folder)
    stop_board(BOARD, folder)


def test_the_oldest_sector_makes_room_and_no_deadline_is_missed(bench: Bench) -> None:
    with bench.session() as session:
        booted = wait_for(session, bench.newest, telemetry.BOOT)
        assert booted.fields["app"] == "demo" and booted.fields["reset_cause"] == 2
        assert session.tactus.telemetry(NONE).oldest > 1, "a sector was erased ahead"
        session.os.set_datetime(datetime.fromtimestamp(UTC_S, UTC))
        session.tactus.run(1)
        session.tactus.pace_telemetry(250, 600_000)
        newest = session.tactus.telemetry(NONE).newest
        end = time.monotonic() + GIVE_UP_S
        while session.tactus.telemetry(NONE).newest < newest + RECORDS:
            assert time.monotonic() < end
            time.sleep(1)
        stats = session.tactus.stats()
        session.tactus.pace_telemetry(250, 0)
        written = records(session, newest + 1)
    assert {telemetry.TASK_SUMMARY, telemetry.BOARD_SUMMARY} <= {r.kind for r in written}
    uptimes = [r.uptime_ms for r in written]
    assert uptimes == sorted(uptimes) and {r.boot_id for r in written} == {session.info.boot_id}
    assert all(r.utc_s is not None and r.utc_s - r.clock_age_s == UTC_S for r in written)
    assert [missed(task) for task in stats.tasks] == [0, 0]
    assert stats.loop is not None and stats.loop.gc_forced == 0
    print("longest piece:", stats.loop.background_max_us, "us")
    assert stats.loop.background_max_us <= BOARD.time.background_us


def test_records_and_acknowledgements_survive_a_reset_and_a_kill(bench: Bench) -> None:
    with bench.session() as session:
        before = records(session)
        read = before[-3].sequence
        session.tactus.acknowledge_telemetry(read)
        session.os.reset()
    with bench.session() as session:
        wait_for(session, before[-1].sequence, telemetry.BOOT)
        assert session.tactus.telemetry().acknowledged == read
        assert session.tactus.telemetry().records[0][0] == read + 1
        after = records(session)
        assert after[: len(before)] == before
        session.tactus.pace_telemetry(250, 600_000)
        wait_for(session, after[-1].sequence, telemetry.BOARD_SUMMARY)
        known = records(session)
    status = device_room(BOARD, bench.folder).status()
    assert status.pid is not None
    os.kill(status.pid, signal.SIGKILL)  # while it writes
    bench.start()
    with bench.session() as session:
        booted = wait_for(session, known[-1].sequence, telemetry.BOOT)
        assert booted.fields["reset_cause"] == 1
        assert records(session)[: len(known)] == known
        assert session.tactus.telemetry().acknowledged == read


def test_stock_tools_fetch_telemetry_and_evidence(bench: Bench, tmp_path: Path) -> None:
    smpmgr = Smpmgr(bench.port)
    with bench.session() as session:
        wanted = records(session)
    path = tmp_path / "telemetry"
    smpmgr("file", "download", "/telemetry", str(path))
    content, found = path.read_bytes(), []
    with path.open("rb") as file:
        while file.tell() < len(content):
            begin = file.tell()
            cbor2.load(file)
            found.append(telemetry.decode(content, begin, file.tell()))
    assert found[: len(wanted)] == wanted and len(found) <= len(wanted) + 3
    assert re.search(r"\d{5}", smpmgr("file", "read-size", "/telemetry"))
    hashed = re.sub(r"\s", "", smpmgr("file", "get-hash", "/telemetry"))
    size = int(re.search(r"len=(\d+)", hashed).group(1))  # type: ignore[union-attr]
    if size == len(content):  # nothing was written meanwhile
        assert f"len={size}" in hashed

    smpmgr("file", "download", "/evidence", str(tmp_path / "evidence"))
    said = cbor2.loads((tmp_path / "evidence").read_bytes())
    data = package()
    assert said["package"] == hashlib.sha256(data).digest()
    assert said["manifest"] == hashlib.sha256(container.envelope_bytes(data)).digest()
    assert said["board"] == BOARD.name and said["selftest"] == 2
    assert [task["name"] for task in said["tasks"]] == ["left", "right"]
    assert all(task["done"] > 0 for task in said["tasks"])
    for name in ("/telemetry", "/evidence", "/other"):
        assert "EACCESSDENIED" in smpmgr.fails("file", "upload", str(path), name)
    with bench.session() as session:
        loop = session.tactus.stats().loop
        assert loop is not None
        print("longest piece:", loop.background_max_us, "us")
        assert loop.background_max_us <= BOARD.time.background_us
