"""The C dispatcher on a fake clock with scripted ops: exact virtual time, no sleeping."""

import ctypes
import functools
import hashlib
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from protocol import stats as wire

ROOT = Path(__file__).resolve().parent.parent
SOURCES = (
    ROOT / "device/sched/sched.c",
    ROOT / "device/sched/stats.c",
    ROOT / "device/sched/hist.c",
    ROOT / "device/sched/frame.c",
    ROOT / "device/link/cbor.c",
    ROOT / "tests/sched_stub.c",
)
FLAGS = ["-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-Wconversion"]
SANITIZE = ["-fsanitize=undefined", "-fno-sanitize-recover=all"]

START, DONE, ATTENTION, UNTIL, STOPPED = 1, 2, 3, 4, 5
ABORT, SKIP_NEXT, DEGRADE, COUNT_ONLY = 0, 1, 2, 3
ERR_ARGUMENT, ERR_SPACE, ERR_STATE, ERR_NOT_FOUND = -1, -2, -3, -6
FOREVER = 2**64 - 1

U8, U32, U64, PTR, INT = (
    ctypes.c_uint8,
    ctypes.c_uint32,
    ctypes.c_uint64,
    ctypes.c_void_p,
    ctypes.c_int,
)
SIZE, BUF = ctypes.c_size_t, ctypes.c_char_p

# name: (result, arguments)
SIGNATURES = {
    "tac_sched_start": (INT, [PTR, U32, U32]),
    "tac_sched_stop": (None, [PTR]),
    "tac_sched_run": (INT, [PTR, U64]),
    "tac_sched_begin": (INT, [PTR, ctypes.c_uint, U32]),
    "tac_sched_skip": (INT, [PTR, ctypes.c_uint]),
    "tac_sched_now_us": (U64, [PTR]),
    "tac_sched_background": (None, [PTR, U64, INT]),
    "tac_sched_collected": (None, [PTR, U32, INT]),
    "tac_sched_set_mode": (INT, [PTR, ctypes.c_uint, ctypes.c_uint, PTR]),
    "tac_sched_want_mode": (INT, [PTR, ctypes.c_uint]),
    "tac_sched_variant": (ctypes.c_uint, [PTR, ctypes.c_uint]),
    "tac_sched_frame_message": (INT, [PTR, PTR, BUF, SIZE]),
    "tac_sched_pack_loop": (INT, [PTR, BUF, SIZE]),
    "tac_sched_pack_stats": (INT, [PTR, ctypes.c_uint, BUF, SIZE]),
    "tac_sched_pack_results": (INT, [PTR, PTR, BUF, SIZE]),
    "tac_sched_pack_events": (INT, [PTR, BUF, SIZE]),
    "tac_hist_index": (ctypes.c_uint, [U32]),
    "tac_hist_upper": (U32, [ctypes.c_uint]),
    "stub_new": (PTR, [U64]),
    "stub_free": (None, [PTR]),
    "stub_sched": (PTR, [PTR]),
    "stub_add": (INT, [PTR, PTR, ctypes.c_uint, PTR, SIZE, PTR]),
    "stub_add_lite": (INT, [PTR, ctypes.c_uint, PTR, ctypes.c_uint, PTR, SIZE, U32]),
    "stub_clock": (U64, [PTR]),
    "stub_pass": (None, [PTR, U64]),
    "stub_set_wakes": (None, [PTR, PTR, SIZE]),
    "stub_set_overshoot": (None, [PTR, U64]),
    "stub_set_attention": (None, [PTR, INT]),
    "stub_waited": (U64, [PTR]),
    "stub_resets": (ctypes.c_uint, [PTR, ctypes.c_uint]),
}


class Params(ctypes.Structure):
    _fields_ = [("period_us", U32), ("deadline_us", U32), ("budget_us", U32), ("policy", U8)]
    _fields_ += [("whole", U8)]


class FrameHead(ctypes.Structure):
    _fields_ = [("sequence", U32), ("uptime_ms", U32), ("link", PTR), ("with_events", INT)]


class Timing(ctypes.Structure):
    _fields_ = [("period_us", U32), ("deadline_us", U32), ("budget_us", U32), ("variant", U8)]


@functools.cache
def library() -> ctypes.CDLL:
    """Build once per content and process; kept under build/tests."""
    headers = sorted((ROOT / "device/sched").glob("*.h")) + sorted(
        (ROOT / "device/engine").glob("*.h")
    )
    digest = hashlib.sha256(
        b"".join(path.read_bytes() for path in (*SOURCES, *headers)) + repr(FLAGS).encode()
    ).hexdigest()[:16]
    target = ROOT / "build/tests" / f"sched-{digest}.so"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            built = Path(scratch) / target.name
            subprocess.run(
                ["gcc", *FLAGS, *SANITIZE, "-shared", "-fPIC", f"-I{ROOT / 'device'}"]
                + [str(source) for source in SOURCES]
                + ["-o", str(built)],
                check=True,
            )
            built.rename(target)
    lib = ctypes.CDLL(str(target))
    for name, (result, arguments) in SIGNATURES.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


