"""`status`: what a board runs and why."""

from typing import Any

from host.verbs import Console


def run(console: Console, board: str, port: str) -> dict[str, Any]:
    """Ask the board and show it."""
    from host.link.session import connect
    from host.monitor.status import read_status, status_json, status_view

    with connect(board or None, port or None) as session:
        status = read_status(session)
    if not console.as_json:
        console.show(status_view(status))
    return status_json(status)
