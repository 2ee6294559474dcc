"""The SMP tools that others wrote, in an environment of their own: they judge what a board says.

`smpmgr` brings `smpclient` and `smp`. Their dependencies disagree with ours, so they never enter `.venv`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from host.boards import BUILD
from host.flash.lock import locked

VERSIONS = ("smpmgr==0.19.1", "smpclient==7.3.0", "smp==4.2.0")
_FOLDER = BUILD / "cache" / VERSIONS[0].replace("==", "-")
_OFFLINE = ("from versions: none", "connection", "timed out", "resolve")


def stock_python() -> Path:
    """The interpreter that has the tools. Skips the test where no package index is reachable."""
    with locked(_FOLDER):
        complete = _FOLDER / "complete"
        if not complete.is_file():
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(_FOLDER)], check=True)
            done = subprocess.run(
                [str(_FOLDER / "bin" / "python"), "-m", "pip", "install", "-q", *VERSIONS],
                capture_output=True,
                text=True,
                timeout=600,
                check=False,
            )
            if done.returncode and any(word in done.stderr.lower() for word in _OFFLINE):
                pytest.skip(f"no package index is reachable, so there is no {VERSIONS[0]} to test")
            assert done.returncode == 0, done.stderr[-2000:]
            complete.touch()
    return _FOLDER / "bin" / "python"


class Smpmgr:
    """Runs the command line on one port."""

    def __init__(self, port: Path) -> None:
        self._command = [str(stock_python()), "-m", "smpmgr", "--port", str(port)]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self._command, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def fails(self, *arguments: str) -> str:
        """What it prints where the board refuses."""
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=120)
        assert "ValidationException" not in output, output  # it could not even read the reply
        return output

    def __call__(self, *arguments: str) -> str:
        """What it prints. It exits with 0 on some refusals too, so that alone says little."""
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
        return output
