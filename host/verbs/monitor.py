"""`monitor`: tasks, misses and jitter, live."""

import sys
import time

from host.verbs import Console


def run(console: Console, board: str, port: str, seconds: float) -> None:
    """Watch until Ctrl-C, or for a time."""
    from host.link.session import connect
    from host.link.tactus_group import StatsSnapshot
    from host.monitor.live import choose_view, watch

    give_up = time.monotonic() + seconds if seconds > 0 else None

    def done(frame: StatsSnapshot) -> bool:
        return give_up is not None and time.monotonic() >= give_up

    with connect(None if port else board, port or None) as session:
        watch(session, choose_view(console.as_json, sys.stdout), done)
