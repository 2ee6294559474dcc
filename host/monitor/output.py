"""Opening the files that a person names for what a verb writes."""

from pathlib import Path
from typing import Literal, TextIO

from host.errors import UsageError


def open_output(path: Path, mode: Literal["w", "a"]) -> TextIO:
    """Open a text file and the folders it lies in. Raises UsageError when that is refused."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open(mode, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror}", "name a file in a folder you may write to"
        ) from error
