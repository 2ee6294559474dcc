"""No piece of background work takes longer than the board declares to admission, whatever is asked, while tasks run and frames stream."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import package_builder as build
import pytest

from host.boards import load_board
from host.flash.flasher import flash_board, stop_board
from host.install import install_package
from host.link.errors import DeviceError
from host.link.patch import send_delta
from host.link.session import Session, connect
from host.package import keys
from host.package.delta import make
from protocol import smp

pytestmark = pytest.mark.emulated
BOARD = load_board("qemu-m4")
NAMES = ("motion", "digits", "keywords", "presence")  # as many tasks as the board takes
OP_US = 300
LEASE_MS, FRAME_MS = 60_000, 20
FILLER = random.Random(1).randbytes(20_000)

# Every read and every harmless write of every group: what monitor, status, soak and stock clients ask.
QUESTIONS: tuple[tuple[int, int, int, dict[str, Any]], ...] = (
    (smp.WRITE, smp.GROUP_OS, smp.OS_ECHO, {"d": "x" * 1500}),
    (smp.READ, smp.GROUP_OS, smp.OS_TASKSTAT, {}),
    (smp.WRITE, smp.GROUP_OS, smp.OS_DATETIME, {"datetime": "2026-11-22T16:47:58.5+01:00"}),
    (smp.READ, smp.GROUP_OS, smp.OS_DATETIME, {}),
    (smp.READ, smp.GROUP_OS, smp.OS_PARAMS, {}),
    (smp.READ, smp.GROUP_OS, smp.OS_INFO, {"format": "a"}),
    (smp.READ, smp.GROUP_IMAGE, smp.IMAGE_STATE, {}),
    (smp.READ, smp.GROUP_IMAGE, smp.IMAGE_SLOT_INFO, {}),
    (smp.READ, smp.GROUP_STAT, smp.STAT_LIST, {}),
    (smp.READ, smp.GROUP_STAT, smp.STAT_SHOW, {"name": "link"}),
    (smp.READ, smp.GROUP_STAT, smp.STAT_SHOW, {"name": "loop"}),
    (smp.READ, smp.GROUP_STAT, smp.STAT_SHOW, {"name": "presence"}),
    *(
        (smp.READ, smp.GROUP_FS, command, {"name": name, "off": 0})
        for name in (
            "/manifest",
            "/keyset",
            "/loop",
            "/events",
            "/stats/presence",
            "/telemetry",
            "/evidence",
            "/none",
        )
        for command in (smp.FS_FILE, smp.FS_STATUS, smp.FS_HASH)
    ),
    (smp.READ, smp.GROUP_FS, smp.FS_HASH_TYPES, {}),
    (smp.WRITE, smp.GROUP_FS, smp.FS_CLOSE, {}),
    (smp.READ, smp.GROUP_ENUM, smp.ENUM_COUNT, {}),
    (smp.READ, smp.GROUP_ENUM, smp.ENUM_LIST, {}),
    (smp.READ, smp.GROUP_ENUM, smp.ENUM_SINGLE, {"index": 3}),
    (smp.READ, smp.GROUP_ENUM, smp.ENUM_DETAILS, {}),
    (smp.READ, smp.GROUP_TACTUS, smp.TACTUS_INFO, {}),
    (smp.READ, smp.GROUP_TACTUS, smp.TACTUS_TASKS, {}),
    (smp.READ, smp.GROUP_TACTUS, smp.TACTUS_STATS, {}),
    (smp.READ, smp.GROUP_TACTUS, smp.TACTUS_STATS, {"task": 3}),
    (smp.WRITE, smp.GROUP_TACTUS, smp.TACTUS_SUBSCRIBE, {"lease_ms": LEASE_MS, "period_ms": 20}),
    (smp.READ, smp.GROUP_TACTUS, smp.TACTUS_RESULTS, {"cursor": 0}),
    (smp.READ, smp.GROUP_TACTUS, smp.TACTUS_MEMORY, {}),
    (smp.READ, smp.GROUP_TACTUS, smp.TACTUS_EVENTS, {}),
    (smp.READ, smp.GROUP_TACTUS, smp.TACTUS_SLOTS, {}),
    (smp.READ, smp.GROUP_TACTUS, smp.TACTUS_MODE, {}),
    (smp.READ, smp.GROUP_TACTUS, smp.TACTUS_HEALTH, {}),
    (smp.READ, smp.GROUP_TACTUS, smp.TACTUS_TRIAL, {}),
    (
        smp.WRITE,
        smp.GROUP_TACTUS,
        smp.TACTUS_TELEMETRY_PACE,
        {"period_ms": 500, "lease_ms": LEASE_MS},
    ),
    (smp.READ, smp.GROUP_TACTUS, smp.TACTUS_TELEMETRY, {"cursor": 0}),
    (smp.WRITE, smp.GROUP_TACTUS, smp.TACTUS_TELEMETRY, {"acknowledged": 1}),
    (smp.WRITE, smp.GROUP_TACTUS, smp.TACTUS_MODE, {"mode": "throttled"}),
    (smp.WRITE, smp.GROUP_TACTUS, smp.TACTUS_MODE, {"mode": "normal"}),
    (smp.WRITE, smp.GROUP_IMAGE, smp.IMAGE_STATE, {"confirm": True}),
    (smp.WRITE, smp.GROUP_IMAGE, smp.IMAGE_STATE, {"hash": bytes(32)}),
    # Refused while tasks run, and what no client sends.
    (smp.WRITE, smp.GROUP_TACTUS, smp.TACTUS_SELFTEST, {}),
    (smp.WRITE, smp.GROUP_TACTUS, smp.TACTUS_PROFILE, {"task": 0}),
    (smp.READ, smp.GROUP_TACTUS, 99, {}),
    (smp.READ, smp.GROUP_OS, smp.OS_INFO, {"format": "s" * 1900}),
    (smp.WRITE, smp.GROUP_OS, smp.OS_DATETIME, {"datetime": "2026-11-22T16:47:58." + "5" * 1900}),
    (smp.READ, smp.GROUP_TACTUS, smp.TACTUS_STATS, {"many": list(range(1500))}),
    (smp.READ, smp.GROUP_TACTUS, smp.TACTUS_STATS, {str(i): i for i in range(31)}),
)


def package(version: str = "1", filler: bytes = b"") -> bytes:
    """Four tasks with labels, in two modes: the longest replies."""
    times = {"budget_us": OP_US, "longest_op_us": OP_US, "labels": [f"label {i}" for i in range(6)]}
    tasks = [
        build.task(name, 0, 32 * i, 1, period_us=40_000 + 1_000 * i, **times)
        for i, name in enumerate(NAMES)
    ]
    content = build.manifest(tasks=tasks, version=version)
    timing = {"period_us": 80_000, "deadline_us": 80_000, "variant": 0}
    content["modes"] = [{"name": "throttled", "tasks": [timing] * len(NAMES)}]
    content["target"] |= {
        "class": BOARD.device_class,
        "features": list(BOARD.features),
        "arena_bytes": 32 * len(NAMES),
    }
    parts = build.payloads(build.plan(OP_US).image())
    if filler:
        parts.append(("filler", filler))
    return build.build(content, parts, keys.demo_signer())


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    folder: Path = tmp_path_factory.mktemp("pieces")
    status = flash_board(BOARD, build.replay_image(), *keys.trusted(), folder=folder)
    try:
        assert install_package(None, str(status.port), package()) == "installed"
        with connect(port=str(status.port), timeout_s=20.0) as session:
            yield session
    finally:
        stop_board(BOARD, folder)


def ask(session: Session, question: tuple[int, int, int, dict[str, Any]]) -> None:
    operation, group, command, payload = question
    try:
        session.client.request(operation, group, command, payload)
    except DeviceError:
        pass  # a refusal costs time, too


def test_no_question_holds_the_board_for_longer_than_it_declares(session: Session) -> None:
    found = []
    for question in QUESTIONS:
        session.tactus.run(1)  # clears the maxima
        for _ in range(3):
            ask(session, question)
        loop = session.tactus.stats().loop
        assert loop is not None and loop.background_count >= 3
        found.append((loop.background_max_us, str(question)[:70]))
    print(*sorted(found, reverse=True)[:12], sep="\n")
    assert max(found)[0] <= BOARD.time.background_us


def test_all_questions_beside_frames_and_jobs_stay_within_what_is_declared(
    session: Session,
) -> None:
    session.tactus.run(1)
    session.tactus.subscribe(LEASE_MS, FRAME_MS)
    for _ in range(3):
        for question in QUESTIONS:
            ask(session, question)
    check(session, "questions")
    session.tactus.subscribe(0, FRAME_MS)


def test_every_change_beside_frames_and_jobs_stays_within_what_is_declared(
    session: Session,
) -> None:
    """Uploads, a patch, the choice for a trial, erases; downloads to their ends."""
    running = session.tactus.info().slot
    assert running is not None
    session.tactus.run(1)
    session.tactus.subscribe(LEASE_MS, FRAME_MS)
    second = package("2", FILLER)
    sha = session.image.upload(second).sha256
    check(session, "upload")
    session.image.test(sha)
    check(session, "choice")
    session.image.erase(1 - running)
    check(session, "erase")
    send_delta(session.client, make(package(), second))
    assert any(slot.hash == sha and slot.bootable for slot in session.image.state())
    check(session, "patch")
    with pytest.raises(DeviceError):
        session.image.upload(second[:-1000] + bytes(1000))
    session.image.erase(1 - running)
    check(session, "refusal")
    for name in ("/manifest", "/keyset", "/telemetry", "/evidence"):
        offset = length = 0
        while offset == 0 or offset < length:
            payload = {"name": name, "off": offset}
            part = session.client.request(smp.READ, smp.GROUP_FS, smp.FS_FILE, payload)
            length = part.uint("len") if offset == 0 else length
            offset += len(part.blob("data"))
        check(session, name)
    session.tactus.subscribe(0, FRAME_MS)


def check(session: Session, what: str) -> None:
    """Nothing missed, no piece and no collection longer than declared, none that an allocation asked for."""
    snapshot = session.tactus.stats()
    loop = snapshot.loop
    assert loop is not None
    print(
        f"{what}: longest piece {loop.background_max_us} us, collection {loop.gc_pause_max_us} us"
    )
    assert loop.background_max_us <= BOARD.time.background_us, what
    assert loop.gc_count > 0 and loop.gc_pause_max_us <= BOARD.time.gc_us, what
    assert loop.gc_forced == 0, what
    for task in snapshot.tasks:
        assert (task.missed_late, task.aborted, task.skipped) == (0, 0, 0), what
        assert task.done > 10, what
