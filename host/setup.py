"""Parts of the environment that only some verbs need, installed when they are first asked for."""

import importlib.util
import subprocess
import sys

from host.boards import ROOT
from host.errors import MissingError
from host.progress import Progress, silent

_PROBES = {
    "export": ("torch", "executorch", "torchao", "tosa", "ml_dtypes", "sklearn"),
    "report": ("matplotlib", "jinja2"),
    "dev": ("pytest", "hypothesis", "ruff", "mypy", "clang_format"),
}


def ensure_extras(*extras: str, progress: Progress = silent) -> None:
    """Install extras of this project that are missing into the virtual environment.

    Raises MissingError outside a virtual environment, or when pip fails.
    """
    wanted = [
        extra
        for extra in extras
        if any(importlib.util.find_spec(module) is None for module in _PROBES[extra])
    ]
    if not wanted:
        return
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--editable"]
    command.append(f"{ROOT}[{','.join(wanted)}]")
    if sys.prefix == sys.base_prefix:
        raise MissingError(
            f"this Python lacks the parts {', '.join(wanted)}",
            f"run inside a virtual environment, or: {' '.join(command)}",
        )
    progress(f"installing {', '.join(wanted)} (once)", None)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
        raise MissingError(f"could not install {', '.join(wanted)}: {last}", " ".join(command))
    importlib.invalidate_caches()
