"""`update` on boards that run: interrupted anywhere it goes on, and the line may be bad."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import package_builder as build
import pytest

from host.bench.bad_line import BadPort
from host.boards import ROOT, load_board
from host.flash.device_room import DeviceStatus, device_room
from host.flash.flasher import flash_board, stop_board
from host.install import update_board
from host.link.session import connect
from host.package import keys
from protocol import console, smp

pytestmark = pytest.mark.emulated
SEED = 11


def package(version: str, filler: int, board: str = "host", counter: int = 5) -> bytes:
    facts = load_board(board)
    times = {"budget_us": 300, "longest_op_us": 300} if board != "host" else {}
    tasks = [build.task(name, 0, 32 * i, 1, **times) for i, name in enumerate(("left", "right"))]
    content = build.manifest(version=version, counter=counter, tasks=tasks, trial=build.SHORT_TRIAL)
    content["target"] |= {"class": facts.device_class, "features": list(facts.features)}
    image = build.plan(300 if times else 40).image()
    extra = ("filler", random.Random(version).randbytes(filler))
    return build.build(content, [*build.payloads(image), extra], keys.demo_signer())


@pytest.fixture(scope="module")
def host_board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeviceStatus]:
    board, folder = load_board("host"), tmp_path_factory.mktemp("host")
    replay = build.replay_image()
    yield flash_board(board, replay, *keys.trusted(), folder=folder, with_parent=True)
    stop_board(board, folder)


def command(file: Path, port: str, *more: str) -> list[str]:
    return [sys.executable, "tasks.py", "update", str(file), "--port", port, *more]


def update(file: Path, port: str, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(file, port, *more),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_an_update_says_what_it_did_and_is_harmless_twice(
    host_board: DeviceStatus, tmp_path: Path
) -> None:
    file = tmp_path / "app.tpk"
    for version, before in (("a", None), ("b", "demo a")):
        file.write_bytes(package(version, 20_000))
        done = update(file, str(host_board.port), "--json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout.splitlines()[-1])
        assert found["outcome"] == "installed" and found["now"] == f"demo {version}"
        assert version == "a" or found["before"] == before
        assert found["sent_bytes"] == found["package_bytes"] == file.stat().st_size
        assert found["wire_bytes"] > found["package_bytes"]
        assert "sending the package: 100%" in done.stderr, "plain lines where there is no terminal"
    again = update(file, str(host_board.port))
    assert again.returncode == 0 and "unchanged" in again.stdout


def test_what_the_board_would_refuse_is_not_sent(host_board: DeviceStatus, tmp_path: Path) -> None:
    port = str(host_board.port)
    file = tmp_path / "app.tpk"
    file.write_bytes(package("high", 100, counter=6))
    assert update(file, port).returncode == 0
    good = package("c", 100, counter=6)
    refused = {
        "counter": (package("d", 100, counter=5), 4),
        "another class": (package("d", 100, "qemu-m4", counter=6), 4),
        "not a": (b"no package at all", 4),
        "damaged": (good[:-40] + bytes([good[-40] ^ 1]) + good[-39:], 4),
    }
    for data, code in refused.values():
        file.write_bytes(data)
        done = update(file, port)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) == 2
        assert "sending" not in done.stderr
    assert update(tmp_path / "none.tpk", port).returncode == 2
    assert update(tmp_path, port).returncode == 2
    with connect(None, port) as session:
        assert session.info.version == "high" and session.info.running


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_update_goes_on_where_it_stopped(
    host_board: DeviceStatus, tmp_path: Path, sign: signal.Signals
) -> None:
    file = tmp_path / "app.tpk"
    file.write_bytes(package(f"stop-{int(sign)}", 150_000, counter=6))
    with BadPort(str(host_board.port), 0.0, SEED, latency_s=0.02) as slow:
        process = subprocess.Popen(
            command(file, slow.port), cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        for line in process.stderr:
            if "sending the package: " in line:
                process.send_signal(sign)
                break
        said = process.stderr.read()
        assert process.wait() == (130 if sign == signal.SIGINT else -sign), said
    done = update(file, str(host_board.port), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert 0 < found["resumed_at"] < found["package_bytes"]
    assert found["resumed_at"] + found["sent_bytes"] == found["package_bytes"]


def test_a_board_that_resets_during_an_upload_is_sent_the_rest(host_board: DeviceStatus) -> None:
    data = package("reset", 60_000, counter=6)
    port, resets = str(host_board.port), []

    def reset_once(phase: str, part: float | None = None) -> None:
        if part is not None and part > 0.4 and not resets:
            resets.append(part)
            with open(port, "wb", buffering=0) as beside:  # somebody else's request on the line
                beside.write(console.encode(smp.pack_header(smp.WRITE, smp.GROUP_OS, 5, 9, 0)))

    with BadPort(port, 0.0, SEED, latency_s=0.002) as line:
        done = update_board(lambda: connect(None, line.port), data, reset_once)
    assert resets and done.outcome == "installed"


@pytest.mark.parametrize("rate", [0.001, 0.01])
def test_updates_over_a_bad_line_to_a_process(host_board: DeviceStatus, rate: float) -> None:
    data = package(f"bad-{rate}", 6000, counter=6)
    replay = f"replay: pytest {__file__} -k 'bad_line_to_a_process and {rate}' (seed {SEED})"
    with BadPort(str(host_board.port), rate, SEED) as bad:
        done = update_board(lambda: connect(None, bad.port), data)
        assert bad.there.faults + bad.back.faults > 0, replay
    assert (done.outcome, done.now) == ("installed", f"demo bad-{rate}"), replay


@pytest.mark.parametrize("framing", ["console", "cobs"])
def test_an_update_over_a_bad_line_to_the_emulated_m4(tmp_path: Path, framing: str) -> None:
    board = load_board("qemu-m4")
    status = flash_board(
        board, build.replay_image(), *keys.trusted(), folder=tmp_path, with_parent=True
    )
    port = str(status.port if framing == "console" else device_room(board, tmp_path).second_port)
    prefix = "cobs:" if framing == "cobs" else ""
    replay = f"replay: pytest {__file__} -k 'emulated_m4 and {framing}' (seed {SEED})"
    try:
        with BadPort(port, 0.005, SEED) as bad:
            data = package("m4", 8000, "qemu-m4")
            done = update_board(lambda: connect(None, prefix + bad.port), data)
            assert bad.there.faults + bad.back.faults > 10, replay
        assert done.outcome == "installed", replay
        assert done.wire_bytes > len(data)
    finally:
        stop_board(board, tmp_path)
