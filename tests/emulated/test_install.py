"""Installing on a board that runs: what is refused leaves everything as it was, and `status` says why."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import package_builder as build
import pytest

from host.boards import BUILD, load_board
from host.flash.device_room import DEVICES_VARIABLE
from host.flash.flasher import flash_board
from host.install import reconnect
from host.link.session import connect
from host.package.keys import demo_signer, trusted
from host.package.read import parse_package
from protocol import errors

ROOT = Path(__file__).resolve().parents[2]

Tactus = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def tactus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tactus]:
    """The command line with a host board of its own that runs the demo application."""
    devices = str(tmp_path_factory.mktemp("devices"))

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "tasks.py", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env={**os.environ, DEVICES_VARIABLE: devices},
        )

    os.environ[DEVICES_VARIABLE] = devices
    done = call("flash", "--board", "host", "--app", "demo", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["package"] == "installed"
    yield call
    call("boards", "--stop", "host")
    del os.environ[DEVICES_VARIABLE]


def package() -> bytearray:
    return bytearray((BUILD / "apps" / "demo" / "host" / "app.tpk").read_bytes())


def with_window(data: bytes, window_ms: int, **changes: Any) -> bytes:
    """The package with another trial; `changes` go over its manifest."""
    info = parse_package(data)
    trial = dict(info.manifest["trial"], window_ms=window_ms, jobs=1)
    content = dict(info.manifest, trial=trial) | changes
    parts = [(payload.name, payload.data) for payload in info.payloads]
    return build.build(content, parts, demo_signer())


def status(tactus: Tactus) -> dict[str, Any]:
    done = tactus("status", "--board", "host", "--json")
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def flipped(at: int) -> bytes:
    data = package()
    data[at] ^= 0x10
    return bytes(data)


REFUSED = {
    "a flipped bit of a weight": (lambda: flipped(len(package()) - 2000), errors.PKG_DIGEST),
    "a flipped bit of the manifest": (lambda: flipped(200), errors.PKG_SIGNATURE),
    "a file that is no package": (lambda: os.urandom(3000), errors.PKG_FORMAT),
    "a package cut short": (lambda: bytes(package()[:-64]), errors.PKG_FORMAT),
}


@pytest.mark.emulated
@pytest.mark.parametrize("what", REFUSED)
def test_a_refused_package_leaves_the_running_one_running(
    tactus: Tactus, tmp_path: Path, what: str
) -> None:
    make, code = REFUSED[what]
    file = tmp_path / "refused.tpk"
    file.write_bytes(make())
    with connect("host") as session:
        done_before = session.tactus.stats().tasks[1].done
    refused = tactus("flash", "--board", "host", "--package", str(file))
    assert refused.returncode == 4, refused.stderr
    assert errors.sentence(code) in refused.stderr
    assert "Traceback" not in refused.stderr
    with connect("host") as session:
        assert session.info.running
        assert session.info.app == "demo"
        assert session.tactus.stats().tasks[1].done >= done_before
        reasons = {slot.reason for slot in session.tactus.slots().slots if slot.state_name == "bad"}
    assert code in reasons
    assert errors.name(code) in json.dumps(status(tactus))


@pytest.mark.emulated
def test_a_trial_that_a_reset_ended_can_be_installed_again(tactus: Tactus) -> None:
    recorded = (BUILD / "apps" / "demo" / "host" / "replay.bin").read_bytes()
    flash_board(load_board("host"), recorded, *trusted(), erase=True)
    with connect("host") as session:
        # A window that a slow computer does not come to the end of.
        sha = session.image.upload(with_window(bytes(package()), 3_600_000)).sha256
        session.image.test(sha)
        session.os.reset()
    for _ in range(2):  # the first start is the trial, the second ends it unconfirmed
        with reconnect(lambda: connect("host")) as session:
            session.os.reset()
    with reconnect(lambda: connect("host")) as session:
        slots = session.tactus.slots().slots
        assert [slot.reason for slot in slots if slot.state_name == "bad"] == [errors.PKG_TRIAL]
        assert not session.info.running
    done = tactus("flash", "--board", "host", "--package", "build/apps/demo/host/app.tpk", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["package"] == "installed"


@pytest.mark.emulated
def test_installing_what_runs_changes_nothing(tactus: Tactus) -> None:
    done = tactus("flash", "--board", "host", "--package", "build/apps/demo/host/app.tpk", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["package"] == "unchanged"


@pytest.mark.emulated
def test_rollback_goes_back_in_one_command_or_says_why_not(tactus: Tactus, tmp_path: Path) -> None:
    refused = tactus("rollback", "--board", "host")
    assert refused.returncode == 1, refused.stderr
    cause, remedy = refused.stderr.splitlines()
    assert "nothing to go back to" in cause and "flash --package" in remedy
    file = tmp_path / "newer.tpk"
    file.write_bytes(with_window(bytes(package()), 0, version="9.0"))
    assert tactus("flash", "--board", "host", "--package", str(file)).returncode == 0
    assert status(tactus)["version"] == "9.0"
    done = tactus("rollback", "--board", "host", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["app"], result["left"]) == ("demo", "9.0") and result["version"] != "9.0"
    assert len(done.stderr.splitlines()) == 1 and "runs again from slot" in done.stderr
    assert status(tactus)["version"] == result["version"]
