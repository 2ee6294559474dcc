"""Installing on a board that runs: what is refused leaves everything as it was, and `status` says why."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from host.boards import BUILD, load_board
from host.flash.device_room import DEVICES_VARIABLE
from host.flash.flasher import flash_board
from host.install import reconnect
from host.link.session import connect
from host.package.keys import trusted
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
        sha = session.image.upload(bytes(package())).sha256
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
