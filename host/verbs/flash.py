"""`flash`: firmware on the board, recorded data beside it, and an application on top."""

from typing import Any

from host.boards import load_board
from host.errors import UsageError
from host.setup import ensure_extras
from host.verbs import Console


def run(console: Console, board: str, app: str, port: str, erase: bool) -> dict[str, Any]:
    """Flash a board; with an application, install it and tell what happened."""
    from host.progress import on_terminal

    facts = load_board(board)
    if port and not app:
        raise UsageError("--port is for installing an application", "add --app NAME")
    with on_terminal() as progress:
        built = None
        if app:
            ensure_extras("export", progress=progress)
            from host.build import build_app

            built = build_app(app, board, progress)
        from host.flash.flasher import flash_board
        from host.package.keys import trusted

        path = flash_board(
            facts, built.replay if built else None, *trusted(), erase=erase, progress=progress
        ).port
        outcome = "none"
        if built:
            from host.install import install_package

            outcome = install_package(board, port or None, built.package, progress)
    console.say(f"{facts.name} runs on {path}")
    if built:
        console.say(f"{built.report['app']} {built.report['version']}: {outcome}")
    return {"board": board, "port": str(path), "app": app or None, "package": outcome}