class Bench:
    """One dispatcher with its fake world. Use as a context manager."""

    def __init__(self, now_us: int = 0) -> None:
        self.lib = library()
        self.stub = self.lib.stub_new(now_us)
        self.sched = self.lib.stub_sched(self.stub)
        self.alive: list[object] = []  # arrays that C points to

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.lib.stub_free(self.stub)

    def add(
        self,
        period_us: int,
        deadline_us: int,
        wcets: Sequence[int],
        durations: Sequence[int] | None = None,
        *,
        budget_us: int | None = None,
        policy: int = COUNT_ONLY,
        whole: bool = False,
    ) -> int:
        """A task whose ops declare `wcets`; its steps take `durations` in turn (default: wcets)."""
        declared = (U32 * len(wcets))(*wcets)
        steps = durations if durations is not None else wcets
        real = (U32 * len(steps))(*steps)
        self.alive.append(real)
        params = Params(period_us, deadline_us, budget_us or sum(wcets), policy, whole)
        return self.lib.stub_add(
            self.stub, declared, len(wcets), real, len(steps), ctypes.byref(params)
        )

    def add_lite(
        self,
        task: int,
        wcets: Sequence[int],
        durations: Sequence[int] | None = None,
        *,
        budget_us: int | None = None,
    ) -> int:
        """A lighter variant of a task."""
        declared = (U32 * len(wcets))(*wcets)
        steps = durations if durations is not None else wcets
        real = (U32 * len(steps))(*steps)
        self.alive.append(real)
        budget = budget_us or sum(wcets)
        return self.lib.stub_add_lite(
            self.stub, task, declared, len(wcets), real, len(steps), budget
        )

    def mode(
        self, mode: int, task: int, period: int, deadline: int, budget: int, variant: int = 0
    ) -> int:
        """How a task runs in a mode; a period of 0 switches it off."""
        timing = Timing(period, deadline, budget, variant)
        return self.lib.tac_sched_set_mode(self.sched, mode, task, ctypes.byref(timing))

    def want(self, mode: int) -> int:
        return self.lib.tac_sched_want_mode(self.sched, mode)

    def start(self, delay_us: int = 0, speed: int = 1) -> int:
        return self.lib.tac_sched_start(self.sched, delay_us, speed)

    def run(self, until_us: int = FOREVER) -> tuple[int, int]:
        event = self.lib.tac_sched_run(self.sched, until_us)
        return event & 15, event >> 4

    def begin(self, task: int, tag: int = 0) -> int:
        return self.lib.tac_sched_begin(self.sched, task, tag)

    def skip(self, task: int) -> int:
        return self.lib.tac_sched_skip(self.sched, task)

    def go(self, until_us: int, prologue_us: int = 0) -> list[tuple[int, int]]:
        """Run to until_us, beginning every job; returns the events."""
        log = []
        while True:
            kind, task = self.run(until_us)
            log.append((kind, task))
            if kind == START:
                self.lib.stub_pass(self.stub, prologue_us)
                assert self.begin(task, len(log)) == 0
            elif kind != DONE:
                return log

    @property
    def now_us(self) -> int:
        """The scheduler's clock."""
        return self.lib.tac_sched_now_us(self.sched)

    @property
    def real_us(self) -> int:
        """The port's clock."""
        return self.lib.stub_clock(self.stub)

    def passes(self, duration_us: int) -> None:
        self.lib.stub_pass(self.stub, duration_us)

    def wakes(self, instants: Sequence[int]) -> None:
        array = (U64 * len(instants))(*instants)
        self.alive.append(array)
        self.lib.stub_set_wakes(self.stub, array, len(instants))

    def packed_stats(self, task: int) -> bytes:
        buf = ctypes.create_string_buffer(4096)
        size = self.lib.tac_sched_pack_stats(self.sched, task, buf, len(buf))
        assert size > 0, size
        return buf.raw[:size]

    def stats(self, task: int) -> wire.TaskStats:
        return wire.unpack_stats(self.packed_stats(task))

    def frame(
        self,
        sequence: int,
        uptime: int,
        link: Sequence[int],
        *,
        events: bool = False,
        size: int = 4096,
    ) -> bytes:
        """A stream frame; empty when it does not fit `size` bytes."""
        counters = (U32 * len(link))(*link)
        head = FrameHead(sequence, uptime, ctypes.addressof(counters), events)
        buf = ctypes.create_string_buffer(4096)
        got = self.lib.tac_sched_frame_message(self.sched, ctypes.byref(head), buf, size)
        assert got > 0 or got == ERR_SPACE, got
        return buf.raw[: max(got, 0)]

    def loop(self) -> wire.LoopStats:
        buf = ctypes.create_string_buffer(128)
        size = self.lib.tac_sched_pack_loop(self.sched, buf, len(buf))
        assert size > 0, size
        return wire.unpack_loop(buf.raw[:size])

    def results(self, cursor: int = 0, size: int = 36 * 512) -> tuple[int, list[wire.Result]]:
        """(next cursor, records)."""
        buf = ctypes.create_string_buffer(max(size, 1))
        place = U32(cursor)
        got = self.lib.tac_sched_pack_results(self.sched, ctypes.byref(place), buf, size)
        assert got >= 0, got
        return place.value, wire.unpack_results(buf.raw[:got])

    def packed_events(self) -> bytes:
        buf = ctypes.create_string_buffer(512)
        size = self.lib.tac_sched_pack_events(self.sched, buf, len(buf))
        assert size >= 0, size
        return buf.raw[:size]

    def events(self) -> list[wire.Event]:
        return wire.unpack_events(self.packed_events())
