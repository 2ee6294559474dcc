"""A bench for the device's Python: boots it on the double of `_tactus` and talks SMP to it."""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import cbor2
from fake_store import FakeStore
from fake_tactus import FakeTactus
from package_builder import ROOT, public, replay_image

READ, WRITE = 0, 2


@contextmanager
def device_on(extension: object) -> Iterator[None]:
    """Import `tactus` afresh on this `_tactus`; afterwards everything is as it was."""
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if _ours(name)}
    sys.modules["_tactus"] = extension  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in [name for name in sys.modules if _ours(name)]:
            del sys.modules[name]
        sys.modules.update(kept)


def _ours(name: str) -> bool:
    return name == "_tactus" or name == "tactus" or name.startswith("tactus.")


class Bench:
    """One board. `store` survives reset(); `fake` and `board` are of the present power-up."""

    def __init__(
        self, replay: bytes | None = None, roots: bytes | None = None, **facts: Any
    ) -> None:
        self.store = FakeStore()
        self.roots = public(ROOT) if roots is None else roots
        self.facts = facts
        self.replay = replay_image() if replay is None else replay
        self._context: Any = None
        self.reset()

    def reset(self) -> None:
        """Power up: a fresh interpreter, the same flash."""
        self.close()
        self.fake = FakeTactus(self.store, self.roots, self.replay, **self.facts)
        self._context = device_on(self.fake)
        self._context.__enter__()
        self.board: Any = self.module("state").Board()
        for _ in self.module("groups_image").learn_versions(self.board):
            pass
        self.module("boot").boot(self.board)

    def close(self) -> None:
        if self._context is not None:
            self._context.__exit__(None, None, None)
            self._context = None

    def module(self, name: str) -> ModuleType:
        return importlib.import_module("tactus." + name)

    def raw(self, message: bytes) -> bytes | None:
        """Send a message as received; the reply message, or None."""
        self.fake.received.append(message)
        count = len(self.fake.sent)
        background = self.module("loop").background
        background(self.board)
        while self.fake.received or self.board.answering is not None:
            background(self.board)
        assert len(self.fake.sent) <= count + 1
        return self.fake.sent[count] if len(self.fake.sent) > count else None

    def ask(
        self,
        op: int,
        group: int,
        command: int,
        body: object = None,
        version: int = 1,
        flags: int = 1,
    ) -> Any:
        payload = cbor2.dumps({} if body is None else body)
        header = bytes(
            [version << 3 | op, flags, len(payload) >> 8, len(payload) & 255, 0, group, 17, command]
        )
        reply = self.raw(header + payload)
        assert reply is not None
        expected = bytes([version << 3 | op + 1, 0, *(len(reply) - 8).to_bytes(2, "big")])
        assert reply[:8] == expected + bytes([0, group, 17, command])
        return cbor2.loads(reply[8:])

    def read(self, group: int, command: int, body: object = None) -> Any:
        return self.ask(READ, group, command, body)

    def write(self, group: int, command: int, body: object = None) -> Any:
        return self.ask(WRITE, group, command, body)

    def upload(self, data: bytes, chunk: int = 300, start: int = 0) -> Any:
        """Send a whole file as a client does; the last reply."""
        offset = start
        while True:
            body: dict[str, Any] = {"off": offset, "data": data[offset : offset + chunk]}
            if offset == 0:
                body |= {"len": len(data), "sha": hashlib.sha256(data).digest(), "image": 0}
            reply = self.write(1, 1, body)
            if "off" not in reply or reply["off"] == len(data):
                return reply
            offset = reply["off"]

    def install(self, data: bytes) -> None:
        """Upload, try, confirm."""
        assert self.upload(data) == {"off": len(data), "match": True}
        self.write(1, 0, {"hash": hashlib.sha256(data).digest(), "confirm": False})
        self.reset()
        assert "images" in self.write(1, 0, {"confirm": True})

    def states(self) -> list[int]:
        return [slot.state for slot in self.store.slots]

    def refusal(self) -> int:
        """The reason in the first BAD slot, 0 when none is bad."""
        return next((slot.reason for slot in self.store.slots if slot.state == 6), 0)
