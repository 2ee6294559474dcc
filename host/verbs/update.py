"""`update`: a package on a board that runs, from wherever the board stands."""

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

from host.errors import UsageError
from host.install import FindBase, Update, check_package, update_board
from host.link.ports import find_port
from host.link.session import connect
from host.package import sent
from host.package.read import parse_package
from host.progress import transfer_on_terminal
from host.verbs import Console


def run(console: Console, package: str, board: str, port: str, base: str = "") -> dict[str, Any]:
    """Check the package, send what the board lacks, let it try, report its verdict.

    base: a file of the package that the board runs; without it, one that was sent from here before.

    Raises PackageError before anything is sent when the board would refuse; what ran before runs on then.
    """
    data = _read(Path(package))
    info = parse_package(data)
    find_base = _only(Path(base)) if base else sent.find
    path = find_port(board or None, port or None)
    with connect(board or None, path) as session:
        check_package(session, info)
    with transfer_on_terminal(len(data)) as progress:
        done = update_board(lambda: connect(board or None, path), data, progress, find_base)
    console.say(_sentence(done))
    return {"port": path, **asdict(done)}


def _sentence(done: Update) -> str:
    if done.outcome == "unchanged":
        return f"{done.now} runs already, unchanged"
    before = f", before it {done.before}" if done.before else ""
    resumed = f", resumed at {done.resumed_at:,}" if done.resumed_at else ""
    what = f"{done.sent_bytes:,} of {done.package_bytes:,} B sent"
    if done.delta_bytes is not None:
        what = f"{done.delta_bytes:,} B of changes sent, of {done.package_bytes:,} B"
    return (
        f"{done.now} runs and is confirmed{before}; {done.seconds:.1f} s, "
        f"{what}{resumed}, "
        f"{done.wire_bytes:,} B on the wire"
    )


def _only(file: Path) -> FindBase:
    """Gives the package of the file. Raises UsageError when the board runs another one."""
    base = _read(file)

    def find(sha256: bytes) -> bytes:
        if hashlib.sha256(base).digest() != sha256:
            raise UsageError(f"{file} is not the package that the board runs", "leave out --base")
        return base

    return find


def _read(file: Path) -> bytes:
    if file.is_dir():
        raise UsageError(
            f"{file} is a folder",
            f"build and install an application with `flash --app {file}`; `update` takes a .tpk file",
        )
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(
            f"cannot read {file}: {error.strerror}", "name a .tpk file that `build` wrote"
        ) from error
