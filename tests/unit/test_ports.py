"""Choosing and opening a port: every way to get it wrong has its own cause and remedy."""

import os
import re
from pathlib import Path

import pytest

from host.errors import ExitCode, MissingError, UsageError
from host.flash.device_room import DEVICES_VARIABLE, DeviceRoom
from host.link import ports
from host.link.transport import Transport


@pytest.fixture
def devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No emulated board runs, no USB port is there."""
    monkeypatch.setenv(DEVICES_VARIABLE, str(tmp_path))
    monkeypatch.setattr(ports, "_usb_ports", list)
    return tmp_path


def start(devices: Path, name: str, pid: int | None = None) -> Path:
    """Pretend that an emulated board runs: a PTY under its stable path."""
    _, slave = os.openpty()
    folder = devices / name
    folder.mkdir(parents=True)
    (folder / "tty").symlink_to(os.ttyname(slave))
    DeviceRoom(folder).write_pid(os.getpid() if pid is None else pid)
    return folder / "tty"


def test_a_named_port_wins_over_everything(devices):
    start(devices, "host")
    assert ports.find_port("host", "/dev/ttyX9", {"TACTUS_PORT": "/dev/ttyY"}) == "/dev/ttyX9"


def test_the_environment_wins_over_the_board(devices):
    assert ports.find_port("host", None, {"TACTUS_PORT": "/dev/ttyY"}) == "/dev/ttyY"


def test_a_running_board_is_found_by_name(devices):
    tty = start(devices, "qemu-m4")
    assert ports.find_port("qemu-m4", None, {}) == str(tty)


def test_the_only_running_board_needs_no_name(devices):
    tty = start(devices, "unix")
    assert Path(ports.find_port(environment={})).resolve() == tty.resolve()


def test_two_running_boards_must_be_told_apart(devices):
    start(devices, "unix")
    start(devices, "host")
    with pytest.raises(UsageError, match="more than one board") as caught:
        ports.find_port(environment={})
    assert "--board" in caught.value.remedy


def test_no_board_at_all_says_how_to_get_one(devices):
    with pytest.raises(MissingError, match="no board found") as caught:
        ports.find_port(environment={})
    assert "flash --board" in caught.value.remedy and caught.value.exit_code == ExitCode.MISSING


@pytest.mark.parametrize("state", ["never started", "dangling port", "dead process"])
def test_a_board_that_does_not_run_says_how_to_start_it(devices, state):
    if state == "dangling port":
        (devices / "host").mkdir(parents=True)
        (devices / "host" / "tty").symlink_to("/dev/pts/no-such-port")
        DeviceRoom(devices / "host").write_pid(os.getpid())
    if state == "dead process":
        start(devices, "host", pid=2**22 + 1)
    with pytest.raises(MissingError, match="board host is not running") as caught:
        ports.find_port("host", None, {})
    assert "flash --board host" in caught.value.remedy


def test_an_unknown_board_lists_the_known_ones(devices):
    with pytest.raises(UsageError, match="toaster") as caught:
        ports.find_port("toaster", None, {})
    assert "qemu-m4" in caught.value.remedy


def test_a_port_that_does_not_exist_is_named():
    with pytest.raises(MissingError, match="port /dev/tty-none does not exist") as caught:
        Transport("/dev/tty-none")
    assert "boards" in caught.value.remedy


def test_a_file_that_is_no_port_is_refused(tmp_path):
    path = tmp_path / "file"
    path.write_text("x")
    with pytest.raises(MissingError, match=re.escape(str(path))):
        Transport(str(path))


def test_a_url_of_an_unknown_kind_is_refused():
    with pytest.raises(MissingError, match="not a serial port"):
        Transport("carrier-pigeon://loft")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open everything")
def test_a_forbidden_port_names_the_group(tmp_path):
    path = tmp_path / "tty"
    path.touch(mode=0)
    with pytest.raises(MissingError, match="no permission") as caught:
        Transport(str(path))
    assert "dialout" in caught.value.remedy


def test_a_port_is_opened_once_at_a_time(devices):
    tty = start(devices, "host")
    with Transport(str(tty)):
        with pytest.raises(MissingError, match="in use by another program") as caught:
            Transport(str(tty))
        assert "fuser" in caught.value.remedy
    Transport(str(tty)).close()


def test_a_loop_carries_bytes_both_ways_and_closes_twice():
    transport = Transport("loop://")
    transport.write(b"abc")
    assert transport.read(0.1) == b"abc"
    assert transport.read(0.01) == b""
    transport.close()
    transport.close()
