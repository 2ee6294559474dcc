"""The same scripts under CPython and under the MicroPython unix port, with identical lines.

To replay one by hand, from the project's root:
    MICROPYPATH=.:device:.frozen build/firmware/unix/tactus-micropython tests/scripts/NAME.py protocol/vectors
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

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
HELPERS = (
    "vector_file.py",
    "board_session.py",
    "check_device.py",
    "check_trust.py",
    "many_jobs.py",
)
# What a board has, the code that a board has frozen, and the holes that several boots leave in one heap.
HEAP = "heapsize=320K"


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


REFUSED: dict[str, tuple[int, Callable[[keys.Signer], bytes]]] = {
    "format": (errors.PKG_FORMAT, lambda signer: b"no package"),
    "key": (errors.PKG_KEY, lambda signer: package(replace(signer, key=build.OTHER_KEY))),
    "signature": (errors.PKG_SIGNATURE, lambda signer: resigned(package(signer), lambda s: s ^ 1)),
    # The same point equation holds for S + L: whoever takes it lets others change a signed file.
    "malleable": (
        errors.PKG_SIGNATURE,
        lambda signer: resigned(package(signer), lambda s: s + GROUP_ORDER),
    ),
    "digest": (errors.PKG_DIGEST, lambda signer: tampered(package(signer))),
    "target": (errors.PKG_TARGET, lambda signer: package(signer, device_class="armv7e-m")),
    "capability": (errors.PKG_CAPABILITY, lambda signer: package(signer, plan=2)),
    "counter": (errors.PKG_COUNTER, lambda signer: package(signer, counter=4)),
    "ram": (errors.PKG_RAM, lambda signer: package(signer, arena_bytes=1 << 20)),
    "plan": (errors.PLAN_PARAM, lambda signer: package(signer, act_min=21)),
    "schedule": (errors.PKG_SCHEDULE, lambda signer: package(signer, wcet_us=39_000)),
    "recording": (errors.NOT_FOUND, lambda signer: package(signer, recording="run")),
}


def package(
    signer: keys.Signer,
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
    return build.build(content, build.payloads(build.plan(wcet_us, **op).image()), signer)


def make_flash(folder: Path) -> None:
    """A folder with a flash file that holds nothing but the recording."""
    flash = load_board("host").flash
    image = build.replay_image()
    blank = b"\xff" * flash.bytes
    folder.mkdir()
    (folder / "flash.bin").write_bytes(
        blank[: flash.replay_offset] + image + blank[flash.replay_offset + len(image) :]
    )


def make_folder(folder: Path) -> list[str]:
    """Fill a folder for check_device.py; returns the names of the packages to refuse."""
    make_flash(folder)
    signer = keys.demo_signer()
    (folder / "one.tpk").write_bytes(package(signer))
    (folder / "two.tpk").write_bytes(package(signer, version="2.0.0", counter=6))
    names = []
    for name, (_, make) in REFUSED.items():
        names.append(f"refused-{name}.tpk")
        (folder / names[-1]).write_bytes(make(signer))
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
    assert outputs["CPython"].splitlines()[-1] == "runs: True 0"


NEW_YEAR_2030 = 1_893_456_000


def trust_packages() -> dict[str, bytes]:
    """What check_trust.py sends: keys of the checkout's demo root, and of others."""
    old, root = keys.demo_key(), keys.demo_root()
    new, stranger, other_root = build.KEY, build.OTHER_KEY, build.ROOT

    def signed(label: str, key: Ed25519PrivateKey, **key_set: Any) -> bytes:
        document = build.key_set(**({"roots": [root], "keys": [key]} | key_set))
        return package(keys.Signer(key, document, "a test"), version=label)

    expiring = {"version": 4, "expires": NEW_YEAR_2030, "keys": [new]}
    return {
        "first": signed("1", old),
        "rotated": signed("2", new, version=2, revoked=[old]),
        "old-set": signed("3", old),
        "old-set-new-key": signed("4", new, keys=[old, new]),
        "revoked": signed("5", old, version=2, keys=[new], revoked=[old]),
        "unlisted": signed("6", stranger, version=2, keys=[new]),
        "foreign-root": signed("7", new, version=9, roots=[other_root]),
        "no-root": signed("8", new, version=9, roots=[root, other_root]),
        "reissued": signed("9", new, version=3, revoked=[old]),
        "expiring": signed("10", new, **expiring),
        "expiring-too": signed("11", new, **expiring),
        "damage": signed("12", new, version=5),
    }


def test_only_those_sign_whom_the_roots_and_the_newest_key_set_allow(
    commands: dict[str, tuple[list[str], dict[str, str]]], tmp_path: Path
) -> None:
    outputs = {}
    for name, command in commands.items():
        folder = tmp_path / name
        make_flash(folder)
        for file, data in trust_packages().items():
            (folder / f"{file}.tpk").write_bytes(data)
        arguments = [str(SCRIPTS / "check_trust.py"), str(VECTORS), str(folder)]
        outputs[name] = run(*command, arguments)
    judge(outputs)
    lines = outputs["CPython"].splitlines()
    told = [line.split(": ", 1) for line in lines if line.startswith(("  upload ", "  choose "))]
    assert {(name.strip(), verdict) for name, verdict in told if verdict != "OK"} == {
        ("upload old-set", "PKG_KEYSET_OLD"),
        ("upload old-set-new-key", "PKG_KEYSET_OLD"),
        ("upload revoked", "PKG_REVOKED"),
        ("upload unlisted", "PKG_KEY"),
        ("upload foreign-root", "PKG_KEYSET"),
        ("upload no-root", "PKG_KEYSET"),
        ("upload expiring-too", "PKG_EXPIRED"),
        ("choose expiring-too", "PKG_EXPIRED"),
        ("choose first", "PKG_KEYSET_OLD"),  # going back past the rotation
    }
    assert [line for line in lines if line.startswith("  runs: ")] == [
        "  runs: 1 counter 5 key set 1 ['OK', 'OK']",
        "  runs: 2 counter 5 key set 1 ['OK', 'OK']",  # on trial
        "  runs: 1 counter 5 key set 1 ['OK', 'PKG_TRIAL']",
        "  runs: 2 counter 5 key set 2 ['OK', 'OK']",
        "  runs: 2 counter 5 key set 2 ['OK', 'OK']",
        "  runs: 2 counter 5 key set 2 ['PKG_KEYSET', 'OK']",
        "  runs: 9 counter 5 key set 3 ['OK', 'OK']",
        "  runs: 11 counter 5 key set 4 ['OK', 'OK']",
    ]
    flipped = [line for line in lines if line.startswith("  bits flipped: ")]
    assert sum(int(line.split()[-1]) for line in flipped) > 2000
    assert "  cut at every length: ['PKG_FORMAT']" in outputs["CPython"]
