"""Power cuts at every flash operation of the store, and at random ones in a row: tests/faults/power_cuts.c, built and run."""

import hashlib
import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from host.boards import BUILD, ROOT
from host.errors import TactusError
from host.flash import system
from host.flash.lock import locked

SEEDS = 5000
_TESTS = ROOT / "tests"
_STORE = ("slot.c", "journal.c", "crc32.c", "sha256.c", "telemetry.c")
_PROGRAM = ("faults/power_cuts.c", "faults/telemetry_cuts.c", "nor_flash.c")
_FLAGS = ("-std=c11", "-O2", "-g1", "-Wall", "-Wextra", "-Werror", "-Wconversion")
_TIMEOUT_S = 1200


@dataclass(frozen=True, slots=True)
class CutFigures:
    """What was cut and what broke.

    `points`: operations times kinds of cut of the scenarios, each tried once; `random_cuts`: cuts that
    hit in `seeds` random stories of 2 to 5 in a row; `failures`: points and seeds that broke an
    invariant of device/store/DESIGN.md; `said` names the first of them, as to replay.
    """

    points: int
    telemetry_points: int
    seeds: int
    random_cuts: int
    confirmed: int
    failures: int
    said: str

    def as_json(self) -> dict[str, Any]:
        """With the two figures of `bench update` first."""
        cuts = self.points + self.telemetry_points + self.random_cuts
        return {"cut_points": cuts, "cut_failures": self.failures, **asdict(self)}


def measure_power_cuts(first_seed: int = 1, seeds: int = SEEDS) -> CutFigures:
    """Try every cut point of the scenarios, then `seeds` random stories. Raises TactusError."""
    program = build_power_cuts()
    every, said = run_power_cuts(program, "exhaustive")
    some, more = run_power_cuts(program, "random", str(first_seed), str(seeds))
    parts = [every["store"], every["telemetry"], some["store"], some["telemetry"]]
    return CutFigures(
        points=every["store"]["points"],
        telemetry_points=every["telemetry"]["points"],
        seeds=seeds,
        random_cuts=some["store"]["cuts"] + some["telemetry"]["cuts"],
        confirmed=some["store"]["confirmed"],
        failures=sum(part["failures"] for part in parts),
        said=said + more,
    )


def build_power_cuts(
    flags: Sequence[str] = (), store: Path = ROOT / "device" / "store", name: str = "power_cuts"
) -> Path:
    """Compile the program unless these very sources are compiled already. Raises TactusError.

    flags: more of them, for sanitizers; store: the folder of the store's sources.
    """
    system.require("gcc")
    sources = [*(_TESTS / part for part in _PROGRAM), *(store / part for part in _STORE)]
    headers = [*sorted((ROOT / "device").rglob("*.h")), *sorted(_TESTS.rglob("*.h"))]
    digest = hashlib.sha256(repr((_FLAGS, tuple(flags))).encode())
    for path in [*sources, *headers]:
        digest.update(path.read_bytes())
    folder = BUILD / "bench" / "programs"
    target = folder / f"{digest.hexdigest()[:16]}-{name}"
    include = [f"-I{path}" for path in (ROOT / "device", _TESTS, _TESTS / "faults")]
    with locked(folder / name):
        if not target.is_file():
            for old in folder.glob(f"*-{name}"):
                old.unlink()
            partial = folder / f"{name}.new"
            command = ["gcc", *_FLAGS, *flags, *include, *map(str, sources), "-o", str(partial)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise TactusError(
                    f"the power-cut program does not compile: {done.stderr.splitlines()[-1:]}",
                    "run it again with --verbose",
                )
            partial.replace(target)
    return target


def run_power_cuts(program: Path, *arguments: str) -> tuple[dict[str, dict[str, int]], str]:
    """The figures it prints, and what it says of failures. Raises TactusError when it does not get through."""
    done = subprocess.run(
        [str(program), *arguments], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
    )
    if done.returncode != 0:
        raise TactusError(
            f"{program.name} {' '.join(arguments)}: exit code {done.returncode}: {done.stderr[-300:]}",
            "the store breaks before any power cut: run tests/faults",
        )
    figures: dict[str, dict[str, int]] = json.loads(done.stdout)
    return figures, done.stderr
