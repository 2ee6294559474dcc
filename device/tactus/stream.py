"""Statistics snapshots, and the frames that carry them while a client holds a lease."""

import _tactus

_MASK = (1 << 30) - 1  # uptime_ms() counts modulo 2**30
_HALF = 1 << 29
_WAIT_MAX_MS = 1000
LEASE_MAX_MS = 600_000
PERIOD_MIN_MS = 20
PERIOD_MAX_MS = 60_000


def left_ms(at_ms):
    """Milliseconds until an instant of the wrapping clock, 0 when it has passed. Allocates nothing."""
    left = (at_ms - _tactus.uptime_ms()) & _MASK
    return left if left < _HALF else 0


class Lease:
    """A client's right to frames: until when, how often. Nobody gets a frame who did not ask.

    owes_events  the client has not yet been sent the events that led to the first miss
    """

    def __init__(self):
        self.owes_events = False
        self.active = False
        self._end_ms = 0
        self._next_ms = 0
        self._period_ms = 0

    def grant(self, lease_ms, period_ms):
        """Start or renew; a lease of 0 ends it. A renewal with the same period keeps the beat."""
        now_ms = _tactus.uptime_ms()
        if not self.active:
            self.owes_events = True
        if not self.active or period_ms != self._period_ms:
            self._next_ms = (now_ms + period_ms) & _MASK
        self.active = lease_ms > 0
        self._period_ms = period_ms
        self._end_ms = (now_ms + lease_ms) & _MASK

    def wait_us(self):
        """How long the loop may rest before due() has to be asked. Called under the heap lock."""
        if not self.active:
            return _WAIT_MAX_MS * 1000
        left = left_ms(self._next_ms)
        return min(_WAIT_MAX_MS, left) * 1000

    def due(self):
        """Whether a frame is to be sent now; ends the lease when it has run out."""
        if not self.active or left_ms(self._next_ms) > 0:
            return False
        if left_ms(self._end_ms) == 0:
            self.active = False
            return False
        self._next_ms = (self._next_ms + self._period_ms) & _MASK
        if (
            left_ms(self._next_ms) == 0
        ):  # behind by a whole period: drop frames, do not send a burst
            self._next_ms = (_tactus.uptime_ms() + self._period_ms) & _MASK
        return True


def snapshot(board, first, end):
    """Statistics of the tasks [first, end) as a map; None when they do not fit the scratch buffer."""
    packed = []
    at = 0
    for task in range(first, end):
        size = _tactus.sched_stats(task, board.scratch[at:])
        if size < 0:
            return None
        packed.append(board.scratch[at : at + size])
        at += size
    size = _tactus.sched_loop(board.scratch[at:])
    if size < 0:
        return None
    board.snapshots += 1
    return {
        "seq": board.snapshots,
        "loop": board.scratch[at : at + size],
        "tasks": packed,
        "uptime_ms": _tactus.uptime_ms(),
    }


def send(board):
    """Send one frame; one that is sent after a miss carries the frozen ring of events, once a lease.

    Allocates nothing, so that fifty frames a second call for no collection. One that does not fit a message
    is dropped; its `seq` is missing then.
    """
    lease = board.lease
    board.snapshots += 1
    wanted = 1 if lease.owes_events else 0
    if _tactus.sched_frame(board.snapshots, wanted) < 0:
        return
    if wanted and _tactus.sched_frozen():
        lease.owes_events = False
    board.frames += 1
