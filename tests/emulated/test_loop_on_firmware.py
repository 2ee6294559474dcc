"""The board's own loop, under the heap lock, with an installed package on the emulated firmware."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import package_builder as build
import pytest
from repl import Repl

from host.boards import load_board
from host.flash.flasher import flash_board, stop_board
from host.install import install_package
from host.link.session import Session, connect
from host.package import keys

pytestmark = pytest.mark.emulated
BOARD = load_board("qemu-m4")
OP_US = 300
SPEED = 100
JOBS = 500  # of each task
GIVE_UP_S = 90.0

# The loop as loop.run() runs it, but for one stretch of 500 ms and with a source of our choice.
HARNESS = """
import _tactus
from protocol.stats import unpack_stats
from tactus import boot, loop, platform, state
assert _tactus.init() == 0
board = state.Board()
boot.boot(board)
class Wasteful:
    def fill(self):
        return -len(bytearray(64))
def done(task):
    packed = bytearray(1024)
    return unpack_stats(memoryview(packed)[:_tactus.sched_stats(task, packed)]).done
board.rest_us = lambda: 500_000
def stretch():
    platform.heap_lock()
    try:
        loop.beat(board)
    except MemoryError:
        return "MemoryError"
    finally:
        platform.heap_unlock()
    return "clean"
"""


def package() -> bytes:
    """Two tasks that clamp windows of the recording `walk`."""
    times = {"budget_us": OP_US, "longest_op_us": OP_US}
    tasks = [build.task(name, 0, 32 * i, 1, **times) for i, name in enumerate(("left", "right"))]
    content = build.manifest(tasks=tasks)
    content["target"] |= {"class": BOARD.device_class, "features": list(BOARD.features)}
    return build.build(content, build.payloads(build.plan(OP_US).image()), keys.demo_signer())


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A flashed board that runs the package."""
    folder: Path = tmp_path_factory.mktemp("qemu-m4")
    replay = build.replay_image()
    status = flash_board(BOARD, replay, *keys.trusted(), folder=folder, with_parent=True)
    try:
        assert install_package(None, str(status.port), package()) == "installed"
        yield str(status.port)
    finally:
        stop_board(BOARD, folder)


def done(session: Session) -> list[int]:
    return [task.done for task in session.tactus.stats().tasks]


def test_hundreds_of_jobs_run_in_the_locked_loop_while_the_board_serves_its_link(port: str) -> None:
    with connect(port=port) as session:
        session.tactus.run(SPEED)
        before, give_up = done(session), time.monotonic() + GIVE_UP_S
        while min(before) < JOBS and time.monotonic() < give_up:
            time.sleep(0.2)
            before = done(session)
        time.sleep(0.2)
        after = done(session)
        said = "\n".join(session.client.log.lines)
        info = session.tactus.info()
        records = session.tactus.results(0).records
    assert min(before) >= JOBS, f"{before} jobs within {GIVE_UP_S:g} s; {said}"
    assert all(late > early for early, late in zip(before, after, strict=True)), (before, after)
    assert info.running and info.boot_id == session.info.boot_id
    assert "MemoryError" not in said and "Traceback" not in said, said
    assert {record.task for record in records} == {0, 1}
    for record in records:
        # Counts from -7 on, 3 channels, a quarter each in steps of a half with zero point -1; no clamping.
        first = -7 + 3 * (0, 1, 3)[record.tag]
        expected = [round((first + i) * 0.5) - 1 for i in range(build.INPUT_BYTES)]
        assert [b - 256 if b > 127 else b for b in record.output] == expected


def test_an_allocation_in_the_loop_raises_on_the_board(port: str) -> None:
    repl = Repl(Path(port))
    try:
        repl.raw()
        repl.run(HARNESS)
        assert repl.run_value("(board.running, stretch(), done(0) > 4)") == (True, "clean", True)
        repl.run("board.fills[0] = Wasteful().fill")
        assert repl.run_value("stretch()") == "MemoryError"
    finally:
        repl.close()
