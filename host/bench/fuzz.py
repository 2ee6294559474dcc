"""Fuzzing of everything that reads bytes from a wire or from flash: tests/fuzz, built and run.

C with clang's libFuzzer under AddressSanitizer and UBSan; the device's Python by tests/fuzz/mutate.py, which takes the
same options and prints the same figures.
"""

import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from host.boards import BUILD, ROOT
from host.errors import TactusError, UsageError
from host.flash import system
from host.flash.lock import locked
from host.progress import Progress, silent

FOLDER = BUILD / "fuzz"
CORPUS = ROOT / "tests" / "fuzz" / "corpus"
AT_ONCE = 2
_TESTS = ROOT / "tests"
_HERE = _TESTS / "fuzz"
_STORE = ("store/crc32.c", "store/sha256.c")
SOURCES: dict[str, tuple[str, ...]] = {
    "console": ("link/console.c",),
    "plan": tuple(sorted(f"engine/{path.name}" for path in (ROOT / "device/engine").glob("*.c"))),
    "journal": ("store/slot.c", "store/journal.c", *_STORE),
    "telemetry": ("store/telemetry.c", "store/crc32.c"),
    "patch": ("store/patch.c",),
    "crypto": (
        *("link/console.c", "store/ed25519.c", "store/field25519.c", "store/sha512.c"),
        *_STORE,
    ),
}
"""C targets -> what they are built from, in device/."""

