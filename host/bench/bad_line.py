"""A line that drops, damages, doubles and delays bytes, with a seed: as a stream, and as a PTY between board and program.

The rate is the share of all bytes, of either direction and each for itself, that something happens to: a quarter is
dropped, a quarter has a bit flipped, a quarter comes twice, and a quarter is held back with what follows it.
"""

from __future__ import annotations

import os
import random
import select
import threading
import time
import tty
from collections import deque
from collections.abc import Callable
from typing import Self

from host.link.client import SmpClient
from host.link.session import Session
from host.link.tactus_group import TactusGroup
from host.link.transport import Transport

DELAY_S = 0.03
# In real time, of a board that is a process: for an answer, between pieces of one, and when it seems to restart.
_ANSWER_S, _PAUSE_S, _RESTART_S = 0.003, 0.001, 0.02
_SILENT_MAX = 100


class BadLine:
    """One direction: what is put in comes out later, and worse."""

    def __init__(self, rate: float, seed: int, delay_s: float = DELAY_S, latency_s: float = 0.0):
        self._random = random.Random(seed)
        self._rate = rate
        self._delay_s = delay_s
        self._latency_s = latency_s
        self._queue: deque[tuple[float, bytes]] = deque()
        self.passed = 0
        self.faults = 0

    def put(self, data: bytes, now: float) -> None:
        """Take bytes in."""
        self.passed += len(data)
        due = max(now + self._latency_s, self._queue[-1][0] if self._queue else 0.0)
        good = bytearray()
        for byte in data:
            if self._random.random() >= self._rate:
                good.append(byte)
                continue
            self.faults += 1
            match self._random.randrange(4):
                case 0:
                    pass
                case 1:
                    good.append(byte ^ 1 << self._random.randrange(8))
                case 2:
                    good += bytes([byte, byte])
                case _:
                    if good:
                        self._queue.append((due, bytes(good)))
                    due += self._delay_s * self._random.random()
                    good = bytearray([byte])
        if good:
            self._queue.append((due, bytes(good)))

    def take(self, now: float) -> bytes:
        """What has come out by now."""
        out = bytearray()
        while self._queue and self._queue[0][0] <= now:
            out += self._queue.popleft()[1]
        return bytes(out)

    def next_at(self) -> float | None:
        """When something comes out next."""
        return self._queue[0][0] if self._queue else None


class Clock:
    """Time that passes when somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


class BadTransport(Transport):
    """A port in this process: `answer(received bytes) -> bytes sent` behind two bad lines, in time that costs none."""

    def __init__(
        self,
        answer: Callable[[bytes], bytes],
        cobs: bool,
        rate: float,
        seed: int,
        latency_s: float = 0.001,
        rest: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        """`rest`: what happens beside the line while nobody asks anything; time.sleep for a board that lives in real time."""
        self.port = f"bad line, rate {rate}, seed {seed}"
        self.cobs = cobs
        self.clock = Clock()
        self.there = BadLine(rate, seed, latency_s=latency_s)
        self.back = BadLine(rate, seed + 1, latency_s=latency_s)
        self._answer = answer
        self._rest = rest

    def write(self, data: bytes) -> None:
        """Send to the board."""
        self.there.put(data, self.clock.now)

    def read(self, timeout_s: float) -> bytes:
        """What arrives within `timeout_s`, as Transport."""
        end = self.clock.now + timeout_s
        while True:
            arrived = self.there.take(self.clock.now)
            if arrived:
                self.back.put(self._answer(arrived), self.clock.now)
            out = self.back.take(self.clock.now)
            if out:
                return out
            coming = [at for at in (self.there.next_at(), self.back.next_at()) if at is not None]
            following = min([*coming, end])
            if following >= end:
                self.clock.now = end
                return b""
            self.clock.now = following

    def session(self) -> Session:
        """Connect to the board."""
        client = _Client(self, clock=self.clock)
        return Session(client, TactusGroup(client).info())

    def rest(self, seconds: float) -> None:
        """The client rests so long."""
        self._rest(seconds)

    def close(self) -> None:
        """Nothing to release."""


class _Client(SmpClient):
    transport: BadTransport

    def rest(self, seconds: float) -> None:
        """Let time pass, as SmpClient, for the board, too."""
        self.transport.rest(seconds)
        super().rest(seconds)


class Behind:
    """What a board's port says to what arrives there, for BadTransport: waited for while the line's own time stands still.

    An answer that a busy computer brings late arrives with the next bytes, as if the line had been slow.
    """

    def __init__(self, port: str) -> None:
        self._port = os.open(port, os.O_RDWR | os.O_NOCTTY)
        self._silent = 0

    def __call__(self, data: bytes) -> bytes:
        """Give it `data`; what came back."""
        os.write(self._port, data)
        out = b""
        wait_s = _RESTART_S if self._silent > _SILENT_MAX else _ANSWER_S
        while select.select([self._port], [], [], wait_s)[0]:
            out += os.read(self._port, 4096)
            wait_s = _PAUSE_S
        self._silent = 0 if out else self._silent + 1
        return out

    def close(self) -> None:
        """Leave the port."""
        os.close(self._port)


class BadPort:
    """A PTY whose far end is a board's port, with the bad lines between them. Use as a context manager."""

    def __init__(self, port: str, rate: float, seed: int, latency_s: float = 0.0) -> None:
        self._board = os.open(port, os.O_RDWR | os.O_NOCTTY)
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self.there = BadLine(rate, seed, latency_s=latency_s)
        self.back = BadLine(rate, seed + 1, latency_s=latency_s)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            due = [at for at in (self.there.next_at(), self.back.next_at()) if at is not None]
            wait = min(0.05, max(0.0, min(due) - time.monotonic())) if due else 0.05
            ready, _, _ = select.select([self._board, self._master], [], [], wait)
            now = time.monotonic()
            for source, line in ((self._master, self.there), (self._board, self.back)):
                if source in ready:
                    line.put(os.read(source, 4096), now)
            for line, target in ((self.there, self._board), (self.back, self._master)):
                out = line.take(now)
                while out:
                    out = out[os.write(target, out) :]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for descriptor in (self._board, self._master, self._slave):
            os.close(descriptor)
