"""A Python double of the C extension `_tactus`, for tests of the dispatch above it.

It keeps the rules of device/store/slot.h (fake_store.py), device/sched/sched.h and device/engine/plan.h that the device's Python
relies on, and none of the flash, time or arithmetic below them. Put an instance into sys.modules as `_tactus`
(fixture in device_bench.py). The tests in tests/scripts run the same code on the real extension.
"""

from __future__ import annotations

import binascii
import hashlib
import struct
from typing import Any

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fake_store import SLOT_BYTES, FakeStore, StoreCalls
from plan_builder import HEADER, IO, MAGIC, OFFSETS, RECORD, Kind

from protocol import errors
from protocol.stats import _unpack_histogram

START, DONE, ATTENTION, UNTIL, STOPPED = 1, 2, 3, 4, 5
MASK = (1 << 30) - 1

FACTS: dict[str, Any] = {
    "name": "fake",
    "class": "hosted",
    "features": ["dsp"],
    "arena_bytes": 4096,
    "ram_bytes": 0,
    "link_bytes": 1024,
    "link_buffers": 2,
    "slot_bytes": SLOT_BYTES,
    "dispatch_us": 100,
    "sample_ns": 400,
    "lockout_us": 10,
    "background_us": 2000,
    "background_period_us": 20_000,
    "gc_us": 0,
    "gc_period_us": 0,
    "scales_with_speed": True,
    "trust_name": "test",
    "root_threshold": 1,
    "kernels": (1 << 14) - 2,
    "plan_version": 1,
}


class Reset(Exception):
    """The board was told to reset."""


class Fault(Exception):
    """The board was told that something failed which nobody caught."""


