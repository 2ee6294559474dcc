"""SMP dispatch: whatever messages come, each gets one well-formed reply or none, and the board goes on.

Input: u8, odd when a package runs already; then messages, each after its length (u16).
"""

from __future__ import annotations

import copy
import random
import struct
from collections.abc import Iterator
from typing import Any

import cbor2
import package_builder
from device_bench import Bench
from fake_store import FakeStore
from mutate import change_any, main, must

LINK_BYTES = 1024
MESSAGES_MAX = 40
_ECHO_BODY = cbor2.dumps({"d": "ok"})
ECHO = bytes([10, 0, 0, len(_ECHO_BODY), 0, 0, 1, 0]) + _ECHO_BODY


class FuzzedBench(Bench):
    """A bench whose power-ups are quick: the modules stay, all state of board and double is new."""

    def __init__(self) -> None:
        super().__init__()
        self.blank = copy.deepcopy(self.store)
        self.install(package_builder.build())
        self.running = copy.deepcopy(self.store)
        self.module("link").log = self.log  # type: ignore[attr-defined]

    def log(self, text: str) -> None:
        must("failed" not in text, text)

    def power_up(self, store: FakeStore) -> None:
        self.store = store
        self.fake.__init__(store, self.roots, self.replay)  # type: ignore[misc]
        self.board = self.module("state").Board()
        self.module("boot").boot(self.board)

    def send(self, message: bytes) -> Any:
        """The reply's map, or None without a reply."""
        reply = self.raw(message)
        if reply is None:
            return None
        must(8 < len(reply) <= LINK_BYTES, "a reply of another size")
        must(reply[0] & 7 == (message[0] & 7) + 1, "a reply of another kind")
        must(reply[4:8] == message[4:8], "a reply to another message")
        must(int.from_bytes(reply[2:4], "big") == len(reply) - 8, "a reply with a wrong length")
        body = cbor2.loads(reply[8:])
        must(isinstance(body, dict), "a reply that is no map")
        if self.board.reset_requested:
            self.power_up(self.store)
        return body

    def goes_on(self) -> None:
        must(self.send(ECHO) == {"r": "ok"}, "no echo any more")


def split(data: bytes) -> Iterator[bytes]:
    at = 1
    while at + 2 <= len(data):
        (size,) = struct.unpack_from("<H", data, at)
        message = data[at + 2 : at + 2 + min(size, LINK_BYTES)]
        at += 2 + len(message)
        if message:
            yield message


def join(start: int, messages: list[bytes]) -> bytes:
    return bytes([start]) + b"".join(struct.pack("<H", len(part)) + part for part in messages)


def change(dice: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """Change single messages, their order and what stands before them."""
    messages = list(split(data))
    for _ in range(dice.randrange(1, 5)):
        more = list(split(dice.choice(others)))
        choice = dice.randrange(4)
        if choice == 0 and messages:
            del messages[dice.randrange(len(messages))]
        elif choice == 1 or not messages:
            at = dice.randrange(len(messages) + 1)
            messages[at:at] = more
        else:
            at = dice.randrange(len(messages))
            head, body = messages[at][:8], messages[at][8:]
            if dice.randrange(10) == 0:
                head = change_any(dice, head, more or [head])
            else:
                body = change_any(dice, body, [part[8:] for part in more] or [body])[
                    : LINK_BYTES - 8
                ]
                if dice.randrange(10):
                    head = head[:2] + struct.pack(">H", len(body)) + head[4:]
            messages[at] = (head + body)[:LINK_BYTES]
    start = dice.randrange(2) if dice.randrange(4) == 0 or not data else data[0]
    return join(start, [part for part in messages if part][:MESSAGES_MAX])


BENCH = FuzzedBench()


def run(data: bytes) -> None:
    start = BENCH.running if data[:1] and data[0] & 1 else BENCH.blank
    BENCH.power_up(copy.deepcopy(start))
    for message in split(data):
        BENCH.send(message)
    BENCH.goes_on()


if __name__ == "__main__":
    main(run, change)
