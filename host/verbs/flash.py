"""`flash`: firmware on the board, recorded data beside it, and an application on top."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from host.boards import load_board
from host.errors import UsageError
from host.setup import ensure_extras
from host.verbs import Console
from host.verbs.build import chosen_signer

if TYPE_CHECKING:
    from host.package.keys_roots import RootKeys


def run(
    console: Console,
    board: str,
    app: str,
    package: str,
    port: str,
    erase: bool,
    keys: str = "",
    passphrase_fd: str = "",
) -> dict[str, Any]:
    """Flash a board and install an application on it; or only install a package that is there.

    With a port the board is a real one: its firmware and its recorded data stay as they are.
    """
    from host.install import install_package
    from host.progress import on_terminal

    if app and package:
        raise UsageError("--app and --package together", "name one of them")
    if port and not (app or package):
        raise UsageError("--port without something to install", "add --app NAME or --package FILE")
    if erase and (port or package):
        raise UsageError("--erase is for emulated boards that get firmware", "leave it out")
    facts = load_board(board)
    signer = chosen_signer(keys, passphrase_fd) if app else None
    data: bytes | None = None
    replay: bytes | None = None
    with on_terminal() as progress:
        if package:
            data = _read(Path(package))
        elif app:
            ensure_extras("export", progress=progress)
            from host.build import build_app

            built = build_app(app, board, progress, signer)
            data, replay = built.package, built.replay
        path = port
        if not port and not package:
            from host.flash.flasher import flash_board

            trust = _trusted(keys)
            path = str(flash_board(facts, replay, *trust, erase=erase, progress=progress).port)
        outcome = "none"
        if data is not None:
            outcome = install_package(board, port or None, data, progress)
    if path:
        console.say(f"{board} runs on {path}")
    if data is not None:
        console.say(f"{app or package}: {outcome}")
    return {"board": board, "port": path or None, "app": app or None, "package": outcome}


def _trusted(folder: str) -> "tuple[RootKeys, str]":
    """The root keys for the firmware: of a key folder, or the demo's."""
    if folder:
        from host.package.keys_folder import KeyFolder

        return KeyFolder.open(Path(folder).expanduser()).trusted()
    from host.package.keys import trusted

    return trusted()


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(
            f"cannot read {file}: {error.strerror}", "name a .tpk file that `build` wrote"
        ) from error
