"""The port of host systems: what it reads of this computer."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import pytest

from host.boards import ROOT, load_board
from host.flash.board_header import write_board_header
from host.package.keys import trusted

NONE = -(2**31)


@pytest.fixture
def port(tmp_path: Path) -> ctypes.CDLL:
    """The port, with tmp_path / "thermal" as the folder of the sensors."""
    write_board_header(load_board("host"), *trusted(), tmp_path)
    library = tmp_path / "port.so"
    command = ["gcc", "-std=c11", "-shared", "-fPIC", f"-I{ROOT / 'device'}", f"-I{tmp_path}"]
    command += [f'-DTAC_THERMAL_FOLDER="{tmp_path / "t"}"', str(ROOT / "device/port/posix.c")]
    subprocess.run([*command, "-o", str(library)], check=True)
    found = ctypes.CDLL(str(library))
    found.tac_port_temperature_mc.restype = ctypes.c_int32
    return found


def sensor(folder: Path, number: int, text: str) -> None:
    zone = folder / "t" / f"thermal_zone{number}"
    zone.mkdir(parents=True)
    (zone / "temp").write_text(text)


def test_without_a_sensor_there_is_no_temperature(port: ctypes.CDLL) -> None:
    assert port.tac_port_temperature_mc() == NONE


def test_the_hottest_of_all_sensors_counts(port: ctypes.CDLL, tmp_path: Path) -> None:
    sensor(tmp_path, 0, "-2500\n")
    assert port.tac_port_temperature_mc() == -2500
    sensor(tmp_path, 1, "41250\n")
    sensor(tmp_path, 2, "")  # switched off
    sensor(tmp_path, 3, "39000\n")
    assert port.tac_port_temperature_mc() == 41250
