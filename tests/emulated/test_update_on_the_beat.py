"""An update does not disturb the beat: the demo runs while 100 kB are uploaded and verified, on the emulated M4."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import package_builder as packages
import plan_builder
import pytest
import serial

from host import build
from host.boards import load_board
from host.flash.device_room import device_room
from host.flash.flasher import flash_board, stop_board
from host.install import install_package
from host.link.errors import DeviceError
from host.link.session import Session, connect
from host.link.tactus_group import StatsSnapshot
from host.package import keys
from protocol import errors
from protocol import manifest as schema
from protocol import package as container

pytestmark = pytest.mark.emulated
BOARD = load_board("qemu-m4")
PACKAGE_BYTES = 100_000
FLOODED_JOBS = 60
JOBS_MIN = 20  # of the task with the shorter period, while the package comes


@dataclass(frozen=True)
class Demo:
    """The board under test, at declared periods, and the package that it runs."""

    session: Session
    package: bytes
    second: str  # the port that nobody listens to


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp("beat")
    built = build.build_app("demo", BOARD.name)
    package, replay = built.package, (built.folder / "replay.bin").read_bytes()
    status = flash_board(BOARD, replay, *keys.trusted(), folder=folder, with_parent=True)
    try:
        assert install_package(None, str(status.port), package) == "installed"
        with connect(port=str(status.port)) as session:
            yield Demo(session, package, str(device_room(BOARD, folder).second_port))
    finally:
        stop_board(BOARD, folder)


def larger(package: bytes, version: str) -> bytes:
    """The same application with a payload that nothing uses, so that it has PACKAGE_BYTES and more."""
    manifest = schema.parse(container.envelope(package).payload)
    listed = manifest["payloads"]
    assert isinstance(listed, list)
    parts = [
        (entry["name"], bytes(container.payload(package, manifest, i)))
        for i, entry in enumerate(listed)
    ]
    parts.append(("filler", hashlib.shake_256(b"filler").digest(PACKAGE_BYTES - len(package))))
    content = {**manifest, "version": version}
    return packages.build(content, parts, keys.demo_signer())


def missed(stats: StatsSnapshot) -> list[int]:
    return [task.missed_late + task.aborted + task.skipped for task in stats.tasks]


def settled(session: Session) -> StatsSnapshot:
    """Statistics of a run that has begun anew."""
    session.tactus.run(1)
    time.sleep(0.5)
    return session.tactus.stats()


def within_declared(session: Session, what: str) -> StatsSnapshot:
    """The statistics: nothing missed, no piece of background work longer than the admission test was told."""
    after = session.tactus.stats()
    assert after.loop is not None
    print(f"{what}: longest piece {after.loop.background_max_us} us")
    assert missed(after) == [0] * len(after.tasks), what
    assert 0 < after.loop.background_max_us <= BOARD.time.background_us, what
    assert after.loop.gc_forced == 0, what
    assert after.loop.gc_pause_max_us <= BOARD.time.gc_us, what
    return after


def test_nothing_is_missed_while_a_package_comes_and_is_verified(demo: Demo) -> None:
    session, package = demo.session, larger(demo.package, "1.0.1")
    assert len(package) >= PACKAGE_BYTES
    before = settled(session)
    sha = session.image.upload(package).sha256
    after = within_declared(session, "upload and verification")
    assert after.tasks[1].done - before.tasks[1].done >= JOBS_MIN
    assert any(slot.hash == sha and slot.bootable for slot in session.image.state())
    session.image.test(sha)
    within_declared(session, "choice for a trial")


def test_nothing_is_missed_while_a_package_is_refused(demo: Demo) -> None:
    session, bad = demo.session, bytearray(larger(demo.package, "1.0.2"))
    bad[-1000] ^= 1
    settled(session)
    with pytest.raises(DeviceError, match=errors.sentence(errors.PKG_DIGEST)):
        session.image.upload(bytes(bad))
    within_declared(session, "refusal of a payload")
    assert not any(slot.bootable and slot.version == "?" for slot in session.image.state())
    within_declared(session, "versions of what was refused")


def test_a_flood_of_bytes_lengthens_no_op_beyond_what_is_declared(demo: Demo) -> None:
    session = demo.session
    before = settled(session)
    over = threading.Event()
    sent = 0

    def flood() -> None:
        nonlocal sent
        with serial.Serial(demo.second, timeout=0, write_timeout=1) as port:
            while not over.is_set():
                try:
                    sent += port.write(b"\x02\xff" * 64) or 0
                except serial.SerialTimeoutException:
                    pass  # the board takes its time
            port.reset_output_buffer()

    flooding = threading.Thread(target=flood)
    flooding.start()
    try:
        while session.tactus.stats().tasks[1].done - before.tasks[1].done < FLOODED_JOBS:
            time.sleep(0.2)
    finally:
        over.set()
        flooding.join()
    after = session.tactus.stats()
    print(f"{sent} bytes; {[(task.wcet_exceeded, task.budget_exceeded) for task in after.tasks]}")
    assert sent > 5000
    assert [task.wcet_exceeded for task in after.tasks] == [0] * len(after.tasks)
    assert missed(after) == [0] * len(after.tasks)


def largest_manifest() -> bytes:
    """Near all that the schema allows: tasks, variants, modes, labels, vectors, payloads. Its recording is nowhere."""
    count, op_us = 48, 100
    image = plan_builder.single(
        plan_builder.op(
            plan_builder.Kind.CLAMP, act_min=-20, act_max=20, count=count, wcet_us=op_us
        ),
        [count],
        count,
    ).image()
    tensor = {"shape": [1, count], "dtype": "int8", "scale_f32": packages.f32(0.5), "zero_point": 0}
    tests = [{"input": 1, "output_sha256": bytes(32)}]
    model = {
        "plan": 0,
        "budget_us": op_us,
        "longest_op_us": op_us,
        "input": tensor,
        "output": tensor,
        "selftest": tests,
    }
    source = {"kind": "replay", "name": "w" * 16, "lsb_f32": packages.f32(0.25), "window": 1}
    tasks = [
        packages.task(
            chr(97 + i) * 24,
            0,
            2 * count * i,
            1,
            arena_bytes=2 * count,
            labels=[f"{n}" for n in range(count)],
            source=source | {"hop": 1},
            period_us=200_000 + 10_000 * i,
            deadline_us=100_000 + 10_000 * i,
            lite=model,
            **model,
        )
        for i in range(schema.TASKS_MAX)
    ]
    timing = {"period_us": 400_000, "deadline_us": 200_000, "variant": 1}
    content = packages.manifest(tasks=tasks, version="v" * 32, counter=5)
    content["modes"] = [
        {"name": chr(97 + i) * 24, "tasks": [timing] * schema.TASKS_MAX}
        for i in range(schema.MODES_MAX)
    ]
    content["target"] |= {
        "class": BOARD.device_class,
        "features": list(BOARD.features),
        "arena_bytes": 2 * count * schema.TASKS_MAX,
    }
    parts = [("plan", image), ("vector", bytes(count))]
    parts += [(f"filler-{i}", bytes(16)) for i in range(48)]
    return packages.build(content, parts, keys.demo_signer())


def test_the_largest_manifest_is_taken_apart_in_pieces(demo: Demo) -> None:
    session, package = demo.session, largest_manifest()
    envelope = container.envelope(package)
    schema.parse(envelope.payload)
    assert schema.BYTES_MAX - 1500 < len(envelope.payload) <= schema.BYTES_MAX
    settled(session)
    with pytest.raises(DeviceError) as refused:
        session.image.upload(package)
    within_declared(session, "largest manifest")
    assert refused.value.code == errors.NOT_FOUND  # the recording: all else was looked at before
