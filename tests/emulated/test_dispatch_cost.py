"""What the loop costs on the emulated M4, counted instruction by instruction: an op, a job, a stream frame."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import package_builder as build
import pytest
from firmware_profile import profiled_board

from host.boards import load_board
from host.install import install_package
from host.link.session import Session, connect
from host.link.tactus_group import StatsSnapshot
from host.package import keys

pytestmark = pytest.mark.emulated
BOARD = load_board("qemu-m4")
OP_US = 150
OPS = 49
SECONDS = 2.0
FRAME_MS = 20
KERNEL = ("tac_kernel_clamp", "tac_exec_step")
SLEEP = ("tac_port_wait_until",)
# Functions that run once a boundary between ops and hardly elsewhere, in a job of many ops.
BOUNDARY = (
    "tac_sched_run",
    "tac_jobs_",
    "tac_port_now_us",
    "clock_now",
)  # names or their beginnings


@dataclass
class Run:
    """One mode over a while: the instructions by function, and what the board counted."""

    instructions: Counter[str]
    jobs: int
    ops: int
    outside_us: int  # neither ops, nor idle, nor background
    background_us: int
    frames: int
    start_max_us: int
    longest_us: int  # piece of background work since the start


def package() -> bytes:
    """A task of one op and a task of many; modes "one" and "many" in which only that one runs."""
    many = build.plan(OP_US)
    many.ops = [dict(many.ops[0]) for _ in range(OPS)]
    tasks = [
        build.task("one", 0, 0, 1, budget_us=OP_US, longest_op_us=OP_US),
        build.task("many", 2, 32, 1, budget_us=OPS * OP_US, longest_op_us=OP_US, selftest=[]),
    ]
    content = build.manifest(tasks=tasks)
    timing = {"period_us": 50_000, "deadline_us": 40_000, "variant": 0}
    content["modes"] = [
        {"name": "one", "tasks": [timing, None]},
        {"name": "many", "tasks": [None, timing]},
    ]
    content["target"] |= {"class": BOARD.device_class, "features": list(BOARD.features)}
    parts = [*build.payloads(build.plan(OP_US).image()), ("many", many.image())]
    return build.build(content, parts, keys.demo_signer())


def settled(session: Session, mode: str, speed: int) -> None:
    session.tactus.run(speed)
    session.tactus.want_mode(mode)
    give_up = time.monotonic() + 20
    while session.tactus.mode().mode != mode:
        assert time.monotonic() < give_up, f"mode {mode} does not begin"
        time.sleep(0.05)


def observe(session: Session, period_ms: int = 0) -> tuple[StatsSnapshot, StatsSnapshot, int]:
    """Between two marks; with a lease when period_ms is not 0."""
    if period_ms:
        session.tactus.subscribe(60_000, period_ms)
    before = session.tactus.stats()
    session.tactus.info()
    frames, until = 0, time.monotonic() + SECONDS
    while time.monotonic() < until:
        if period_ms:
            frames += session.tactus.next_frame(0.2) is not None
        else:
            time.sleep(0.1)
    session.tactus.info()
    after = session.tactus.stats()
    if period_ms:
        session.tactus.subscribe(0, period_ms)
    return before, after, frames


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Run]]:
    folder = tmp_path_factory.mktemp("profile")
    seen = {}
    with profiled_board(BOARD, build.replay_image(), folder) as profile:
        assert install_package(None, profile.port, package()) == "installed"
        with connect(port=profile.port) as session:
            for name, mode, period_ms in (
                ("one", "one", 0),
                ("many", "many", 0),
                ("stream", "one", FRAME_MS),
            ):
                settled(session, mode, 1 if period_ms else 20)
                seen[name] = observe(session, period_ms)
    out = {}
    # Each observation is the section between its two marks; before and after it lie others.
    sections = iter(profile.sections[-2 * len(seen) :])
    for name, (before, after, frames) in seen.items():
        instructions = next(sections)
        next(sections, None)
        assert before.loop and after.loop
        spans = {
            field: getattr(after.loop, field) - getattr(before.loop, field)
            for field in ("elapsed_us", "idle_us", "op_us", "background_us", "ops")
        }
        index = int(name == "many")
        out[name] = Run(
            instructions,
            after.tasks[index].done - before.tasks[index].done,
            spans["ops"],
            spans["elapsed_us"] - spans["idle_us"] - spans["op_us"] - spans["background_us"],
            spans["background_us"],
            frames,
            after.tasks[index].start.max_us,
            after.loop.background_max_us,
        )
    yield out


def test_a_boundary_between_ops_costs_at_most_150_instructions(runs: dict[str, Run]) -> None:
    run = runs["many"]
    steps = run.instructions["tac_exec_step"] / 27  # instructions of one step
    assert 0.7 < steps / run.ops < 1.4, "the section is not the run"
    inside = (n for name, n in run.instructions.items() if name.startswith(BOUNDARY))
    spent = sum(inside) / run.ops
    print(f"dispatch: {spent:.1f} instructions an op, {run.ops} ops")
    assert 20 < spent <= 150


def test_a_job_with_its_share_of_the_whole_loop_costs_at_most_7000_instructions(
    runs: dict[str, Run],
) -> None:
    run = runs["one"]
    nanoseconds = 1 << int(BOARD.emulator["ns_per_instruction_shift"])
    spent = run.outside_us * 1000 / nanoseconds / run.jobs
    print(f"loop: {spent:.0f} instructions a job, {run.jobs} jobs")
    assert (
        500 < spent <= 7000
    )  # with telemetry, trial and four questions; bench realtime: jobs alone


def test_fifty_frames_a_second_stay_short_and_do_not_collect(runs: dict[str, Run]) -> None:
    run, quiet = runs["stream"], runs["one"]
    assert run.frames >= 10
    each_us = (run.background_us - quiet.background_us) / run.frames
    share = each_us / 1000 / FRAME_MS
    print(
        f"stream at {1000 // FRAME_MS} Hz, two tasks: {each_us:.0f} us a frame, {share:.1%} of the time, "
        f"longest piece {run.longest_us} us; {run.frames} frames, start {run.start_max_us} us"
    )
    assert each_us < BOARD.time.background_us / 2
    assert each_us <= run.longest_us <= BOARD.time.background_us
