"""Packages that this computer has sent, by their SHA-256: what a delta is made against.

A board is never asked to send its package back: that would cost as much as sending a whole new one.
"""

import hashlib
import os
from pathlib import Path

from host.boards import BUILD

FOLDER = BUILD / "packages"
KEPT = 50


def remember(package: bytes, folder: Path = FOLDER) -> None:
    """Keep a package that a board may run from now on; the one used longest ago makes room."""
    folder.mkdir(parents=True, exist_ok=True)
    file = _file(hashlib.sha256(package).digest(), folder)
    if file.is_file():
        os.utime(file)
        return
    fresh = file.with_suffix(f".{os.getpid()}")
    fresh.write_bytes(package)
    fresh.replace(file)
    by_age = sorted(folder.glob("*.tpk"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in by_age[KEPT:]:
        old.unlink(missing_ok=True)


def find(sha256: bytes, folder: Path = FOLDER) -> bytes | None:
    """The package with this digest, None when it is not here or not what it was."""
    try:
        package = _file(sha256, folder).read_bytes()
    except OSError:
        return None
    return package if hashlib.sha256(package).digest() == sha256 else None


def _file(sha256: bytes, folder: Path) -> Path:
    return folder / f"{sha256.hex()}.tpk"
