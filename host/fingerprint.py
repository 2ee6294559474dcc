"""What shapes a build, as one digest: a finished build is reused while it stays the same."""

import hashlib
import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

from host.appfile import App
from host.boards import ROOT, Board
from host.schedule.wcet_table import tables_folder

_SHAPING = (
    "appfile.py",
    "answers.py",
    "build.py",
    "build_report.py",
    "boards.py",
    "export",
    "compile",
    "schedule",
    "package",
)
_VERSIONED = ("torch", "torchao", "executorch", "numpy", "scikit-learn")


def fingerprint(app: App, board: Board, signer: bytes) -> str:
    """Digest of everything that shapes a build."""
    digest = hashlib.sha256(signer)
    for name in _VERSIONED:
        digest.update(f"{name} {importlib.metadata.version(name)}\0".encode())
    own = [board.folder / "board.toml", *(ROOT / "host" / name for name in _SHAPING)]
    own += [ROOT / "device" / "engine", tables_folder(board)]  # what measured times belong to
    for top in (app.path.parent, *own, ROOT / "protocol"):
        for file in _files(top):
            data = file.read_bytes()
            digest.update(f"{file.relative_to(top)} {len(data)}\0".encode() + data)
    return digest.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    """Every file that an application or a part of the host consists of."""
    if path.is_file():
        yield path
    for file in sorted(path.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            yield file
