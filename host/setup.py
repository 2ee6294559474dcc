"""Parts of the environment that only some verbs need, installed when they are first asked for."""

import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path

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

    A stamp beside the environment says which pins an extra was installed with, so that a broken-off
    installation or a changed pin is seen. Raises MissingError outside a virtual environment, or when
    pip fails.
    """
    inside = sys.prefix != sys.base_prefix
    wanted = [extra for extra in extras if not (_is_stamped(extra) if inside else _is_there(extra))]
    if not wanted:
        return
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--editable"]
    command.append(f"{ROOT}[{','.join(wanted)}]")
    if not inside:
        raise MissingError(
            f"this Python lacks the parts {', '.join(wanted)}",
            f"run inside a virtual environment, or: {' '.join(command)}",
        )
    progress(f"installing {', '.join(wanted)} (once)", None)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
        raise MissingError(f"could not install {', '.join(wanted)}: {last}", " ".join(command))
    for extra in wanted:
        _stamp(extra).write_text(_pins(extra))
    importlib.invalidate_caches()


def _is_there(extra: str) -> bool:
    return all(importlib.util.find_spec(module) is not None for module in _PROBES[extra])


def _is_stamped(extra: str) -> bool:
    return (
        _is_there(extra) and _stamp(extra).is_file() and _stamp(extra).read_text() == _pins(extra)
    )


def _stamp(extra: str) -> Path:
    return Path(sys.prefix) / f".tactus-{extra}"


def _pins(extra: str) -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return "\n".join(project["optional-dependencies"][extra])
