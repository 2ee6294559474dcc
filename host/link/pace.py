"""How long to wait for an answer on this line before the request counts as lost.

Smoothed round trips as RFC 6298 has them, only of requests that were sent once (Karn and Partridge, 1987). The
shortest wait shrinks while losses are real and grows when an answer was only late, so that a bad line is not waited for
and a busy board is not flooded.
"""

_CLEAN_FLOOR_S = 1.0  # a busy computer, not a loss, until one is proved
_FLOOR_S = 0.25
_FLOOR_MIN_S, _FLOOR_MAX_S = 0.02, 1.0
_BACKOFF = 1.5
_WAIT_MAX_S = 2.0  # between attempts


class Pace:
    """Round trips of one line; times in seconds."""

    def __init__(self, clean_s: float = _CLEAN_FLOOR_S) -> None:
        """`clean_s`: the shortest wait while nothing was lost."""
        self._clean_s = clean_s
        self._smoothed: float | None = None
        self._variation = 0.0
        self._floor = _FLOOR_S
        self.is_clean = True  # nothing has been lost so far

    def wait_s(self, attempt: int, longest_s: float) -> float:
        """How long to wait for the answer to attempt 0, 1, ...; `longest_s` at most."""
        if self._smoothed is None:
            return min(self._clean_s, longest_s)
        if not self.is_clean:  # losses are no sign of a busy board: insist
            steady = max(self._floor, self._smoothed + 2 * self._variation)
            return min(steady * _BACKOFF ** min(attempt // 8, 3), longest_s)
        once = max(self._clean_s, self._smoothed + 4 * self._variation)
        return min(once * _BACKOFF ** min(attempt, 8), max(_WAIT_MAX_S, once), longest_s)

    def answered(self, seconds: float, attempt: int) -> None:
        """Learn from an answer that came `seconds` after attempt number `attempt`."""
        if attempt == 0:
            self._learn(seconds)
        elif self._smoothed is None:
            self._learn(seconds)
            self.lost()
        elif seconds < self._smoothed / 2:  # the answer to an earlier attempt
            self.late()
        else:
            self.lost()

    def damaged(self, seconds: float) -> None:
        """An answer came `seconds` after the request, in pieces."""
        if self._smoothed is None:
            self._learn(seconds)
        self.lost()

    def lost(self) -> None:
        """A request or its answer was lost: waiting longer would not have helped."""
        self.is_clean = False
        self._floor = max(self._floor * 0.7, _FLOOR_MIN_S)

    def late(self) -> None:
        """An answer came after it had been given up."""
        self._floor = min(self._floor * 2, _FLOOR_MAX_S)

    def _learn(self, seconds: float) -> None:
        if self._smoothed is None:
            self._smoothed, self._variation = seconds, seconds / 2
            return
        self._variation += (abs(seconds - self._smoothed) - self._variation) / 4
        self._smoothed += (seconds - self._smoothed) / 8
