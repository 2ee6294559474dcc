"""Every fuzzing target: the corpus is replayed, then 30 seconds of new inputs; and a planted fault is found."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from host.bench.fuzz import (
    CORPUS,
    PYTHON,
    SOURCES,
    TARGETS,
    build_target,
    fuzz,
    fuzz_one,
    make_seeds,
    replay,
)
from host.boards import ROOT
from host.errors import MissingError
from host.flash import system

SECONDS = 30
FUZZ = ROOT / "tests" / "fuzz"


def why_not() -> str:
    """Why nothing can be fuzzed here, "" when it can."""
    try:
        system.require(*system.FUZZER)
    except MissingError as error:
        return f"{error.cause}; {error.remedy}"
    return ""


@pytest.fixture(scope="module")
def compiler() -> str:
    """clang, or gcc with the same sanitizers, which is enough to replay."""
    return "gcc" if why_not() else "clang"


@pytest.fixture(scope="module")
def seeds() -> Path:
    return make_seeds()


@pytest.mark.parametrize("target", TARGETS)
def test_no_seed_and_no_input_that_once_broke_it_breaks_a_target(
    target: str, compiler: str, seeds: Path
) -> None:
    files = [*sorted((CORPUS / target).iterdir()), *sorted((seeds / target).iterdir())]
    assert files
    assert replay(build_target(target, compiler), files) == ""


def test_every_target_has_its_program_and_no_corpus_is_orphaned() -> None:
    programs = {path.stem for path in FUZZ.glob("*.c")} - {"replay"}
    assert programs == set(SOURCES)
    assert {path.stem for path in FUZZ.glob("fuzz_*.py")} == {f"fuzz_{name}" for name in PYTHON}
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)


def test_thirty_seconds_of_new_inputs_break_no_target() -> None:
    if reason := why_not():
        pytest.skip(reason)
    found = fuzz(SECONDS)
    assert set(found) == set(TARGETS)
    for name, run in found.items():
        assert run.executions > 1000, f"{name} hardly ran: {run}"
        assert not run.findings, f"{name}: {run.findings[0].what}\n{run.findings[0].replay}"


PLANTED = {
    "console": ("link/console.c", "- CRC_BYTES > c->capacity", "- CRC_BYTES > c->capacity + 1U"),
    "plan": ("engine/plan.c", "fits(offset, bytes, c->arena", "fits(offset, bytes / 2, c->arena"),
    "journal": ("store/journal.c", "info->received > info->length", "0"),
    "telemetry": ("store/telemetry.c", "p[1] > TAC_TELEMETRY_RECORD_MAX", "0"),
}


@pytest.mark.parametrize("target", PLANTED)
def test_a_planted_fault_is_found(target: str, tmp_path: Path, seeds: Path) -> None:
    if reason := why_not():
        pytest.skip(reason)
    device = tmp_path / "device"
    shutil.copytree(ROOT / "device", device, ignore=shutil.ignore_patterns("__pycache__"))
    file, right, wrong = PLANTED[target]
    source = (device / file).read_text()
    assert right in source
    (device / file).write_text(source.replace(right, wrong, 1))
    run = fuzz_one(target, build_target(target, device=device), SECONDS, tmp_path / "fuzz")
    (finding,) = run.findings
    assert finding.what and str(finding.input) in finding.replay
    assert replay(build_target(target, device=device), [finding.input]) != ""
    assert replay(build_target(target), [finding.input]) == ""


def test_what_breaks_a_python_target_is_kept_and_replayed(tmp_path: Path) -> None:
    script = "import mutate\nmutate.main(lambda data: mutate.must(data[:1] != b'\\xa0', 'no maps'))"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(FUZZ)!r})\n{script}"]
    run = fuzz_one("cbor", command, SECONDS, tmp_path)
    (finding,) = run.findings
    assert finding.what == "SUMMARY: Finding: no maps"
    assert finding.input.read_bytes()[:1] == b"\xa0"
    assert "no maps" in replay(command, [finding.input])
