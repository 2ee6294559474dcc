"""SMP over a port: one request at a time, answered by sequence number.

Loss is repaired here and nowhere else: a request without an answer is sent again under the same
number, so that a late answer still counts and a second one is recognised as stale. Every request
of the protocol may be repeated, except those sent with `retries=0`.
"""

import secrets
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import cbor2

from host.link.errors import DeviceError, NoAnswerError, request_name
from host.link.fields import Fields
from host.link.log_text import LogText
from host.link.transport import Transport
from protocol import cobs, console, smp

_STREAM = (smp.READ_REPLY, smp.GROUP_TACTUS, smp.TACTUS_FRAME)  # unsolicited
_FRAMES_KEPT = 64
_DEPTH_MAX = 8

_Key = tuple[int, int, int, int]  # op, group, command, sequence


@dataclass(slots=True)
class LinkCounters:
    """What the host saw on the line since the port was opened."""

    requests: int = 0
    replies: int = 0
    retries: int = 0
    stale: int = 0
    malformed: int = 0
    frames: int = 0


class SmpClient:
    """Owns nothing but the exchange; the transport belongs to the caller.

    `timeout_s` is for one attempt; a request fails after `1 + retries` attempts. The transport names the
    framing: console lines, or COBS on a port of its own.
    """

    def __init__(self, transport: Transport, timeout_s: float = 2.0, retries: int = 3) -> None:
        self.transport = transport
        self.timeout_s = timeout_s
        self.retries = retries
        self.counters = LinkCounters()
        self.frames: deque[Fields] = deque(maxlen=_FRAMES_KEPT)
        self.log = LogText()
        self._framing = cobs if transport.cobs else console
        self._decoder: console.Decoder | cobs.Decoder = self._framing.Decoder()
        # A random start keeps the late reply to an earlier program from passing as ours.
        self._sequence = secrets.randbelow(256)

    def read(self, group: int, command: int, payload: Mapping[str, object] | None = None) -> Fields:
        """Send a read request and return the reply's map. Raises LinkError."""
        return self.request(smp.READ, group, command, payload or {})

    def write(
        self,
        group: int,
        command: int,
        payload: Mapping[str, object] | None = None,
        timeout_s: float | None = None,
        retries: int | None = None,
    ) -> Fields:
        """Send a write request and return the reply's map. Raises LinkError."""
        return self.request(smp.WRITE, group, command, payload or {}, timeout_s, retries)

    def request(
        self,
        op: int,
        group: int,
        command: int,
        payload: Mapping[str, object],
        timeout_s: float | None = None,
        retries: int | None = None,
    ) -> Fields:
        """Exchange one request for its reply.

        Raises NoAnswerError after the last attempt, DeviceError for a refusal, PortLostError when
        the port breaks. A reply that breaks the protocol counts as malformed and as no answer.
        """
        request = request_name(group, command)
        body = cbor2.dumps(dict(payload))
        self._sequence = (self._sequence + 1) & 0xFF
        header = (op, group, command, self._sequence, len(body))
        message = smp.pack_header(*header, flags=smp.OWN_CODES) + body
        attempts = 1 + (self.retries if retries is None else retries)
        wait_s = self.timeout_s if timeout_s is None else timeout_s
        self.counters.requests += 1
        for attempt in range(attempts):
            self.counters.retries += attempt > 0
            # Whatever a broken exchange left in the board's decoder ends here.
            resync = self._framing.RESYNC if attempt or self.counters.requests == 1 else b""
            self.transport.write(resync + self._framing.encode(message))
            reply = self._await((op + 1, group, command, self._sequence), wait_s)
            if reply is not None:
                self.counters.replies += 1
                refusal = _refusal(reply, request)
                if refusal is not None:
                    raise refusal
                return reply
        raise NoAnswerError(
            f"{self.transport.port}: no answer to {request} ({attempts} x {wait_s:g} s)",
            "check that the board runs Tactus; reset it, and try again",
        )

    def poll(self, timeout_s: float) -> bool:
        """Receive stream frames and log text for up to `timeout_s`; True as soon as a frame waits."""
        end = time.monotonic() + timeout_s
        while not self.frames:
            left = end - time.monotonic()
            if left <= 0:
                return False
            self.counters.stale += len(self._receive(left))
        return True

    def _await(self, wanted: _Key, timeout_s: float) -> Fields | None:
        """The first reply that answers `wanted`; anything else that comes meanwhile is stale."""
        end = time.monotonic() + timeout_s
        while (left := end - time.monotonic()) > 0:
            found: Fields | None = None
            for key, fields in self._receive(left):
                if key == wanted and found is None:
                    found = fields
                else:
                    self.counters.stale += 1
            if found is not None:
                return found
        return None

    def _receive(self, timeout_s: float) -> list[tuple[_Key, Fields]]:
        """Read once; replies come back, stream frames are queued, text goes to the log."""
        data = self.transport.read(timeout_s)
        if self._framing.CARRIES_TEXT:
            self.log.feed(data)
        replies: list[tuple[_Key, Fields]] = []
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


def _parse(message: bytes) -> tuple[_Key, Fields] | None:
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


def _refusal(reply: Fields, request: str) -> DeviceError | None:
    """The error a reply carries: {"err": {"group", "rc"}} or SMP's own {"rc"}; rc 0 is success."""
    if reply.has("err"):
        error = reply.sub("err")
        return DeviceError(request, error.uint("group"), error.uint("rc"))
    code = reply.uint("rc", 0)
    return DeviceError(request, None, code) if code else None
