"""The store of the double of `_tactus` (fake_tactus.py): slots, floors, patches and telemetry, in memory.

The rules are those of device/store/slot.h and telemetry.h; of the flash below them there is nothing.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from dataclasses import field as dataclass_field

from patch_reference import PatchError, decode

from protocol import errors

SLOT_BYTES = 65_536
EMPTY, RECEIVING, STAGED, PENDING, TRIED, CONFIRMED, BAD = range(7)
PROVEN = 1  # reason of a slot that was confirmed before


@dataclass
class FakeSlot:
    """A slot of the store, content included."""

    state: int = EMPTY
    length: int = 0
    received: int = 0
    reason: int = 0
    sequence: int = 0
    sha256: bytes = bytes(32)
    data: bytearray = dataclass_field(default_factory=bytearray)
    finished: bool = False


@dataclass
class FakeStore:
    """What survives a reset."""

    slots: list[FakeSlot] = dataclass_field(default_factory=lambda: [FakeSlot(), FakeSlot()])
    counter: int = 0
    key_version: int = 0
    sequence: int = 0
    telemetry: dict[int, bytes] = dataclass_field(default_factory=dict)
    telemetry_next: int = 1
    acknowledged: int = 0
    boots: int = 0


class StoreCalls:
    """The functions of `_tactus` that have to do with the store."""

    def __init__(self, store: FakeStore) -> None:
        self.store = store
        self.mark_fails = False  # the flash refuses to be written
        self._patched = b""
        self._checked = 0

    def counter(self) -> int:
        return self.store.counter

    def key_version(self) -> int:
        return self.store.key_version

    # store: the rules of slot.h
    def slot_info(self, index: int) -> tuple[int, int, int, int, int, bytes]:
        s = self.store.slots[index]
        return s.state, s.length, s.received, s.reason, s.sequence, s.sha256

    def slot_data(self, index: int) -> memoryview:
        s = self.store.slots[index]
        return memoryview(bytes(s.data[: s.length])).toreadonly()

    def slot_begin(self, index: int, length: int, sha256: bytes) -> int:
        s = self.store.slots[index]
        if length > SLOT_BYTES:
            return -errors.SPACE
        if s.state == RECEIVING and (s.length, s.sha256) == (length, sha256):
            return s.received
        if s.state == TRIED or index == self._current():
            return -errors.STATE
        if (s.state, s.reason, s.length, s.sha256) == (BAD, errors.PKG_TRIAL, length, sha256):
            s.state, s.reason = RECEIVING, 0
            self._touch(index)
            return s.received
        self.store.slots[index] = FakeSlot(RECEIVING, length, sha256=bytes(sha256))
        self._touch(index)
        return 0

    def slot_write(self, index: int, offset: int, data: bytes) -> int:
        s = self.store.slots[index]
        if s.state != RECEIVING:
            return -errors.STATE
        if offset != s.received:
            return -errors.ARGUMENT
        s.data += data
        s.received += len(data)
        return 0

    def patch_begin(self, index: int) -> int:
        self._checked = 0
        return 0 if self.store.slots[index].state == RECEIVING else -errors.STATE

    def patch_check(self, index: int, ops: bytes, most: int) -> int:
        s, base = self.store.slots[index], self.store.slots[1 - index]
        if base.state not in (TRIED, CONFIRMED):
            return -errors.STATE
        try:
            self._patched = decode(ops, bytes(base.data), s.received)
        except PatchError:
            return -errors.ARGUMENT
        if s.received + len(self._patched) > s.length:
            return -errors.SPACE
        made = min(most, len(self._patched) - self._checked)
        self._checked += made
        return made

    def patch_step(self, index: int, ops: bytes, most: int) -> int:
        part, self._patched = self._patched[:most], self._patched[most:]
        return self.slot_write(index, self.store.slots[index].received, part) or len(part)

    def slot_finish(self, index: int, most_bytes: int) -> int:
        s = self.store.slots[index]
        if s.state != RECEIVING or s.received != s.length:
            return -errors.STATE
        if hashlib.sha256(s.data).digest() != s.sha256:
            self.slot_mark(index, BAD, errors.PKG_DIGEST, 0)
            return -errors.PKG_DIGEST
        s.finished = True
        return 0

    def slot_mark(
        self, index: int, state: int, reason: int, counter: int, key_version: int = 0
    ) -> int:
        if self.mark_fails:
            return -errors.FLASH
        s, other = self.store.slots[index], self.store.slots[1 - index]
        legal = {
            STAGED: s.state == PENDING or (s.state == RECEIVING and s.finished),
            PENDING: other.state not in (PENDING, TRIED)
            and (s.state == STAGED or (s.state == CONFIRMED and index != self._current())),
            TRIED: s.state == PENDING,
            CONFIRMED: s.state == TRIED,
            BAD: s.state not in (EMPTY, BAD),
        }
        if not legal.get(state):
            return -errors.STATE
        if state == CONFIRMED:
            if counter < self.store.counter:
                return -errors.PKG_COUNTER
            if key_version < self.store.key_version:
                return -errors.PKG_KEYSET_OLD
            self.store.counter, self.store.key_version = counter, key_version
        kept = PROVEN if s.state == CONFIRMED else 0
        s.reason = {BAD: reason, PENDING: kept, TRIED: s.reason}.get(state, 0)
        s.state = state
        self._touch(index)
        return 0

    def slot_erase(self, index: int) -> int:
        if self.store.slots[index].state == TRIED or index == self._current():
            return -errors.STATE
        self.store.slots[index] = FakeSlot()
        self._touch(index)
        return 0

    def slot_select(self) -> int:
        for index, s in enumerate(self.store.slots):
            if s.state == TRIED:
                causes = {3: errors.TRIAL_WATCHDOG, 4: errors.TRIAL_FAULT}
                code = causes.get(self.cause, errors.PKG_TRIAL)
                if s.reason == PROVEN and code == errors.PKG_TRIAL:
                    s.state, s.reason = CONFIRMED, 0
                    s.sequence = self.store.slots[1 - index].sequence - 1
                else:
                    s.state, s.reason = BAD, code
                    self._touch(index)
        for index, s in enumerate(self.store.slots):
            if s.state == PENDING:
                return index
        return self._current() if self._current() >= 0 else -errors.NOT_FOUND

    # telemetry: a ring that never comes round
    def telemetry_info(self) -> tuple[int, int, int, int, int]:
        kept = self.store.telemetry
        oldest = min(kept, default=self.store.telemetry_next)
        size = sum(map(len, kept.values()))
        return oldest, self.store.telemetry_next, self.store.acknowledged, 0, size

    def telemetry_prepare(self) -> int:
        return 0

    def telemetry_append(self, data: bytes) -> int:
        if self.mark_fails:
            return -errors.FLASH
        assert 0 < len(data) <= 192
        self.store.telemetry[self.store.telemetry_next] = bytes(data)
        self.store.telemetry_next += 1
        return 0

    def telemetry_acknowledge(self, sequence: int) -> int:
        if sequence >= self.store.telemetry_next:
            return -errors.ARGUMENT
        self.store.acknowledged = max(self.store.acknowledged, sequence)
        return 0

    def telemetry_records(self, cursor: int, buf: memoryview) -> int:
        page = b""
        for sequence, data in self.store.telemetry.items():
            if 4 + len(page) + 5 + len(data) > len(buf):
                break
            if sequence >= cursor:
                page += struct.pack("<IB", sequence, len(data)) + data
                cursor = sequence + 1
        buf[: 4 + len(page)] = struct.pack("<I", cursor) + page
        return 4 + len(page)

    def telemetry_contents(self, cursor: int, skip: int, last: int, buf: memoryview) -> int:
        found = b""
        for sequence, data in self.store.telemetry.items():
            if cursor <= sequence <= last and 8 + len(found) < len(buf):
                part = data[skip : skip + len(buf) - 8 - len(found)]
                found += part
                skip += len(part)
                cursor, skip = (sequence, skip) if skip < len(data) else (sequence + 1, 0)
        buf[: 8 + len(found)] = struct.pack("<II", cursor, skip) + found
        return 8 + len(found)

    def _current(self) -> int:
        confirmed = [i for i in (0, 1) if self.store.slots[i].state == CONFIRMED]
        return max(confirmed, key=lambda i: self.store.slots[i].sequence, default=-1)

    def _touch(self, index: int) -> None:
        self.store.sequence += 1
        self.store.slots[index].sequence = self.store.sequence
