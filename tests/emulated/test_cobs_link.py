"""The second UART of the emulated M4 board carries COBS frames: smpclient, our own client, and both links at once."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import package_builder as build
import pytest
import serial
from stock_client import stock_python

from host.boards import ROOT, load_board
from host.flash.device_room import device_room
from host.flash.flasher import flash_board, stop_board
from host.link.session import connect
from host.package import keys
from protocol import cobs

pytestmark = pytest.mark.emulated
BOARD = load_board("qemu-m4")
OP_US = 300


class Bench:
    """A freshly flashed board."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        replay = build.replay_image()
        self.status = flash_board(
            BOARD, replay, *keys.trusted(), erase=True, folder=folder, with_parent=True
        )
        self.console = str(self.status.port)
        self.second = device_room(BOARD, folder).second_port


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    stop_board(BOARD, tmp_path)


def package(filler: int) -> bytes:
    times = {"budget_us": OP_US, "longest_op_us": OP_US}
    tasks = [build.task(name, 0, 32 * i, 1, **times) for i, name in enumerate(("left", "right"))]
    content = build.manifest(tasks=tasks)
    content["target"] |= {"class": BOARD.device_class, "features": list(BOARD.features)}
    extra = ("filler", b"".join(hashlib.sha256(bytes([i & 255])).digest() for i in range(filler)))
    parts = [*build.payloads(build.plan(OP_US).image()), extra]
    return build.build(content, parts, keys.demo_signer())


def test_smpclient_drives_the_cobs_port(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "app.tpk"
    file.write_bytes(package(1000))
    done = subprocess.run(
        [
            str(stock_python()),
            str(ROOT / "tests" / "cobs_client.py"),
            str(bench.second),
            str(file),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    size = file.stat().st_size
    assert said["echo"] == "hi" and said["buffer"] == str(BOARD.link_bytes)
    assert said["info"] == "Tactus qemu-m4" and said["tasks"] == "[]"
    assert said["groups"] == "[0, 1, 2, 8, 10, 64]"
    assert said["unknown"] == "True 8"
    uploaded, _, total, _, wire = said["uploaded"].split()
    assert uploaded == total == str(size)
    assert int(wire) <= 1.05 * size
    assert said["images"] == "1 1.2.3" and said["pending"] == "[True]"


def test_our_client_installs_and_streams_over_cobs_while_the_console_answers(
    bench: Bench,
) -> None:
    data = package(100)
    with (
        connect(BOARD.name, f"cobs:{bench.second}") as session,
        connect(BOARD.name, bench.console) as beside,
    ):
        sha = session.image.upload(data).sha256
        assert beside.image.state()[0].hash == sha
        session.tactus.subscribe(20_000, 50)
        seen = 0
        for i in range(30):
            assert beside.os.echo(f"console {i}") == f"console {i}"
            assert session.os.echo(f"cobs {i}") == f"cobs {i}"
            seen += session.client.poll(0.2)
            session.client.frames.clear()
        assert seen > 10
        assert beside.client.counters.frames == 0, "frames go to who asked for them"
        assert session.client.counters.retries == beside.client.counters.retries == 0
        assert session.client.counters.malformed == 0


def test_garbage_on_the_cobs_port_costs_no_later_message(bench: Bench) -> None:
    with serial.Serial(str(bench.second), timeout=5) as port:
        hello = bytes([8, 0, 0, 0, 0, 0, 1, 6])
        for noise in (
            b"log text\r\n",
            bytes(range(1, 256)) * 20,
            b"\x03\x04",
            cobs.encode(bytes([9]) + bytes(3999)),  # too long, and a reply: no answer
        ):
            port.write(noise + b"\0" + cobs.encode(hello))
            reply = port.read_until(b"\0")
            (message,) = cobs.Decoder().feed(reply)
            assert message[:8] == bytes([9, 0, 0, len(message) - 8, 0, 0, 1, 6])
    with connect(BOARD.name, bench.console) as session:
        link = session.stat.read("link")
        assert link["errors_format"] >= 2 and link["errors_size"] >= 1
