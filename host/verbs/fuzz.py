"""`fuzz`: hostile bytes for everything that reads from a wire or from flash."""

from typing import Any

from host.errors import ExitCode, TactusError, UsageError
from host.setup import ensure_extras
from host.verbs import Console

_MINUTES_MIN, _MINUTES_MAX = 0.01, 60 * 24 * 7


class FindingError(TactusError):
    """An input broke a target."""

    exit_code = ExitCode.FAILURE


def run(console: Console, minutes: str, target: str) -> dict[str, Any]:
    """Split the minutes over the targets. Raises FindingError with the figures when one was broken."""
    from host.progress import on_terminal

    try:
        length = float(minutes)
    except ValueError:
        length = float("nan")
    if not _MINUTES_MIN <= length <= _MINUTES_MAX:
        raise UsageError(
            f"--minutes is {minutes!r}", f"choose a number from {_MINUTES_MIN:g} to {_MINUTES_MAX}"
        )
    with on_terminal() as progress:
        from host.bench.fuzz import AT_ONCE, checked_targets, fuzz

        chosen = checked_targets([target] if target else [])
        ensure_extras("dev", progress=progress)
        seconds = 60 * length * min(AT_ONCE, len(chosen)) / len(chosen)
        found = fuzz(seconds, chosen, progress)
    broken = []
    for name, run in found.items():
        console.say(
            f"{name}: {run.executions:,} executions, {run.executions_per_s:,}/s, "
            f"{len(run.findings)} findings"
        )
        for finding in run.findings:
            broken.append(name)
            console.say(f"  {finding.what}\n  see it again: {finding.replay}")
    result = {"minutes": length, "fuzz": {name: run.as_json() for name, run in found.items()}}
    if broken:
        raise FindingError(
            f"broken: {', '.join(broken)}; the inputs are kept in build/fuzz",
            "mend it, and keep the input in tests/fuzz/corpus/<target>",
            result,
        )
    return result
