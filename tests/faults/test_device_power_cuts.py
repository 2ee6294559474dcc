"""The board's Python keeps the order of operations too: a story of updates, cut at each of its flash operations."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import package_builder as build

from host.boards import ROOT, load_board
from host.flash.cpython_ext import MODULE_FILE, build_extension
from host.package import keys

BOARD = load_board("host")
HERE = Path(__file__).parent
WEIGHTS = b"".join(bytes([7 * i & 255, i * i & 255, i >> 3]) for i in range(900))


def cutting_extension(folder: Path) -> Path:
    """`_tactus` for this Python, linked with the port that loses power."""
    whole = build_extension(BOARD, *keys.trusted())
    objects = [path for path in (whole.parent / "objects").glob("*.o") if path.stem != "port-posix"]
    port, result = folder / "port.o", folder / MODULE_FILE
    include = [f"-I{ROOT / 'device'}", f"-I{whole.parent}"]
    strict = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-fPIC", "-fvisibility=hidden"]
    source = str(HERE / "cutting_port.c")
    subprocess.run(["gcc", *strict, *include, "-c", source, "-o", str(port)], check=True)
    linked = [*map(str, objects), str(port), "-lm"]
    subprocess.run(["gcc", "-shared", "-o", str(result), *linked], check=True)
    return result


def package(version: str, counter: int, key_version: int) -> bytes:
    tasks = [build.task("left", 0, 0, 1)]
    content = build.manifest(version=version, counter=counter, tasks=tasks)
    content["target"] |= {"features": []}
    document = build.key_set(version=key_version, keys=[keys.demo_key()], roots=[keys.demo_root()])
    filler = (WEIGHTS * 4)[:9_000]  # for more than one record of progress
    parts = [*build.payloads(), ("filler", filler[counter:] + filler[:counter])]
    return build.build(content, parts, key=keys.demo_key(), keys=document)


def make_folder(folder: Path) -> None:
    image = build.replay_image()
    start, end = BOARD.flash.replay_offset, BOARD.flash.bytes
    blank = b"\xff" * start + image + b"\xff" * (end - start - len(image))
    (folder / "blank.bin").write_bytes(blank)
    (folder / "one.tpk").write_bytes(package("1", 5, 1))
    (folder / "two.tpk").write_bytes(package("2", 6, 2))
    (folder / "three.tpk").write_bytes(package("3", 6, 2))
    (folder / "older.tpk").write_bytes(package("9", 6, 1))
    spoilt = package("4", 6, 2)
    (folder / "spoilt.tpk").write_bytes(spoilt[:-16] + bytes([spoilt[-16] ^ 1]) + spoilt[-15:])


def test_no_cut_in_an_update_over_the_link_loses_the_confirmed_package(tmp_path: Path) -> None:
    extension = cutting_extension(tmp_path)
    make_folder(tmp_path)
    path = [tmp_path, ROOT, ROOT / "device", ROOT / "tests" / "scripts"]
    done = subprocess.run(
        [sys.executable, str(HERE / "device_cuts.py"), str(extension), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path))},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["failures"] == [], found["failures"][:5]
    assert found["operations"] > 30 and found["points"] == 4 * found["operations"]
