"""The loaded application: load, start, stop, self-test."""

import hashlib

import _tactus

from protocol import errors
from protocol.manifest import POLICIES, answer_bytes, mode_count, mode_timings
from tactus import package as packages
from tactus import sources, watchdog
from tactus.refusal import Refused, require

SPEED_MAX = 1000
_START_DELAY_US = 100_000  # the reply that announces the start is sent before the first release


def load(board, package, slot):
    """Make a verified package the board's application, not started. Raises Refused."""
    unload(board)
    image = _tactus.replay()
    board.sources = [sources.open_source(task, image) for task in package.manifest["tasks"]]
    board.package = package
    board.slot = slot


def unload(board):
    """Forget the application."""
    stop(board)
    _tactus.sched_reset()
    board.package = None
    board.trial = None
    board.slot = -1
    board.sources = []
    board.fills = []


def start(board, speed):
    """Clear the statistics and start sampling. Raises Refused; the application then stands still.

    Boards whose clock cannot be bent divide periods and deadlines by `speed` and admit the result; on the
    others idle time passes `speed` times as fast.
    """
    scale = speed if board.facts["scales_with_speed"] else 1
    prepare(board, scale)
    code = _tactus.sched_start(_START_DELAY_US, speed // scale)
    require(code >= 0, -code, "start")
    board.speed = speed
    board.running = True
    board.starts += 1


def prepare(board, scale=1):
    """All of start() but the start: the statistics are there, and empty. Raises Refused."""
    manifest = board.package.manifest
    packages.check_schedule(manifest, board.facts, scale)
    stop(board)
    _tactus.collect()  # the largest litter there is: none of it may be left to the first releases
    _tactus.sched_reset()
    tasks = manifest["tasks"]
    for index in range(len(tasks)):
        task = tasks[index]
        code = _tactus.sched_add(
            board.package.payload(task["plan"]),
            task["arena_offset"],
            task["period_us"] // scale,
            task["deadline_us"] // scale,
            task["budget_us"],
            POLICIES.index(task["policy"]),
            1 if packages.runs_whole(task) else 0,
        )
        require(code == index, -code if code < 0 else errors.STATE, "task " + task["name"])
        if "lite" in task:
            lite = task["lite"]
            image = board.package.payload(lite["plan"])
            code = _tactus.sched_add_lite(index, image, lite["budget_us"])
            require(code >= 0, -code, "lite variant of task " + task["name"])
        board.sources[index].bind(index)
    _set_modes(manifest, scale)
    board.fills = [fill for source in board.sources for fill in source.fills()]


def _set_modes(manifest, scale):
    for mode in range(1, mode_count(manifest)):
        timings = mode_timings(manifest, mode)
        for index in range(len(timings)):
            period, deadline, budget, _, variant = timings[index]
            code = _tactus.sched_set_mode(
                mode, index, period // scale, deadline // scale, budget, variant
            )
            require(code >= 0, -code, "mode %d of task %d" % (mode, index))


def stop(board):
    """Stop sampling; statistics and results stay readable."""
    _tactus.sched_stop()
    board.running = False


def selftest(package):
    """Run every self-test vector of a package: (passed, failed). Only while stopped. Raises Refused."""
    passed = 0
    failed = 0
    for task in package.manifest["tasks"]:
        for model in [task, task["lite"]] if "lite" in task else [task]:
            image = package.payload(model["plan"])
            output = bytearray(answer_bytes(model))
            for test in model["selftest"]:
                watchdog.feed()  # each may take long; one that never ends is what it is for
                code = _tactus.engine_run(image, package.payload(test["input"]), output)
                if code < 0:
                    raise Refused(-code, "self-test of task " + task["name"])
                if hashlib.sha256(output).digest() == test["output_sha256"]:
                    passed += 1
                else:
                    failed += 1
    return passed, failed