PYTHON = ("cbor", "smp", "manifest")
TARGETS = (*SOURCES, *PYTHON)
_NEED_FLASH = ("journal", "telemetry")
# Some sources tell gcc to optimize for size.
_WARNINGS = (
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wconversion",
    "-Wno-unknown-pragmas",
    "-Wno-unknown-attributes",
)
# -ffp-contract=off is part of the contract of the kernels (engine/kernel.h).
_FLAGS = ("-std=gnu11", "-O1", "-g1", "-ffp-contract=off", "-fno-sanitize-recover=all")
_INPUT_BYTES_MAX = 4096
_INPUT_SECONDS_MAX = 20
_MEMORY_MB_MAX = 1024
_KEPT_S = 14 * 24 * 3600.0
_FOUND = re.compile(r"does not hold|runtime error|^SUMMARY:|ERROR: libFuzzer", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Finding:
    """An input that breaks a rule: what the target said first, and the command that shows it again."""

    what: str
    input: Path
    replay: str


@dataclass(frozen=True, slots=True)
class Fuzzed:
    """One target's run. It ends at its first finding."""

    target: str
    executions: int
    executions_per_s: int
    findings: tuple[Finding, ...]

    def as_json(self) -> dict[str, Any]:
        """With the two keys of `bench update` first."""
        return {
            "executions": self.executions,
            "findings": len(self.findings),
            "executions_per_s": self.executions_per_s,
            "inputs": [
                {"what": found.what, "input": str(found.input), "replay": found.replay}
                for found in self.findings
            ],
        }


def fuzz(
    seconds: float,
    targets: Sequence[str] = (),
    progress: Progress = silent,
    seed: int = 0,
    folder: Path = FOLDER,
) -> dict[str, Fuzzed]:
    """Fuzz each target (none named: all) for `seconds`, two at once; inputs that break it stay in `folder`.

    The same `seed` draws the same inputs in an empty folder; 0 draws others each time.

    Raises UsageError for an unknown target, MissingError without clang, TactusError when a target does not start.
    """
    chosen = checked_targets(targets)
    programs = {}
    for target in chosen:
        progress(f"building {target}", None)
        programs[target] = build_target(target)
    make_seeds()
    progress(f"fuzzing {', '.join(chosen)}", None)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        runs = [
            pool.submit(fuzz_one, target, programs[target], seconds, folder, seed)
            for target in chosen
        ]
        found = [run.result() for run in runs]
    return {run.target: run for run in found}


def checked_targets(targets: Sequence[str]) -> tuple[str, ...]:
    """The named targets, all when none is. Raises UsageError."""
    for target in targets:
        if target not in TARGETS:
            raise UsageError(
                f"no target of fuzzing is called {target!r}", f"choose from: {', '.join(TARGETS)}"
            )
    return tuple(targets) or TARGETS


def build_target(target: str, compiler: str = "clang", device: Path = ROOT / "device") -> list[str]:
    """The command that runs a target; a C one is compiled unless these very sources are already.

    With gcc there is no fuzzer: the program runs the files that it is given. device: folder of the sources.
    """
    if target in PYTHON:
        return [sys.executable, str(_HERE / f"fuzz_{target}.py")]
    system.require(*(system.FUZZER if compiler == "clang" else ("gcc",)))
    sources = [_HERE / f"{target}.c", *(device / part for part in SOURCES[target])]
    include = [device, _TESTS, _HERE]
    if target in _NEED_FLASH:
        sources.append(_TESTS / "nor_flash.c")
    sanitizers = "address,undefined"
    if compiler == "clang":
        sanitizers += ",fuzzer"
    else:
        sources.append(_HERE / "replay.c")
    flags = (*_FLAGS, f"-fsanitize={sanitizers}")

    def compiled(source: Path) -> Path:
        return _object(compiler, source, (*flags, *_WARNINGS), include)

    folder = FOLDER / "programs"
    with locked(folder / f"{compiler}-{target}"):
        with ThreadPoolExecutor(AT_ONCE) as pool:
            objects = list(pool.map(compiled, sources))
        program = folder / f"{compiler}-{target}-{_digest(*(path.name for path in objects))}"
        if not program.is_file():
            _forget_old(folder, FOLDER / "objects")
            partial = folder / f"{compiler}-{target}.new"
            _compile([compiler, *flags, *map(str, objects), "-o", str(partial)])
            partial.replace(program)
        program.touch()  # in use
    return [str(program)]


def _object(compiler: str, source: Path, flags: Sequence[str], include: Sequence[Path]) -> Path:
    """Compile one source, unless it is compiled already with these flags and headers."""
    headers = sorted(path for folder in include for path in folder.rglob("*.h"))
    contents = (path.read_bytes() for path in (source, *headers))
    name = _digest(compiler, *flags, *contents)
    target = FOLDER / "objects" / f"{source.stem}-{name}.o"
    if not target.is_file():
        partial = target.with_suffix(f".{os.getpid()}")
        search = [f"-I{folder}" for folder in include]
        _compile([compiler, *flags, *search, "-c", str(source), "-o", str(partial)])
        partial.replace(target)
    target.touch()  # in use
    return target


def _forget_old(*folders: Path) -> None:
    # Not at once: another run may be about to start a program of other sources.
    for path in (path for folder in folders for path in folder.iterdir()):
        if path.suffix != ".lock" and time.time() - path.stat().st_mtime > _KEPT_S:
            path.unlink(missing_ok=True)


def _digest(*parts: str | bytes) -> str:
    whole = b"\0".join(part if isinstance(part, bytes) else part.encode() for part in parts)
    return hashlib.sha256(whole).hexdigest()[:16]


def make_seeds() -> Path:
    """The folder of seeds, one folder a target."""
    folder = FOLDER / "seeds"
    _run([sys.executable, str(_HERE / "make_seeds.py"), str(folder)], 120, check=True)
    return folder


def replay(command: Sequence[str], files: Sequence[Path]) -> str:
    """Run a target once on each file: what it said when it broke, "" when it did not."""
    done = _run([*command, *map(str, files)], 60 + _INPUT_SECONDS_MAX * len(files))
    return "" if done.returncode == 0 else done.stderr


def fuzz_one(
    target: str, command: Sequence[str], seconds: float, folder: Path = FOLDER, seed: int = 0
) -> Fuzzed:
    """One target for so long, its corpus and its findings kept in `folder`; make_seeds() comes first."""
    room = folder / target
    grown, broken = room / "corpus", room / "findings"
    for needed in (grown, broken, CORPUS / target):
        needed.mkdir(parents=True, exist_ok=True)
    before = set(broken.iterdir())
    options = [f"-max_total_time={max(1, round(seconds))}", f"-artifact_prefix={broken}/"]
    options += [f"-seed={seed}"]
    if target not in PYTHON:
        options += ["-print_final_stats=1", f"-max_len={_INPUT_BYTES_MAX}", "-verbosity=0"]
        options += [f"-timeout={_INPUT_SECONDS_MAX}", f"-rss_limit_mb={_MEMORY_MB_MAX}"]
    folders = [grown, CORPUS / target, FOLDER / "seeds" / target]
    done = _run([*command, *options, *map(str, folders)], 2 * seconds + 300)
    inputs = sorted(set(broken.iterdir()) - before)
    if done.returncode != 0 and not inputs:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise TactusError(
            f"target {target} ended with exit code {done.returncode}: {last}",
            f"run it by hand: {' '.join(command)}",
        )
    return Fuzzed(
        target,
        _figure(done.stderr, "number_of_executed_units"),
        _figure(done.stderr, "average_exec_per_sec"),
        tuple(
            Finding(_cause(done.stderr), path, _by_hand(target, command, path)) for path in inputs
        ),
    )


def _figure(said: str, name: str) -> int:
    found = re.findall(rf"stat::{name}:\s*(\d+)", said)
    return int(found[-1]) if found else 0


def _cause(said: str) -> str:
    lines = said.strip().splitlines()
    return next((line.strip() for line in lines if _FOUND.search(line)), lines[-1] if lines else "")


def _by_hand(target: str, command: Sequence[str], path: Path) -> str:
    prefix = f"PYTHONPATH={_python_path()} " if target in PYTHON else ""
    return f"{prefix}{' '.join(command)} {path}"


def _python_path() -> str:
    return os.pathsep.join(map(str, (ROOT, ROOT / "device", _TESTS)))


def _environment() -> dict[str, str]:
    # Targets free what they take, and a leak check after each run needs rights that containers lack.
    return {**os.environ, "PYTHONPATH": _python_path(), "ASAN_OPTIONS": "detect_leaks=0"}


def _run(
    command: Sequence[str], timeout_s: float, check: bool = False
) -> "subprocess.CompletedProcess[str]":
    FOLDER.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        command,
        env=_environment(),
        cwd=FOLDER,  # where a replay leaves what broke it
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        timeout=timeout_s,
        check=False,
    )
    if check and done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise TactusError(f"{Path(command[1]).name} failed: {last}", "run it by hand")
    return done


def _compile(command: list[str]) -> None:
    Path(command[-1]).parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if "error" in line]
        raise TactusError(
            f"a target of fuzzing does not compile: {(errors or ['no message'])[0]}",
            f"run it by hand: {' '.join(command)}",
        )
