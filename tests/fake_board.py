"""A scripted board on a PTY: it decodes requests, and a test decides what comes back, byte by byte."""

import os
import select
import threading
import tty
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import cbor2

from protocol import console, smp


@dataclass(frozen=True)
class Request:
    """A request as it arrived, with ways to answer it well and badly."""

    op: int
    group: int
    command: int
    sequence: int
    body: dict

    def message(
        self, body: object, *, sequence: int | None = None, group: int | None = None
    ) -> bytes:
        payload = cbor2.dumps(body)
        header = smp.pack_header(
            self.op + 1,
            self.group if group is None else group,
            self.command,
            self.sequence if sequence is None else sequence,
            len(payload),
        )
        return header + payload

    def reply(self, body: object, **changes: int) -> bytes:
        return console.encode(self.message(body, **changes))


def stream_frame(body: object) -> bytes:
    payload = cbor2.dumps(body)
    header = smp.pack_header(smp.READ_REPLY, smp.GROUP_TACTUS, smp.TACTUS_FRAME, 0, len(payload))
    return console.encode(header + payload)


class FakeBoard:
    """Runs `answer(request) -> bytes to send` for each request; `port` is the path to open."""

    def __init__(self, answer: Callable[[Request], bytes]) -> None:
        self._answer = answer
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self.requests: list[Request] = []
        self.raw = bytearray()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def say(self, data: bytes) -> None:
        os.write(self._master, data)

    def _run(self) -> None:
        decoder = console.Decoder()
        while not self._stop.is_set():
            if not select.select([self._master], [], [], 0.02)[0]:
                continue
            data = os.read(self._master, 4096)
            self.raw += data
            for message in decoder.feed(data):
                op, group, command, sequence, _ = smp.parse_header(message)
                body = cbor2.loads(message[smp.HEADER_BYTES :])
                request = Request(op, group, command, sequence, body)
                self.requests.append(request)
                out = self._answer(request)
                while out:
                    out = out[os.write(self._master, out) :]

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        for descriptor in (self._master, self._slave):
            try:
                os.close(descriptor)
            except OSError:
                pass

    def pull_cable(self) -> None:
        """Everything goes: the port answers with an I/O error from now on."""
        self._stop.set()
        self._thread.join()
        os.close(self._master)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


INFO = {
    "board": "qemu-m4",
    "class": "armv7e-m",
    "firmware": "0.1.0",
    "protocol": 1,
    "trust": "demo keys 0011223344556677",
    "boot_id": 7,
    "reset_cause": 1,
    "uptime_ms": 1234,
    "running": True,
    "speed": 1,
    "app": "demo",
    "version": "1.0.0",
    "slot": 0,
    "state": 5,
}
