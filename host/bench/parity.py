"""`bench parity`: the conformance suite on a board, and the table of it in the documentation."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from host.bench.bare_batch import ARENA_BYTES, Trial, run_trials
from host.bench.bare_metal import bench_folder
from host.bench.conformance import Answers, Case, Compiled, Verdict, collect, compare, compiled
from host.bench.host_engine import HostEngine
from host.boards import ROOT, Board, load_board
from host.errors import TactusError
from host.export.support import FLOAT, NO_LINE, SUPPORTED

TABLE = ROOT / "host" / "compile" / "COVERAGE.md"

_AT_ONCE = 40  # cases that are judged together, so that an emulator starts once for them

Runner = Callable[[Sequence[Compiled]], Sequence[Answers | str]]
"""Runs compiled cases on a board: the answers of each, or why there are none."""

_HEAD = """\
# Coverage

ExecuTorch's own test cases for Cortex-M, taken from the installed wheel
(`backends/cortex_m/test/ops` and `test/models`), through export, compiler and engine, compared
byte for byte with the reference execution of the same lowered program: the wheel's example inputs
and {variations} random variations each. Written by `python -m host.bench.parity`; the test suite
holds it to the truth. `bench parity --board qemu-m4` runs every case on the emulated Cortex-M4F too, with
packed weights and with plain ones.

{passed} of {total} cases pass ({percent:.1f} %).

Not counted, because no MCU holds them and the wheel alone cannot import them: mobilenet_v2 and
mobilenet_v3 (224 x 224, torchvision's weights), wav2letter (26 MB of weights), yolo11 (640 x 640).

## Operators

| operator | kernel |
|---|---|
{operators}
An operator without a kernel became a decision about memory layout, or a copy (`strided`) where
memory leaves no choice. Kernels of float32 run what ExecuTorch's quantizer leaves alone in programs
that are lowered as they are, and tasks whose `precision` is `float32`; an int8 task that contains such an
operator is refused.

## Unsupported

| case | reason |
|---|---|
"""


def run_parity(board: str, progress: Callable[[str], None]) -> dict[str, Any]:
    """{"board", "passed", "failed", "unsupported": [names], "total"} of all cases on a board."""
    verdicts = judge_all(board, progress)
    outcomes = [verdict.outcome for verdict in verdicts.values()]
    return {
        "board": board,
        "passed": outcomes.count("passed"),
        "failed": outcomes.count("failed"),
        "unsupported": [name for name, v in verdicts.items() if v.outcome == "unsupported"],
        "total": len(outcomes),
    }


def judge_all(board: str, progress: Callable[[str], None]) -> dict[str, Verdict]:
    """Every case of the wheel, by name."""
    run, boards = runner(board), layouts(load_board(board))
    cases = collect()
    verdicts: dict[str, Verdict] = {}
    for first in range(0, len(cases), _AT_ONCE):
        found = judge(cases[first : first + _AT_ONCE], boards, run)
        for name, verdict in found.items():
            if verdict.outcome != "passed":
                progress(f"{verdict.outcome} {name}: {verdict.reason}")
        verdicts |= found
    return verdicts


def judge(cases: Iterable[Case], boards: Sequence[Board], run: Runner) -> dict[str, Verdict]:
    """Some cases, by name, in their order. A case passes that passes in every layout."""
    verdicts: dict[str, Verdict] = {}
    tried: list[tuple[str, Compiled]] = []
    for case in cases:
        try:
            versions = compiled(case, boards)
        except TactusError as error:
            verdicts[case.name] = Verdict("unsupported", error.cause)
            continue
        verdicts[case.name] = Verdict("passed")
        images: set[bytes] = set()
        for version in versions:  # nothing packed gives the same image twice
            if version.planned.image not in images:
                images.add(version.planned.image)
                tried.append((case.name, version))
    answers = run([version for _, version in tried])
    for (name, version), answer in zip(tried, answers, strict=True):
        verdict = Verdict("failed", answer) if isinstance(answer, str) else compare(version, answer)
        if verdict.outcome == "failed":
            verdicts[name] = verdict
    return verdicts


def layouts(board: Board) -> tuple[Board, ...]:
    """The board once for each layout of weights that it runs: its own, and plain C.

    With room for any arena: it is the kernels that are tried, on the core that the board has.
    """
    roomy = replace(board, arena_bytes=max(board.arena_bytes, ARENA_BYTES))
    if "dsp" not in board.features:
        return (roomy,)
    return (roomy, replace(roomy, features=tuple(f for f in board.features if f != "dsp")))


def runner(board: str) -> Runner:
    """What runs images on a board. Raises UsageError for a board that cannot run bare images."""
    if board == "host":
        engine = HostEngine()
        return lambda trials: [_on_this_machine(engine, trial) for trial in trials]
    core = load_board(board)
    bench_folder(core)
    return lambda trials: _emulated(core, trials)


def _on_this_machine(engine: HostEngine, trial: Compiled) -> Answers:
    planned = trial.planned
    return [engine.run(planned.image, inputs, planned.arena_bytes) for inputs in trial.inputs]


def _emulated(board: Board, trials: Sequence[Compiled]) -> list[Answers | str]:
    answers = run_trials(board, [Trial(one.planned.image, one.inputs) for one in trials])
    return [answer.failure or answer.runs for answer in answers]


def table(verdicts: Mapping[str, Verdict], variations: int) -> str:
    """The text of COVERAGE.md."""
    passed = [name for name, verdict in verdicts.items() if verdict.outcome == "passed"]
    text = _HEAD.format(
        variations=variations,
        passed=len(passed),
        total=len(verdicts),
        percent=100 * len(passed) / len(verdicts),
        operators="".join(
            f"| {name} | {kernel or '-'} |\n" for name, kernel in {**SUPPORTED, **FLOAT}.items()
        ),
    )
    for name, verdict in verdicts.items():
        if verdict.outcome != "passed":
            reason = verdict.reason.replace("|", "/").replace(f" (from {NO_LINE})", "")
            text += f"| `{name}` | {reason} |\n"
    groups: dict[str, list[str]] = {}
    for name in passed:
        group, _, key = name.rpartition("/")
        groups.setdefault(group, []).append(key)
    text += "\n## Passed\n"
    for group, keys in groups.items():
        text += f"\n**{group}**: " + ", ".join(f"`{key}`" for key in keys) + "\n"
    return text


def read_table(text: str) -> dict[str, bool]:
    """Case name -> whether the table says that it passes."""
    unsupported, _, passed = text.partition("## Passed")
    named: dict[str, bool] = {}
    for line in unsupported.splitlines():
        if line.startswith("| `"):
            named[line.split("`")[1]] = False
    for line in passed.splitlines():
        if line.startswith("**"):
            group = line.split("**")[1]
            for key in line.split("`")[1::2]:
                named[f"{group}/{key}"] = True
    return named


if __name__ == "__main__":
    from host.bench.conformance import VARIATIONS

    TABLE.write_text(table(judge_all("host", print), VARIATIONS))
