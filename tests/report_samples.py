"""A made-up run with numbers of a likely shape, for the report, the tables and the live view."""

import itertools
import random
import struct
from dataclasses import replace

from host.compile.result import BufferPlan, OpReport
from host.demo_result import Accuracy, DemoReport, ModelMemory, TaskResult
from host.link.tactus_group import BoardInfo, StatsSnapshot, TaskInfo
from host.monitor.live import Moment
from protocol.histogram import Histogram
from protocol.stats import EVENT_KINDS, Event, LoopStats, TaskStats


def histogram(values: list[int]) -> Histogram:
    out = Histogram()
    for value in values:
        out.add(value)
    return out


def stats(
    seed: int = 1, jobs: int = 400, typical_us: int = 21_000, late: int = 0, index: int = 0
) -> TaskStats:
    rng = random.Random(seed)
    start = [int(60 + rng.expovariate(1 / 250)) for _ in range(jobs)]
    response = [value + int(rng.gauss(typical_us, typical_us / 25)) for value in start]
    return TaskStats(
        task=index,
        policy=0,
        in_flight=False,
        events_frozen=bool(late),
        off=False,
        has_early=False,
        released=jobs + 1,
        done=jobs,
        missed_late=late,
        aborted=0,
        skipped=0,
        wcet_exceeded=0,
        budget_exceeded=0,
        mk16_max=0,
        mk64_max=0,
        cycle_jitter_max_us=1_840,
        lateness_max_us=-12_000,
        background_max_us=900,
        exec_n=jobs,
        exec_min_us=typical_us - 900,
        exec_max_us=typical_us + 1400,
        exec_sum_us=typical_us * jobs,
        done_lite=0,
        degraded=0,
        restored=0,
        restarted=0,
        wcet_excess_max_us=0,
        wcet_excess_op=0,
        variant=0,
        period_us=50_000,
        deadline_us=40_000,
        budget_us=typical_us + 2_000,
        early=0,
        start=histogram(start),
        response=histogram(response),
    )


def _packed_histogram(h: Histogram) -> bytes:
    out = struct.pack("<IIIQB", h.n, h.min_us, h.max_us, h.sum_us, len(h.nonzero()))
    for index, count in h.nonzero():
        out += bytes([index])
        while count >= 0x80:
            out += bytes([count & 0x7F | 0x80])
            count >>= 7
        out += bytes([count])
    return out


def packed(s: TaskStats) -> bytes:
    """As tac_sched_pack_stats() ships it."""
    flags = s.in_flight | s.events_frozen << 1 | s.off << 2 | s.has_early << 3
    head = struct.pack("<BBBBIIIIIIIHHIiIIIIQ", 3, s.task, s.policy, flags, *tuple(s)[6:22])
    head += struct.pack("<IIIIIHBBIIII", *tuple(s)[22:29], 0, *tuple(s)[29:33])
    return head + _packed_histogram(s.start) + _packed_histogram(s.response)


