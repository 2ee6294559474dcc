"""The same scripts under CPython and under the MicroPython unix port, with identical lines.

To replay one by hand, from the project's root:
    MICROPYPATH=.:device:.frozen build/firmware/unix/tactus-micropython tests/scripts/NAME.py protocol/vectors
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import package_builder as build
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from host.boards import ROOT, load_board
from host.flash.cpython_ext import build_extension
from host.flash.firmware import build_firmware
from host.package import keys
from protocol import errors

SCRIPTS = ROOT / "tests" / "scripts"
VECTORS = ROOT / "protocol" / "vectors"
HELPERS = ("vector_file.py", "check_device.py", "many_jobs.py")
HEAP = "heapsize=192K"  # not more than a board has


@pytest.fixture(scope="session")
def commands() -> dict[str, tuple[list[str], dict[str, str]]]:
    """Command and environment of each interpreter."""
    micropython = build_firmware(load_board("unix"), *keys.trusted())
    extension = build_extension(load_board("host"), *keys.trusted())
    sources = f"{ROOT}:{ROOT / 'device'}"
    return {
        "CPython": ([sys.executable], {"PYTHONPATH": f"{sources}:{extension.parent}"}),
        # The sources come before .frozen, so that what is tested is what lies in the tree.
        "MicroPython": (
            [str(micropython), "-X", HEAP],
            {"MICROPYPATH": f"{SCRIPTS}:{sources}:.frozen"},
        ),
    }


def run(command: list[str], environment: dict[str, str], arguments: list[str]) -> str:
    done = subprocess.run(
        [*command, *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{command[0]} {arguments}\n{done.stdout[-2000:]}{done.stderr}"
    return done.stdout


def judge(outputs: dict[str, str]) -> None:
    assert outputs["CPython"] == outputs["MicroPython"]
    lines = outputs["CPython"].splitlines()
    assert len(lines) > 2
    assert not [line for line in lines if "FAIL" in line]


@pytest.mark.parametrize(
    "script", sorted(path.name for path in SCRIPTS.glob("*.py") if path.name not in HELPERS)
)
def test_a_script_prints_the_same_on_both_interpreters(
    script: str, commands: dict[str, tuple[list[str], dict[str, str]]]
) -> None:
    arguments = [str(SCRIPTS / script), str(VECTORS)]
    outputs = {name: run(*command, arguments) for name, command in commands.items()}
    judge(outputs)
    if script.startswith("check_"):
        assert "False" not in outputs["CPython"]


def tampered(data: bytes) -> bytes:
    return data[:-16] + bytes([data[-16] ^ 1]) + data[-15:]


GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493  # L of Ed25519, RFC 8032


def resigned(data: bytes, change: Callable[[int], int]) -> bytes:
    """The package with another S in its signature (R, S)."""
    end = 16 + int.from_bytes(data[4:8], "little")
    other = change(int.from_bytes(data[end - 32 : end], "little"))
    return data[: end - 32] + other.to_bytes(32, "little") + data[end:]


REFUSED: dict[str, tuple[int, Callable[[Ed25519PrivateKey], bytes]]] = {
    "format": (errors.PKG_FORMAT, lambda key: b"no package"),
    "key": (errors.PKG_KEY, lambda key: build.build(key=build.OTHER_KEY)),
    "signature": (errors.PKG_SIGNATURE, lambda key: resigned(package(key), lambda s: s ^ 1)),
    # The same point equation holds for S + L: whoever takes it lets others change a signed file.
    "malleable": (
        errors.PKG_SIGNATURE,
        lambda key: resigned(package(key), lambda s: s + GROUP_ORDER),
    ),
    "digest": (errors.PKG_DIGEST, lambda key: tampered(package(key))),
    "target": (errors.PKG_TARGET, lambda key: package(key, device_class="armv7e-m")),
    "capability": (errors.PKG_CAPABILITY, lambda key: package(key, plan=2)),
    "counter": (errors.PKG_COUNTER, lambda key: package(key, counter=4)),
    "ram": (errors.PKG_RAM, lambda key: package(key, arena_bytes=1 << 20)),
    "plan": (errors.PLAN_PARAM, lambda key: package(key, act_min=21)),
    "schedule": (errors.PKG_SCHEDULE, lambda key: package(key, wcet_us=39_000)),
    "recording": (errors.NOT_FOUND, lambda key: package(key, recording="run")),
}


def package(
    key: Ed25519PrivateKey,
    *,
    version: str = "1.0.0",
    counter: int = 5,
    device_class: str = "hosted",
    arena_bytes: int = 64,
    plan: int = 1,
    wcet_us: int = 40,
    recording: str = "walk",
    **op: int,
) -> bytes:
    """Two tasks that clamp windows of the recording `walk`."""
    tasks = []
    for index, name in enumerate(("left", "right")):
        task = build.task(name, 0, 32 * index, 1, budget_us=wcet_us, longest_op_us=wcet_us)
        task["source"]["name"] = recording
        tasks.append(task)
    content = build.manifest(version=version, counter=counter, tasks=tasks)
    content["target"] |= {
        "class": device_class,
        "features": [],
        "plan": plan,
        "arena_bytes": arena_bytes,
    }
    return build.build(content, build.payloads(build.plan(wcet_us, **op).image()), key)


def make_folder(folder: Path) -> list[str]:
    """Fill a folder for check_device.py; returns the names of the packages to refuse."""
    flash = load_board("host").flash
    image = build.replay_image()
    blank = b"\xff" * flash.bytes
    folder.mkdir()
    (folder / "flash.bin").write_bytes(
        blank[: flash.replay_offset] + image + blank[flash.replay_offset + len(image) :]
    )
    key = keys.demo_key()
    (folder / "one.tpk").write_bytes(package(key))
    (folder / "two.tpk").write_bytes(package(key, version="2.0.0", counter=6))
    names = []
    for name, (_, make) in REFUSED.items():
        names.append(f"refused-{name}.tpk")
        (folder / names[-1]).write_bytes(make(key))
    return names


def test_the_device_boots_updates_and_runs_alike_on_both_interpreters(
    commands: dict[str, tuple[list[str], dict[str, str]]], tmp_path: Path
) -> None:
    outputs = {}
    for name, command in commands.items():
        folder = tmp_path / name
        refused = make_folder(folder)
        arguments = [str(SCRIPTS / "check_device.py"), str(VECTORS), str(folder), *refused]
        outputs[name] = run(*command, arguments)
    judge(outputs)
    for name, (code, _) in REFUSED.items():
        assert f"refused-{name}.tpk: {errors.name(code)} True\n" in outputs["CPython"]
    assert "64.9: [('failed', 0), ('passed', 2)]" in outputs["CPython"]
    assert outputs["CPython"].splitlines()[-1] == "runs: True 1"
