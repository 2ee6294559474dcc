"""The device's Python behind a line, in time that costs none: an update talks to it as to a board."""

from __future__ import annotations

import hashlib
from typing import Any

import package_builder as build
from device_bench import Bench

from host.bench.bad_line import BadTransport
from host.install import Update, update_board
from host.link.session import Session
from protocol import cobs, console

BOOT_S = 1.0
RELEASED = 1  # enum tac_trial_figure
FRAMINGS = {"console": console, "cobs": cobs}


class Behind:
    """A board behind a bad line; it is silent while it boots."""

    def __init__(self, framing: str, rate: float, seed: int, buffers: int = 2) -> None:
        self.bench = Bench(link_buffers=buffers)
        self.framing = FRAMINGS[framing]
        self.decoder = self.framing.Decoder()
        self.transport = BadTransport(self.answer, framing == "cobs", rate, seed)
        self.boots_until = 0.0

    def answer(self, data: bytes) -> bytes:
        out = b""
        if self.transport.clock.now < self.boots_until:
            return out
        self.try_on()
        for message in self.decoder.feed(data):
            reply = self.bench.raw(message)
            if reply is not None:
                out += self.framing.encode(reply)
            if self.bench.board.reset_requested:
                self.bench.reset()
                self.decoder = self.framing.Decoder()
                self.boots_until = self.transport.clock.now + BOOT_S
                break
        return out

    def try_on(self) -> None:
        """Judge a trial by the line's time; each task is released four times a second."""
        board, fake = self.bench.board, self.bench.fake
        if board.trial:
            fake.elapsed_ms = int(1000 * (self.transport.clock.now - self.boots_until))
            for task in range(len(board.tasks())):
                fake.figures[RELEASED, task] = fake.elapsed_ms // 250
            self.bench.module("trial").step(board)

    def session(self) -> Session:
        return self.transport.session()

    def update(self, package: bytes) -> Update:
        return update_board(self.session, package)


def package(version: str, filler: int, **changes: Any) -> bytes:
    content = build.manifest(version=version, **changes)
    extra = b"".join(hashlib.sha256(bytes([i & 255, i >> 8])).digest() for i in range(filler // 32))
    return build.build(content, [*build.payloads(), ("filler", extra)])
