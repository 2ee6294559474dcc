"""One hundred thousand jobs of the board's own loop under the heap lock: an allocation would raise."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import package_builder as build
import pytest

from host.boards import ROOT, load_board
from host.flash.firmware import build_firmware
from host.flash.flasher import flash_board, stop_board
from host.install import install_package
from host.link.session import connect
from host.package import keys

pytestmark = pytest.mark.emulated
JOBS = 100_000
GIVE_UP_S = 400.0


def package(board_name: str, op_us: int) -> bytes:
    """Two tasks that clamp windows of the recording `walk`."""
    board = load_board(board_name)
    times = {"budget_us": op_us, "longest_op_us": op_us}
    tasks = [build.task(name, 0, 32 * i, 1, **times) for i, name in enumerate(("left", "right"))]
    content = build.manifest(tasks=tasks)
    content["target"] |= {"class": board.device_class, "features": list(board.features)}
    return build.build(content, build.payloads(build.plan(op_us).image()), keys.demo_signer())


def test_a_hundred_thousand_jobs_allocate_nothing_on_the_unix_port(tmp_path: Path) -> None:
    board = load_board("unix")
    program = build_firmware(board, *keys.trusted())
    image = build.replay_image()
    blank = bytearray(b"\xff" * board.flash.bytes)
    blank[board.flash.replay_offset : board.flash.replay_offset + len(image)] = image
    (tmp_path / "flash.bin").write_bytes(blank)
    (tmp_path / "one.tpk").write_bytes(package("unix", 20))
    script = str(ROOT / "tests/scripts/many_jobs.py")
    done = subprocess.run(
        [str(program), "-X", "heapsize=320K", script, str(tmp_path), str(JOBS)],
        env=os.environ | {"MICROPYPATH": f"{ROOT}:{ROOT / 'device'}:.frozen"},
        capture_output=True,
        text=True,
        timeout=GIVE_UP_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-500:]
    words = done.stdout.split()
    assert int(words[1]) >= JOBS and int(words[3]) >= JOBS, done.stdout


@pytest.fixture
def port(tmp_path: Path) -> Iterator[str]:
    """A flashed emulated M4 that runs the package."""
    board = load_board("qemu-m4")
    replay = build.replay_image()
    status = flash_board(board, replay, *keys.trusted(), folder=tmp_path, with_parent=True)
    try:
        assert install_package(None, str(status.port), package("qemu-m4", 300)) == "installed"
        yield str(status.port)
    finally:
        stop_board(board, tmp_path)


def test_a_hundred_thousand_jobs_allocate_nothing_on_the_emulated_m4(port: str) -> None:
    with connect(port=port) as session:
        session.tactus.run(1000)
        jobs, give_up = 0, time.monotonic() + GIVE_UP_S
        while jobs < JOBS and time.monotonic() < give_up:
            time.sleep(1)
            seen = session.tactus.stats()
            jobs = sum(task.done for task in seen.tasks)
        said = "\n".join(session.client.log.lines)
        boot_id = session.tactus.info().boot_id
    assert jobs >= JOBS, f"{jobs} jobs within {GIVE_UP_S:g} s; {said}"
    assert boot_id == session.info.boot_id
    assert "MemoryError" not in said and "Traceback" not in said, said
    assert seen.loop is not None and seen.loop.gc_forced == 0
    assert seen.loop.gc_pause_max_us <= load_board("qemu-m4").time.gc_us
