"""The real smpmgr command line drives the emulated M4 board, which knows nothing of it."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

import package_builder as build
import pytest
from stock_client import Smpmgr

from host.boards import load_board
from host.flash.device_room import DeviceStatus
from host.flash.flasher import flash_board, stop_board
from host.link.session import Session, connect
from host.link.transport import Transport
from host.package import keys
from protocol import package as container

pytestmark = pytest.mark.emulated
BOARD = load_board("qemu-m4")
OP_US = 300
CHUNKS_MIN = 140  # of 20 kB in smpmgr's messages of 256 characters


def package(version: str) -> bytes:
    """Two small tasks, and 20 kB that keep an upload busy for some seconds."""
    times = {"budget_us": OP_US, "longest_op_us": OP_US}
    tasks = [build.task(name, 0, 32 * i, 1, **times) for i, name in enumerate(("left", "right"))]
    # smpmgr is slow: the trial must still be under way when it says --confirm.
    trial = {"window_ms": 3_600_000, "jobs": 1, "miss_ppm": 0, "overrun_ppm": 0}
    trial |= {"link_gap_ms": 0, "start_us": []}
    content = build.manifest(tasks=tasks, version=version, trial=trial)
    content["target"] |= {"class": BOARD.device_class, "features": list(BOARD.features)}
    filler = bytes(i * 7 & 255 for i in range(20_000))
    parts = [*build.payloads(build.plan(OP_US).image()), ("filler", filler)]
    return build.build(content, parts, keys.demo_signer())


class Bench:
    """A board in a folder of its own, and packages as files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        replay = build.replay_image()
        self.status: DeviceStatus = flash_board(
            BOARD, replay, *keys.trusted(), erase=True, folder=folder / "board", with_parent=True
        )
        self.smpmgr = Smpmgr(self.status.port)

    def file(self, data: bytes) -> tuple[str, str]:
        """Path and SHA-256 of a package."""
        sha = hashlib.sha256(data).hexdigest()
        path = self.folder / f"{sha[:8]}.tpk"
        path.write_bytes(data)
        return str(path), sha

    def session(self) -> Session:
        return connect(BOARD.name, str(self.status.port))

    def states(self) -> str:
        """`image state-read` on one line."""
        return re.sub(r"\s+", "", self.smpmgr("image", "state-read"))

    def wait_until_in_flash(self, data: bytes) -> None:
        """Return when the emulator's flash holds the beginning of `data`, not the whole."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            flash = self.status.flash_file.read_bytes()
            if any(flash[at : at + len(data)] == data for at in BOARD.flash.slot_offsets):
                return
            time.sleep(0.02)
        raise AssertionError("nothing arrives")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = Bench(tmp_path_factory.mktemp("stock"))
    yield bench
    stop_board(BOARD, bench.folder / "board")


def test_echo_reset_and_an_empty_board(bench: Bench) -> None:
    assert "r='hello'" in bench.smpmgr("os", "echo", "hello")
    assert "No images" in bench.smpmgr("image", "state-read")
    bench.smpmgr("os", "reset")
    assert "r='again'" in bench.smpmgr("os", "echo", "again")


def test_upload_try_reset_confirm_erase(bench: Bench) -> None:
    data = package("1.0.0")
    path, sha = bench.file(data)
    bench.smpmgr("image", "upload", "--format", "any", path)
    assert sha.upper() in bench.states() and "version='1.0.0'" in bench.states()
    bench.smpmgr("image", "state-write", sha)
    assert "pending=True" in bench.states()
    bench.smpmgr("os", "reset")
    assert "active=True" in bench.states() and "confirmed=False" in bench.states()
    bench.smpmgr("image", "state-write", "--confirm")
    assert "confirmed=True" in bench.states()

    other, other_sha = bench.file(package("1.0.1"))
    bench.smpmgr("image", "upload", "--format", "any", other)
    assert other_sha.upper() in bench.states()
    bench.smpmgr("image", "erase", "1")
    states = bench.states()
    assert other_sha.upper() not in states and sha.upper() in states
    assert "EBADSTATE" in bench.smpmgr.fails("image", "erase", "0")  # the one that runs
    with bench.session() as session:
        assert session.info.running and session.info.version == "1.0.0"


def test_an_upload_goes_on_where_it_was_killed(bench: Bench) -> None:
    data = package("1.1.0")
    path, sha = bench.file(data)
    killed = bench.smpmgr.start("image", "upload", "--format", "any", path)
    bench.wait_until_in_flash(data[:8000])
    killed.kill()
    killed.communicate()
    with bench.session() as session:
        (slot,) = (s for s in session.tactus.slots().slots if s.state_name == "receiving")
        assert 8000 <= slot.received < len(data)
        session.os.reset()  # the journal remembers, too
    with bench.session() as session:
        before = session.stat.read("link")["frames"]
    bench.smpmgr("image", "upload", "--format", "any", path)
    with bench.session() as session:
        messages = session.stat.read("link")["frames"] - before
    assert messages < CHUNKS_MIN * (len(data) - slot.received) // len(data) + 20
    assert sha.upper() in bench.states()


def test_refused_packages_are_told_in_words_that_the_client_has(bench: Bench) -> None:
    data = package("1.2.0")
    for at, word in ((200, "INVALID_TLV"), (-100, "INVALID_HASH")):
        bad = bytearray(data)
        bad[at] ^= 16
        path, _ = bench.file(bytes(bad))
        assert word in bench.smpmgr.fails("image", "upload", "--format", "any", path)
    assert "INVALID_HASH" in bench.smpmgr.fails("image", "state-write", "00" * 32)


def test_statistics_and_enumeration(bench: Bench) -> None:
    listed = bench.smpmgr("statistics", "list")
    assert all(name in listed for name in ("link", "loop"))
    assert "errors_crc" in bench.smpmgr("statistics", "get", "link")
    assert "background_count" in bench.smpmgr("statistics", "fetch-all")
    groups = bench.smpmgr("enum", "get-supported-groups")
    assert all(f": {group}>" in groups for group in (0, 1, 2, 8, 10, 64))
    details = bench.smpmgr("enum", "get-group-details", "1", "10")
    assert "img mgmt" in details and "enum mgmt" in details


def test_files_come_whole_and_none_is_written(bench: Bench, tmp_path: Path) -> None:
    with bench.session() as session:
        (slot,) = (s for s in session.tactus.slots().slots if s.state_name == "confirmed")
    running = package("1.0.0")
    assert slot.sha256 == hashlib.sha256(running).digest()
    envelope = bytes(container.envelope_bytes(running))
    bench.smpmgr("file", "download", "/manifest", str(tmp_path / "manifest"))
    assert (tmp_path / "manifest").read_bytes() == envelope
    assert str(len(envelope)) in bench.smpmgr("file", "read-size", "/manifest")
    assert f"len={len(envelope)}" in bench.smpmgr("file", "get-hash", "/manifest")
    assert "sha256" in bench.smpmgr("file", "get-supported-hash-types")
    refused = bench.smpmgr.fails("file", "upload", str(tmp_path / "manifest"), "/manifest")
    assert "EACCESSDENIED" in refused


def test_large_messages_and_those_beyond_the_buffer(bench: Bench) -> None:
    """smpmgr does not keep to what the board says it takes: 2,400 characters are more than it has."""
    large = ("--line-length", "128", "--line-buffers", "16")
    text = "x" * 1200
    assert text in re.sub(r"\s", "", bench.smpmgr(*large, "os", "echo", text))
    beyond = ("--line-length", "128", "--line-buffers", "32")
    assert "EMSGSIZE" in bench.smpmgr.fails(*beyond, "os", "echo", "x" * 2400)
    assert "r='on'" in bench.smpmgr("os", "echo", "on")


def test_text_on_the_port_does_no_harm(bench: Bench) -> None:
    for noise in (b"log: a line\r\n", b"half a li", b"\x06\x09AAA", bytes(range(4, 256))):
        with Transport(str(bench.status.port)) as transport:
            transport.write(noise)
        echoed = bench.smpmgr("--timeout", "5", "os", "echo", "clear")
        assert "r='clear'" in echoed, noise
