"""SMP over a port: requests, answered by sequence number, one at a time or several under way.

Loss is repaired here and in upload.py: a request without an answer is sent again under the same
number, so that a late answer still counts and a second one is recognised as stale. Every request
of the protocol may be repeated, except those sent with `retries=0`.
"""

import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cbor2

from host.link.errors import DeviceError, GarbledError, NoAnswerError, request_name
from host.link.fields import Fields
from host.link.log_text import LogText
from host.link.pace import Pace
from host.link.transport import Transport
from protocol import cobs, console, smp

_STREAM = (smp.READ_REPLY, smp.GROUP_TACTUS, smp.TACTUS_FRAME)  # unsolicited
_FRAMES_KEPT = 64
_DEPTH_MAX = 8
_DOUBTS_MAX = 2
_INSISTENCE = 4
_PATIENCE_FACTOR = 20  # a line that damages everything is given up after so many patiences

Key = tuple[int, int, int, int]  # op, group, command, sequence


@dataclass(slots=True)
class LinkCounters:
    """What the host saw on the line since the port was opened."""

    requests: int = 0
    replies: int = 0
    retries: int = 0
    stale: int = 0
    malformed: int = 0
    frames: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0


class SmpClient:
    """Owns nothing but the exchange; the transport belongs to the caller.

    A request is sent again when the line's pace says that its answer is lost, `timeout_s` at the latest,
    and fails after `patience_s` without a sign of life. The transport names the framing: console lines, or COBS
    on a port of its own. `clock` gives seconds.
    """

    def __init__(
        self,
        transport: Transport,
        timeout_s: float = 2.0,
        retries: int = 3,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.transport = transport
        self.timeout_s = timeout_s
        self.retries = retries
        self.clock = clock
        self.pace = Pace()
        self.counters = LinkCounters()
        self.frames: deque[Fields] = deque(maxlen=_FRAMES_KEPT)
        self.log = LogText()
        self._framing = cobs if transport.cobs else console
        self._decoder: console.Decoder | cobs.Decoder = self._framing.Decoder()
        self._last_message = b""
        # A random start keeps the late reply to an earlier program from passing as ours.
        self._sequence = secrets.randbelow(256)

    @property
    def patience_s(self) -> float:
        """How long a request is tried while nothing at all comes back."""
        return self._patience_s(self.timeout_s, self.retries)

    def _patience_s(self, timeout_s: float, retries: int) -> float:
        # Where much is lost, much has to be tried before silence means that nobody is there.
        return timeout_s * (1 + retries) * (1 if self.pace.is_clean or not retries else _INSISTENCE)

    @property
    def damaged(self) -> int:
        """Frames that came in pieces: somebody is there."""
        decoder = self._decoder
        return decoder.errors_crc + decoder.errors_format + decoder.errors_size

    def read(
        self,
        group: int,
        command: int,
        payload: Mapping[str, object] | None = None,
        garbled_max: int | None = None,
    ) -> Fields:
        """Send a read request and return the reply's map. Raises LinkError."""
        return self.request(smp.READ, group, command, payload or {}, garbled_max=garbled_max)

    def write(
        self,
        group: int,
        command: int,
        payload: Mapping[str, object] | None = None,
        timeout_s: float | None = None,
        retries: int | None = None,
        garbled_max: int | None = None,
    ) -> Fields:
        """Send a write request and return the reply's map. Raises LinkError."""
        return self.request(
            smp.WRITE, group, command, payload or {}, timeout_s, retries, garbled_max
        )

    def request(
        self,
        op: int,
        group: int,
        command: int,
        payload: Mapping[str, object],
        timeout_s: float | None = None,
        retries: int | None = None,
        garbled_max: int | None = None,
    ) -> Fields:
        """Exchange one request for its reply.

        Raises NoAnswerError when the patience ends, GarbledError when more than `garbled_max` frames
        came back damaged, DeviceError for a refusal, PortLostError when the port breaks. A reply that
        breaks the protocol counts as malformed and as no answer.
        """
        request = request_name(group, command)
        retries = self.retries if retries is None else retries
        takes_long = timeout_s is not None  # then silence proves nothing, and twice may be too much
        timeout_s = self.timeout_s if timeout_s is None else timeout_s
        began = now = self.clock()
        give_up = began + self._patience_s(timeout_s, retries)
        last = began + _PATIENCE_FACTOR * timeout_s * (1 + retries)
        damaged = heard = self.damaged
        key = self.post(op, group, command, payload)
        message = self._last_message
        attempt = doubts = 0
        while True:
            if retries and not (takes_long and self.pace.is_clean):
                wait_s = self.pace.wait_s(attempt, timeout_s)
            else:
                wait_s = timeout_s
            reply = self._await(key, min(wait_s, give_up - now))
            if reply is not None:
                self.pace.answered(self.clock() - now, attempt)
                self.counters.replies += 1
                refusal = refusal_of(reply, request)
                if refusal is None:
                    return reply
                if not self.misheard(refusal) or not retries or doubts == _DOUBTS_MAX:
                    raise refusal
                doubts += 1
            if self.damaged > heard:
                self.pace.damaged(self.clock() - now)
            now = self.clock()
            if garbled_max is not None and self.damaged - damaged > garbled_max:
                raise GarbledError(
                    f"{self.transport.port}: the answers to {request} come damaged",
                    "check the cable, or take a shorter one",
                )
            if self.damaged > heard and now < last:  # a bad line is not a dead one
                heard = self.damaged
                give_up = now + self._patience_s(timeout_s, retries)
            if now >= give_up or not retries:
                break
            attempt += 1
            self.counters.retries += 1
            # Whatever a broken exchange left in the board's decoder ends here.
            self._write(self._framing.RESYNC + self._framing.encode(message))
        raise NoAnswerError(
            f"{self.transport.port}: no answer to {request} in {now - began:.1f} s",
            "check that the board runs Tactus; reset it, and try again",
        )

    def post(self, op: int, group: int, command: int, payload: Mapping[str, object]) -> Key:
        """Send a request without waiting; the key of its reply among those of `collect()`."""
        body = cbor2.dumps(dict(payload))
        self._sequence = (self._sequence + 1) & 0xFF
        header = (op, group, command, self._sequence, len(body))
        self._last_message = smp.pack_header(*header, flags=smp.OWN_CODES) + body
        self.counters.requests += 1
        resync = b"" if self.pace.is_clean and self.counters.requests > 1 else self._framing.RESYNC
        self._write(resync + self._framing.encode(self._last_message))
        return op + 1, group, command, self._sequence

    def collect(self, timeout_s: float) -> list[tuple[Key, Fields]]:
        """Replies that have come, waiting up to `timeout_s` for the first byte."""
        return self._receive(timeout_s)

    def misheard(self, refusal: DeviceError) -> bool:
        """Whether the board may have refused what was not sent: CRC-16 lets one damaged frame of 65,536 pass."""
        return not self.pace.is_clean and refusal.group is None

    def rest(self, seconds: float) -> None:
        """Let time pass; what comes meanwhile answers nothing."""
        end = self.clock() + seconds
        while (left := end - self.clock()) > 0:
            self.counters.stale += len(self._receive(left))

    def _write(self, data: bytes) -> None:
        self.counters.sent_bytes += len(data)
        self.transport.write(data)

    def poll(self, timeout_s: float) -> bool:
        """Receive stream frames and log text for up to `timeout_s`; True as soon as a frame waits."""
        end = self.clock() + timeout_s
        while not self.frames:
            left = end - self.clock()
            if left <= 0:
                return False
            self.counters.stale += len(self._receive(left))
        return True

    def _await(self, wanted: Key, timeout_s: float) -> Fields | None:
        """The first reply that answers `wanted`; anything else that comes meanwhile is stale.

        None at the end of the time, and at once when a frame comes damaged: that was the reply.
        """
        end = self.clock() + timeout_s
        damaged = self.damaged
        while (left := end - self.clock()) > 0:
            found: Fields | None = None
            for key, fields in self._receive(left):
                if key == wanted and found is None:
                    found = fields
                else:
                    self.counters.stale += 1
            if found is not None or self.damaged > damaged:
                return found
        return None

    def _receive(self, timeout_s: float) -> list[tuple[Key, Fields]]:
        """Read once; replies come back, stream frames are queued, text goes to the log."""
        data = self.transport.read(timeout_s)
        self.counters.received_bytes += len(data)
        if self._framing.CARRIES_TEXT:
            self.log.feed(data)
        replies: list[tuple[Key, Fields]] = []
        for message in self._decoder.feed(data):
            parsed = _parse(message)
            if parsed is None:
                self.counters.malformed += 1
            elif parsed[0][:3] == _STREAM:
                self.counters.frames += 1
                self.frames.append(parsed[1])
            else:
                replies.append(parsed)
        return replies


def _parse(message: bytes) -> tuple[Key, Fields] | None:
    """Header and CBOR map of a received message, None when it breaks the protocol."""
    try:
        op, group, command, sequence, length = smp.parse_header(message)
        body = cbor2.loads(
            message[smp.HEADER_BYTES : smp.HEADER_BYTES + length],
            max_depth=_DEPTH_MAX,
            allow_duplicate_keys=False,
            strict_hashable_types=True,
        )
    except (ValueError, cbor2.CBORError):
        return None
    if not isinstance(body, dict) or len(message) != smp.HEADER_BYTES + length:
        return None
    return (op, group, command, sequence), Fields(body, f"group {group} command {command}")


def refusal_of(reply: Fields, request: str) -> DeviceError | None:
    """The error a reply carries: {"err": {"group", "rc"}} or SMP's own {"rc"}; rc 0 is success."""
    if reply.has("err"):
        error = reply.sub("err")
        return DeviceError(request, error.uint("group"), error.uint("rc"))
    code = reply.uint("rc", 0)
    return DeviceError(request, None, code) if code else None
