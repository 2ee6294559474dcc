"""`bench parity`: the conformance suite on a board, and the table of it in the documentation."""

from collections.abc import Callable, Mapping
from typing import Any

from host.bench.conformance import Case, Run, Verdict, collect, judge
from host.bench.host_engine import HostEngine
from host.boards import ROOT, load_board
from host.errors import UsageError
from host.export.support import FLOAT, NO_LINE, SUPPORTED

TABLE = ROOT / "host" / "compile" / "COVERAGE.md"

_HEAD = """\
# Coverage

ExecuTorch's own test cases for Cortex-M, taken from the installed wheel
(`backends/cortex_m/test/ops` and `test/models`), through export, compiler and engine, compared
byte for byte with the reference execution of the same lowered program: the wheel's example inputs
and {variations} random variations each. Written by `python -m host.bench.parity`; the test suite
holds it to the truth.

{passed} of {total} cases pass ({percent:.1f} %).

Not counted, because no MCU holds them and the wheel alone cannot import them: mobilenet_v2 and
mobilenet_v3 (224 x 224, torchvision's weights), wav2letter (26 MB of weights), yolo11 (640 x 640).

## Operators

| operator | kernel |
|---|---|
{operators}
An operator without a kernel became a decision about memory layout, or a copy (`strided`) where
memory leaves no choice. Kernels of float32 run what ExecuTorch's quantizer leaves alone in programs
that are lowered as they are; an int8 application that contains such an operator is refused.

## Unsupported

| case | reason |
|---|---|
"""


def run_parity(board: str, progress: Callable[[str], None]) -> dict[str, Any]:
    """{"passed", "failed", "unsupported": [names], "total"} of all cases on a board."""
    verdicts = judge_all(board, progress)
    outcomes = [verdict.outcome for verdict in verdicts.values()]
    return {
        "passed": outcomes.count("passed"),
        "failed": outcomes.count("failed"),
        "unsupported": [name for name, v in verdicts.items() if v.outcome == "unsupported"],
        "total": len(outcomes),
    }


def judge_all(board: str, progress: Callable[[str], None]) -> dict[str, Verdict]:
    """Every case of the wheel, by name."""
    run = runner(board)
    verdicts: dict[str, Verdict] = {}
    for case in collect():
        verdicts[case.name] = verdict = judge_case(case, run, board)
        if verdict.outcome != "passed":
            progress(f"{verdict.outcome} {case.name}: {verdict.reason}")
    return verdicts


def judge_case(case: Case, run: Run, board: str) -> Verdict:
    """One case."""
    return judge(case, load_board(board), run)


def runner(board: str) -> Run:
    """What runs an image on a board. Raises UsageError for a board that cannot run bare images."""
    if board != "host":
        raise UsageError(f"bench parity does not run on {board}", "use --board host")
    engine = HostEngine()
    return lambda planned, inputs: engine.run(planned.image, inputs, planned.arena_bytes)


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
