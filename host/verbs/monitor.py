"""`monitor`: tasks, misses and jitter, live."""

import sys
import time

from host.verbs import Console, whole_number

_DAY_S = 86_400


def run(console: Console, board: str, port: str, seconds: str) -> None:
    """Watch until Ctrl-C, or for a time."""
    from host.link.session import connect
    from host.link.tactus_group import StatsSnapshot
    from host.monitor.live import choose_view, watch

    length_s = whole_number("--seconds", seconds, 0, 365 * _DAY_S)
    give_up = time.monotonic() + length_s if length_s > 0 else None

    def done(frame: StatsSnapshot) -> bool:
        return give_up is not None and time.monotonic() >= give_up

    with connect(board or None, port or None) as session:
        try:
            watch(session, choose_view(console.as_json, sys.stdout), done)
        except KeyboardInterrupt:
            return  # how a person ends it
