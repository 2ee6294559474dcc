"""Statistics snapshots, and the frames that carry them while a client holds a lease."""

import _tactus

from protocol import cbor, smp

_MASK = (1 << 30) - 1  # uptime_ms() counts modulo 2**30
_HALF = 1 << 29
_WAIT_MAX_MS = 1000
LEASE_MAX_MS = 600_000
PERIOD_MIN_MS = 20
PERIOD_MAX_MS = 60_000


def _left_ms(at_ms):
    # Milliseconds until an instant of the wrapping clock, 0 when it has passed. Allocates nothing.
    left = (at_ms - _tactus.uptime_ms()) & _MASK
    return left if left < _HALF else 0


class Lease:
    """A client's right to frames: until when, how often. Nobody gets a frame who did not ask."""

    def __init__(self):
        self.active = False
        self._end_ms = 0
        self._next_ms = 0
        self._period_ms = 0

    def grant(self, lease_ms, period_ms):
        """Start or renew; a lease of 0 ends it. A renewal with the same period keeps the beat."""
        now_ms = _tactus.uptime_ms()
        if not self.active or period_ms != self._period_ms:
            self._next_ms = (now_ms + period_ms) & _MASK
        self.active = lease_ms > 0
        self._period_ms = period_ms
        self._end_ms = (now_ms + lease_ms) & _MASK

    def wait_us(self):
        """How long the loop may rest before due() has to be asked. Called under the heap lock."""
        if not self.active:
            return _WAIT_MAX_MS * 1000
        left = _left_ms(self._next_ms)
        return min(_WAIT_MAX_MS, left) * 1000

    def due(self):
        """Whether a frame is to be sent now; ends the lease when it has run out."""
        if not self.active or _left_ms(self._next_ms) > 0:
            return False
        if _left_ms(self._end_ms) == 0:
            self.active = False
            return False
        self._next_ms = (self._next_ms + self._period_ms) & _MASK
        if (
            _left_ms(self._next_ms) == 0
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
    board.snapshots += 1
    return {"seq": board.snapshots, "uptime_ms": _tactus.uptime_ms(), "tasks": packed}


def send(board):
    """Send one frame. One that does not fit a message is dropped; its `seq` is missing then."""
    frame = snapshot(board, 0, len(board.sources))
    if frame is None:
        return
    frame["link"] = list(_tactus.link_counters())
    message = _tactus.link_tx()
    try:
        end = cbor.encode_into(message, smp.HEADER_BYTES, frame)
    except cbor.CborError:
        return
    smp.put_header(
        message,
        smp.READ_REPLY,
        smp.GROUP_TACTUS,
        smp.TACTUS_FRAME,
        0,
        end - smp.HEADER_BYTES,
    )
    _tactus.link_send(end)
    board.frames += 1