class FakeTactus(StoreCalls):
    """One power-up of a board. `events` scripts sched_run(); `now_us` moves only when told."""

    def __init__(self, store: FakeStore, trust: bytes, replay: bytes, **facts: Any) -> None:
        super().__init__(store)
        self._trust = trust
        self._replay = replay
        self.facts = FACTS | facts
        self.now_us = 5_000_000
        self.events: list[int] = []
        self.received: list[bytes] = []
        self.sent: list[bytes] = []
        self.tasks: list[dict[str, Any]] = []
        self.modes: dict[tuple[int, int], tuple[int, int, int, int]] = {}
        self.mode = self.wanted_mode = 0
        self.frozen = 0
        self.collections = self.litter_bytes = 0
        self.temperature: int | None = None
        self.cause = int(self.facts.pop("cause", 2))
        self.crash_count = int(self.facts.pop("crashes", 0))
        self.watchdogs: list[int] = []
        self.elapsed_ms = 0
        self.figures: dict[tuple[int, int], int] = {}  # (enum tac_trial_figure, task)
        self._asked = -1
        self.started: tuple[int, int] | None = None
        self.begun: list[tuple[int, int]] = []
        self.limits: list[int] = []
        self.backgrounds = 0
        self.stats: dict[int, bytes] = {}
        self.event_ring = bytes(32)
        self.mark_fails = bool(self.facts.pop("mark_fails", False))
        self._rx = bytearray(self.facts["link_bytes"])
        self._tx = bytearray(self.facts["link_bytes"])

    # board
    def init(self, flash_path: str | None = None, link_fd: int = -1) -> int:
        return 0

    def board(self) -> dict[str, Any]:
        return dict(self.facts)

    def memory(self) -> list[tuple[str, int]]:
        return [("arena", self.facts["arena_bytes"]), ("link buffers", 2 * len(self._rx))]

    def memory_peaks(self) -> tuple[int, int]:
        return 40_000, 0

    def temperature_mc(self) -> int | None:
        return self.temperature

    def boot_id(self) -> int:
        self.store.boots += 1
        return self.store.boots

    def time_us(self) -> int:
        return self.now_us & MASK

    def uptime_ms(self) -> int:
        return self.now_us // 1000 & MASK

    def percentiles(self, packed: memoryview, at: int) -> tuple[int, int, int, int]:
        found, end = _unpack_histogram(packed, at)
        return end, found.percentile(50), found.percentile(99), found.max_us

    def time_ms(self) -> int:
        return self.now_us // 1000

    def reset_cause(self) -> int:
        return self.cause

    def crashes(self) -> int:
        return self.crash_count

    def crashes_over(self) -> None:
        self.crash_count = 0

    def watchdog(self, timeout_us: int) -> None:
        self.watchdogs.append(timeout_us)

    def fault(self) -> None:
        raise Fault

    def trial(self, figure: int, task: int) -> int:
        if figure == 0:
            return self.elapsed_ms
        return self.figures.get((figure, task), 1 if figure == 5 else 0)

    def reset(self) -> None:
        raise Reset

    def root_keys(self) -> bytes:
        return self._trust

    def replay(self) -> memoryview:
        return memoryview(self._replay)

    # engine: images as plan_builder writes them
    def plan_check(self, image: memoryview, arena_bytes: int) -> int:
        if len(image) < HEADER.size or HEADER.unpack_from(image)[0] != MAGIC:
            return -errors.PLAN_MAGIC
        head = HEADER.unpack_from(image)
        if head[3] != len(image):
            return -errors.PLAN_SIZE
        return 0 if head[8] <= arena_bytes else -errors.PLAN_ARENA

    def plan_info(self, image: memoryview, limit: int) -> tuple[int, ...]:
        head = HEADER.unpack_from(image)
        io = [IO.unpack_from(image, head[5] + 8 * i)[1] for i in range(head[6] + head[7])]
        times = [op[3] for op in self._ops(image)]
        longest = max((time for time in times if time <= limit), default=0)
        inputs, outputs = sum(io[: head[6]]), sum(io[head[6] :])
        return (
            head[2],
            head[8],
            inputs,
            outputs,
            sum(times),
            longest,
            head[9],
            sum(times[: head[13]]),
        )

    def _ops(self, image: memoryview) -> list[tuple[Any, ...]]:
        head = HEADER.unpack_from(image)
        return [RECORD.unpack_from(image, head[4] + RECORD.size * i) for i in range(head[2])]

    def engine_run(self, image: memoryview, data: memoryview, out: bytearray) -> int:
        if self.started:
            return -errors.STATE
        (op,) = self._ops(image)
        assert op[0] == Kind.CLAMP, "the double knows one operator"
        low, high = (op[list(OFFSETS).index(name)] for name in ("act_min", "act_max"))
        values = struct.unpack(f"{len(data)}b", data)
        out[: len(data)] = struct.pack(f"{len(data)}b", *(min(max(v, low), high) for v in values))
        return len(data)

    def engine_times(self, image: memoryview, pattern: int, seed: int, times: bytearray) -> int:
        if self.started:
            return -errors.STATE
        declared = [op[3] for op in self._ops(image)]
        times[:] = struct.pack(f"<{len(declared)}I", *declared)
        return sum(declared)

    # scheduler
    def sched_reset(self) -> None:
        self.tasks = []
        self.modes = {}
        self.started = None

    def sched_add(
        self,
        image: memoryview,
        arena_offset: int,
        period: int,
        deadline: int,
        budget: int,
        policy: int,
        whole: int,
    ) -> int:
        size = self.plan_info(image, 0)[2]
        row = {"period": period, "deadline": deadline, "budget": budget, "policy": policy}
        row["whole"] = whole
        self.tasks.append(row | {"arena_offset": arena_offset, "input": bytearray(size)})
        return len(self.tasks) - 1

    def sched_add_lite(self, task: int, image: memoryview, budget: int) -> int:
        size = self.plan_info(image, 0)[2]
        self.tasks[task] |= {"lite_budget": budget, "lite_input": bytearray(size)}
        return 0

    def sched_set_mode(
        self, mode: int, task: int, period: int, deadline: int, budget: int, variant: int
    ) -> int:
        self.modes[mode, task] = (period, deadline, budget, variant)
        return 0

    def sched_want_mode(self, mode: int) -> int:
        if not self.started:
            return -errors.STATE
        self.wanted_mode = mode
        return 0

    def sched_start(self, delay_us: int, speed: int) -> int:
        self.started = (delay_us, speed)
        return 0

    def sched_stop(self) -> None:
        self.started = None

    def sched_run(self, limit_us: int) -> int:
        self.limits.append(limit_us)
        return self._go_on()

    def sched_feed(self, tag: int) -> int:
        self.begun.append((self._asked, max(tag, -1)))
        return self._go_on()

    def _go_on(self) -> int:
        if self.events:
            event = self.events.pop(0)
            self._asked = event >> 4
            return event
        self.now_us += self.limits[-1]
        return UNTIL if self.started else STOPPED

    def arena_touched(self, task: int) -> int:
        return 48 + task if task < len(self.tasks) else 0

    def sched_input(self, task: int, variant: int) -> memoryview:
        return memoryview(self.tasks[task]["lite_input" if variant else "input"])

    def sched_background(self, started_us: int, is_collection: int) -> None:
        self.backgrounds += 1

    def collect(self) -> None:
        self.collections += 1
        self.litter_bytes = 0

    def litter(self) -> int:
        return self.litter_bytes

    def sched_loop(self, buf: memoryview) -> int:
        data = bytes([1, self.mode, self.wanted_mode, 1]) + bytes(68)
        if len(data) > len(buf):
            return -errors.SPACE
        buf[: len(data)] = data
        return len(data)

    def sched_frozen(self) -> int:
        return self.frozen

    def sched_frame(self, sequence: int, with_events: int) -> int:
        body: dict[str, Any] = {
            "seq": sequence,
            "link": list(self.link_counters()),
            "loop": bytes([1, self.mode, self.wanted_mode, 1]) + bytes(68),
            "tasks": [self.stats.get(i, b"stats%d" % i) for i in range(len(self.tasks))],
            "uptime_ms": self.uptime_ms(),
        }
        if with_events and self.frozen:
            body["events"] = self.event_ring
        payload = cbor2.dumps(body, canonical=True)
        message = struct.pack(">BBHHBB", 9, 0, len(payload), 64, 0, 4) + payload
        if len(message) > len(self._tx):
            return -errors.SPACE
        self._tx[: len(message)] = message
        self.link_send(len(message))
        return len(message)

    def sched_stats(self, task: int, buf: memoryview) -> int:
        data = self.stats.get(task, b"stats%d" % task)
        if len(data) > len(buf):
            return -errors.SPACE
        buf[: len(data)] = data
        return len(data)

    def sched_longest(self, task: int) -> tuple[int, int]:
        return 100 + task, 200 + task

    def sched_results(self, cursor: int, most: int, buf: memoryview) -> int:
        count = min(most, (len(buf) - 4) // 36, 3)
        buf[:4] = (cursor + count).to_bytes(4, "little")
        buf[4 : 4 + 36 * count] = bytes(36 * count)
        return 4 + 36 * count

    def sched_events(self, buf: memoryview) -> int:
        if len(self.event_ring) > len(buf):
            return -errors.SPACE
        buf[: len(self.event_ring)] = self.event_ring
        return len(self.event_ring)

    def quantize_i16(
        self,
        samples: memoryview,
        first: int,
        count: int,
        lsb: int,
        scale: int,
        zero: int,
        out: memoryview,
    ) -> int:
        if first + count > len(samples) // 2 or count > len(out):
            return -errors.SPACE
        step, size = (struct.unpack("<f", struct.pack("<I", bits))[0] for bits in (lsb, scale))
        for i in range(count):
            (value,) = struct.unpack_from("<h", samples, 2 * (first + i))
            out[i] = min(max(round(value * step / size) + zero, -128), 127) & 255
        return count

    def scale_i16(
        self, samples: memoryview, first: int, count: int, lsb: int, out: memoryview
    ) -> int:
        if first + count > len(samples) // 2 or 4 * count > len(out):
            return -errors.SPACE
        (step,) = struct.unpack("<f", struct.pack("<I", lsb))
        values = struct.unpack_from(f"<{count}h", samples, 2 * first)
        struct.pack_into(f"<{count}f", out, 0, *(value * step for value in values))
        return count

    # link
    def link_poll(self) -> int:
        return len(self.received[0]) if self.received else 0

    def link_rx(self) -> memoryview:
        self._rx[: len(self.received[0])] = self.received[0]
        return memoryview(self._rx)

    def link_done(self) -> None:
        del self.received[0]

    def link_tx(self) -> memoryview:
        return memoryview(self._tx)

    def link_send(self, size: int) -> int:
        self.sent.append(bytes(self._tx[:size]))
        return 0

    def link_stream(self) -> None:
        pass

    def link_counters(self) -> tuple[int, int, int, int, int]:
        return 7, 1, 2, 3, len(self.sent)

    def crc16(self, data: bytes, crc: int = 0) -> int:
        return binascii.crc_hqx(data, crc)

    # checks in pieces: a context that holds all there is, and one step more than none
    def sha256_begin(self) -> bytearray:
        return bytearray()

    def sha256_update(self, context: bytearray, data: memoryview) -> None:
        context += data

    def sha256_end(self, context: bytearray) -> bytes:
        return hashlib.sha256(context).digest()

    def ed25519_begin(self, signature: bytes, key: bytes) -> bytearray:
        return bytearray(b"\0" + signature + key)

    def ed25519_update(self, context: bytearray, message: memoryview) -> None:
        context += message

    def ed25519_step(self, context: bytearray) -> int:
        context[0] += 1
        if context[0] < 3:
            return 1
        try:
            key = Ed25519PublicKey.from_public_bytes(bytes(context[65:97]))
            key.verify(bytes(context[1:65]), bytes(context[97:]))
        except InvalidSignature:
            return -errors.PKG_SIGNATURE
        return 0
