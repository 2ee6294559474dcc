"""`test`: everything that must hold, on a machine that has nothing yet."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from host.boards import BUILD, ROOT
from host.errors import ExitCode, TactusError
from host.setup import ensure_extras
from host.verbs import Console


class TestsFailedError(TactusError):
    """A check or a test failed."""

    exit_code = ExitCode.FAILURE


def _c_sources() -> list[str]:
    folders = (ROOT / "device", ROOT / "boards", ROOT / "host", ROOT / "tests")
    return [str(f) for folder in folders for f in sorted(folder.rglob("*.[ch]"))]


def run(console: Console, only: str) -> dict[str, Any]:
    """Style, types, then pytest. Raises TestsFailedError naming what failed."""
    from host.flash.system import require_for_tests
    from host.progress import on_terminal

    started = time.monotonic()
    with on_terminal() as progress:
        ensure_extras("export", "report", "dev", progress=progress)
        require_for_tests(progress)
    python = [sys.executable, "-m"]
    checks: dict[str, list[str]] = {
        "ruff check": [*python, "ruff", "check", "."],
        "ruff format": [*python, "ruff", "format", "--check", "."],
        "mypy": [*python, "mypy"],
        "clang-format": [
            str(Path(sys.executable).with_name("clang-format")),
            "--dry-run",
            "-Werror",
            *_c_sources(),
        ],
    }
    failed = []
    if not only:
        for name, command in checks.items():
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            console.say(f"{name}: {'ok' if done.returncode == 0 else 'FAILED'}")
            if done.returncode != 0:
                failed.append(name)
                console.say((done.stdout + done.stderr).strip())
    BUILD.mkdir(exist_ok=True)
    pytest = [*python, "pytest"]
    if only:
        pytest += ["-k", only]
    stdout = sys.stderr if console.as_json else None
    if subprocess.run(pytest, cwd=ROOT, stdout=stdout, check=False).returncode != 0:
        failed.append("pytest")
    seconds = round(time.monotonic() - started, 1)
    result = {"failed": failed, "seconds": seconds}
    if failed:
        raise TestsFailedError(
            f"failed: {', '.join(failed)}", "the output above names each one", result
        )
    return result
