"""`bench link`: how fast a board answers."""

import time
from dataclasses import asdict, dataclass
from typing import Any

from host.link.session import connect

_ECHOES = 50


@dataclass(frozen=True, slots=True)
class LinkResult:
    """Request rate while the tasks stand still, the board's message size, requests sent again."""

    requests_per_second: float
    message_bytes: int
    retries: int

    def as_json(self) -> dict[str, Any]:
        """The object that `bench link --json` prints, without the board."""
        return asdict(self)


def measure_link(board_name: str) -> LinkResult:
    """Stop the board's tasks, echo, and let them run again. Raises LinkError."""
    with connect(board_name) as session:
        session.tactus.stop()
        try:
            started = time.monotonic()
            for index in range(_ECHOES):
                session.os.echo(f"echo {index}")
            per_second = _ECHOES / (time.monotonic() - started)
            buffer = session.os.params().buf_size
            retries = session.client.counters.retries
        finally:
            if session.info.running:
                session.tactus.run(session.info.speed)
    return LinkResult(round(per_second, 1), buffer, retries)
