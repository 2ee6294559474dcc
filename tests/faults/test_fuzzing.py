"""Every fuzzing target: the corpus is replayed, then 30 seconds of inputs; and a planted fault is found."""

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
from host.errors import MissingError, UsageError
from host.flash import system
from host.verbs import Console
from host.verbs import fuzz as verb

SECONDS, SEED = 30, 1
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


def test_thirty_seconds_of_inputs_break_no_target(tmp_path: Path) -> None:
    if reason := why_not():
        pytest.skip(reason)
    # The same inputs each time, as the rest of the suite; the verb draws new ones.
    found = fuzz(SECONDS, seed=SEED, folder=tmp_path)
    assert set(found) == set(TARGETS)
    for name, run in found.items():
        assert run.executions > 1000, f"{name} hardly ran: {run}"
        assert not run.findings, f"{name}: {run.findings[0].what}\n{run.findings[0].replay}"


PLANTED = {
    "console": ("link/console.c", "- CRC_BYTES > c->limit", "- CRC_BYTES > c->limit + 9U"),
    "plan": ("engine/plan.c", "fits(offset, bytes, c->arena", "fits(offset, bytes / 2, c->arena"),
    "journal": ("store/journal.c", "info->received > info->length", "0"),
    "patch": ("store/patch.c", "p->left > s->base_bytes - p->cursor", "0"),
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
    run = fuzz_one(target, build_target(target, device=device), SECONDS, tmp_path / "fuzz", SEED)
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


def test_without_clang_the_command_that_installs_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(system.shutil, "which", lambda name: None)
    monkeypatch.setattr(system.os, "geteuid", lambda: 1000)
    assert "libclang-rt-dev" in why_not()
    with pytest.raises(MissingError, match="not installed: clang, libclang-rt-dev") as error:
        fuzz(1, ["console"])
    assert error.value.exit_code == 3
    assert error.value.remedy.endswith(
        "apt-get install -y --no-install-recommends clang libclang-rt-dev"
    )


def test_an_unknown_target_and_minutes_that_are_none_are_usage_errors() -> None:
    console = Console(as_json=True, verbose=False)
    with pytest.raises(UsageError, match="no target of fuzzing is called 'x'"):
        verb.run(console, "1", "x")
    for minutes in ("0", "-1", "nan", "soon"):
        with pytest.raises(UsageError, match="--minutes is"):
            verb.run(console, minutes, "")


def test_the_verb_prints_the_figures_of_a_target(capsys: pytest.CaptureFixture[str]) -> None:
    result = verb.run(Console(as_json=True, verbose=False), "0.05", "cbor")
    assert result["fuzz"].keys() == {"cbor"}
    assert result["fuzz"]["cbor"]["findings"] == 0
    assert f"cbor: {result['fuzz']['cbor']['executions']:,} executions" in capsys.readouterr().err
