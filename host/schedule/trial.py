"""What a package must keep on its board while it is on trial: app.toml's thresholds, and the predictions where it says nothing."""

from collections.abc import Sequence

from host.appfile import App, TrialLimits
from host.boards import Board
from host.schedule.admit import TaskTiming, start_latency_bounds_us
from host.schedule.modes import mode_timings

WINDOW_MS = 10_000
JOBS = 3  # of the slowest task
MISS_PPM = 1_000  # within the window of most task sets: none
OVERRUN_PPM = 10_000
LINK_GAP_MS = 1_000
NOT_JUDGED_PPM = 1_000_000


def trial_of(
    app: App, board: Board, full: Sequence[TaskTiming], lite: Sequence[TaskTiming | None]
) -> dict[str, object]:
    """The `trial` map of the manifest (SPEC.md, "Manifest").

    A board that is a process of a PC promises no deadlines, so there only what app.toml says is judged. `full` and `lite` are
    the timings of an admitted set, by task.
    """
    said, keeps_time = app.trial, board.emulator.get("kind") != "process"
    return {
        "window_ms": _chosen(said.window_ms, WINDOW_MS if keeps_time else 0),
        "jobs": _chosen(said.jobs, JOBS if keeps_time else 1),
        "miss_ppm": _chosen(said.miss_ppm, MISS_PPM if keeps_time else NOT_JUDGED_PPM),
        "overrun_ppm": _chosen(said.overrun_ppm, OVERRUN_PPM if keeps_time else NOT_JUDGED_PPM),
        "link_gap_ms": _chosen(said.link_gap_ms, LINK_GAP_MS if keeps_time else 0),
        "start_us": _start_us(app, board, said, full, lite),
    }


def _chosen(said: int | None, default: int) -> int:
    return default if said is None else said


def _start_us(
    app: App,
    board: Board,
    said: TrialLimits,
    full: Sequence[TaskTiming],
    lite: Sequence[TaskTiming | None],
) -> list[int]:
    """Per task the latest start: the largest bound of all modes, since each may be asked for."""
    if said.start_us is not None:
        return [said.start_us] * len(full)
    if board.emulator.get("kind") == "process":
        return []
    latest = {task.name: 0 for task in full}
    modes = mode_timings(app, full, lite).values()
    for timings in [list(full), *([timing for timing in mode if timing] for mode in modes)]:
        bounds = start_latency_bounds_us(board, timings)
        for task, bound_us in zip(timings, bounds, strict=True):
            latest[task.name] = max(latest[task.name], bound_us)
    return list(latest.values())