def memory(name: str, sizes: list[int]) -> ModelMemory:
    """A chain of ops, each reading the buffer before it; even buffers below, odd ones on top."""
    ops = tuple(
        OpReport(n, kind, f"{kind}_{n}", 1000 * size, size // 3 + 40, (1, size), 0)
        for n, (size, kind) in enumerate(
            zip(
                sizes[1:], ["conv2d", "dwconv2d", "maxpool2d", "conv2d", "linear"] * 4, strict=False
            )
        )
    )
    peak = max(a + b for a, b in itertools.pairwise(sizes))
    buffers = tuple(
        BufferPlan(
            "input" if n == 0 else f"{ops[n - 1].kind}_{n - 1}",
            size,
            max(n - 1, 0),
            min(n, len(ops) - 1),
            0 if n % 2 == 0 else peak - size,
        )
        for n, size in enumerate(sizes)
    )
    return ModelMemory(name, 0, peak, peak - 64, 14_220, 9_872, ops, buffers)


def report(late: int = 0, mismatches: int = 0) -> DemoReport:
    return DemoReport(
        board="qemu-m4",
        board_title="Emulated Cortex-M4F (QEMU mps2-an386), MicroPython",
        app="demo",
        version="1.0.0",
        versions={
            "tactus": "0.1.0",
            "firmware": "MicroPython 1.25.0",
            "executorch": "1.5.1",
            "torch": "2.13.0",
        },
        speed=10,
        package_bytes=24_656,
        arena_bytes=12_544,
        arena_lower_bound_bytes=12_480,
        tasks=(
            TaskResult(
                "motion",
                1_000_000,
                500_000,
                90_000,
                "skip_next",
                stats(1, 40, 64_000),
                Accuracy(1.0, 0.975, 0.975),
                40,
                0,
            ),
            TaskResult(
                "digits",
                50_000,
                40_000,
                29_000,
                "abort",
                stats(2, 800, 21_000, late, 1),
                Accuracy(0.9833, 0.9805, 0.9805),
                360,
                mismatches,
            ),
        ),
        models=(
            memory("motion", [360, 1440, 1440, 720, 1440, 720, 360, 64, 4]),
            memory("digits", [64, 1024, 2048, 512, 1024, 10]),
        ),
        ram=(
            ("arena", 65_536),
            ("statistics and results", 24_400),
            ("link buffers", 6_144),
            ("interpreter heap", 98_304),
            ("stacks", 16_384),
            ("other static", 21_000),
            ("free", 30_376),
        ),
    )


INFO = BoardInfo(
    board="qemu-m4",
    device_class="armv7e-m",
    firmware="0.1.0",
    protocol=1,
    trust="demo",
    boot_id=7,
    reset_cause=1,
    uptime_ms=1234,
    running=True,
    speed=1,
    app="demo",
    version="1.0.0",
    slot=0,
    state=5,
    reason=None,
)
TASKS = (
    TaskInfo("motion", 1_000_000, 500_000, 90_000, (), 0, 0, 0, 0),
    TaskInfo("digits", 50_000, 40_000, 29_000, (), 0, 0, 0, 0),
)


def ring(zero_us: int = 0, job: int = 61) -> tuple[Event, ...]:
    """A frozen ring: digits job 62 (`job` + 1) is late by 2.5 ms. Its release lies 60 ms after `zero_us`.

    All lie on one grid when `job` is 1 more than a multiple of 20. motion (job 3) blocks digits job 61 with a long op, background work follows, motion's last op
    holds job 62 up, whose own ops then take too long.
    """
    rows = [
        (-40_000, 0, job // 20, "release", 0, 20),
        (100, 0, job // 20, "start", 0, 40_100),
        (100, 0, job // 20, "op", 0, 9_000),
        (9_100, 0, job // 20, "op", 1, 21_000),
        (10_000, 1, job, "release", 0, 20_100),
        (30_100, 0, job // 20, "preempted", 0, 30_000),
        (30_200, 1, job, "start", 0, 20_200),
        (30_200, 1, job, "op", 0, 9_000),
        (39_300, 1, job, "op", 1, 8_000),
        (47_300, 1, job, "done", 0, 37_300),
        (47_400, 255, 0, "background", 0, 12_000),
        (59_400, 0, job // 20, "op", 2, 3_000),
        (62_400, 0, job // 20, "done", 0, 102_400),
        (60_000, 1, job + 1, "release", 0, 2_400),
        (62_500, 1, job + 1, "start", 0, 2_500),
        (62_500, 1, job + 1, "op", 0, 25_000),
        (87_500, 1, job + 1, "op", 1, 15_000),
        (102_500, 1, job + 1, "done", 0, 42_500),
        (102_500, 1, job + 1, "late", 0, 2_500),
    ]
    return tuple(
        Event((at + zero_us) % 2**32, number, task, EVENT_KINDS.index(kind), op, value)
        for at, task, number, kind, op, value in rows
    )


def packed_events(events: tuple[Event, ...]) -> bytes:
    """As tac_sched_pack_events() ships them."""
    return b"".join(
        struct.pack("<IIBBHI", e.at_us, e.job, e.task, e.kind, e.op, e.value) for e in events
    )


LOOP = LoopStats(
    mode=0,
    wanted_mode=0,
    running=True,
    events_frozen=False,
    elapsed_us=20_000_000,
    idle_us=9_000_000,
    op_us=10_000_000,
    background_us=400_000,
    ops=5_000,
    preemptions=12,
    background_count=44,
    background_max_us=12_000,
    mode_switches=0,
    mode_wait_max_us=0,
    gc_count=3,
    gc_forced=1,
    gc_pause_max_us=9_876,
)


def moment(
    jobs: int = 400, uptime_ms: int = 20_000, boot_id: int = 7, late: int = 0, seq: int = 1
) -> Moment:
    """What a board says after so many jobs of digits; with `late`, its ring is frozen."""
    both = stats(1, max(jobs // 20, 1), 64_000), stats(2, jobs, 21_000, late, 1)
    motion, digits = (
        sample._replace(
            period_us=task.period_us, deadline_us=task.deadline_us, budget_us=task.budget_us
        )
        for sample, task in zip(both, TASKS, strict=True)
    )
    return Moment(
        replace(INFO, boot_id=boot_id),
        TASKS,
        StatsSnapshot(seq, uptime_ms, (motion, digits), (12, 1, 0, 0, 12), LOOP),
        report().ram,
        ring() if late else (),
        1_700_000_000.5 + uptime_ms / 1000,
    )
