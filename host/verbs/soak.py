"""`soak`: a board at sustained load, its first minute against its last."""

import sys
from typing import Any

from host.errors import UsageError
from host.setup import ensure_extras
from host.verbs import Console

_MINUTES_MIN, _MINUTES_MAX = 0.1, 60 * 24 * 7
_LINES_EVERY_S = 10.0


def run(
    console: Console, app: str, board: str, port: str, minutes: str, load: str
) -> dict[str, Any]:
    """Build, install at the load, run, compare, and put the application back as it was.

    Raises SoakError with the figures when the board missed, stood still or drifted.
    """
    from host.progress import on_terminal

    length = _real("--minutes", minutes, _MINUTES_MIN, _MINUTES_MAX)
    share = _real("--load", load, 0.01, 1.0)
    with on_terminal() as progress:
        ensure_extras("export", progress=progress)
        from host.build import build_app
        from host.flash.flasher import flash_board
        from host.install import install_package
        from host.link.session import connect
        from host.monitor.soak import SoakError, at_load, soak_board, soak_json
        from host.monitor.soak_table import soak_table
        from host.monitor.views import choose_view
        from host.package.keys import demo_signer, trusted
        from host.package.write import retime_package

        built = build_app(app, board, progress)
        tasks, verdict = at_load(built.board, built.timings(), share)
        times = {task.name: (task.period_us, task.deadline_us) for task in tasks}
        package = retime_package(built.package, times, demo_signer())
        if not port:
            flash_board(built.board, built.replay, *trusted(), progress=progress)
        install_package(board, port or None, package, progress)
    console.say(
        f"{built.report['app']} on {built.board.title} at load {share:g}: "
        f"utilization {verdict.utilization_percent} % with the board's own costs, {length:g} minutes"
    )
    stream = sys.stderr if console.as_json else sys.stdout
    try:
        with connect(board, port or None) as session:
            soak = soak_board(
                session,
                built.board,
                round(length * 60_000),
                choose_view(False, stream, keep=False, every_s=_LINES_EVERY_S),
            )
    finally:
        install_package(board, port or None, built.package)
    found, reasons = soak.verdict()
    console.show(soak_table(soak))
    result = {
        "board": board,
        "app": built.report["app"],
        "load": share,
        "utilization_percent": verdict.utilization_percent,
        **soak_json(soak),
    }
    longest = soak.loop_after.get("background_max_us", 0)
    if longest > built.board.time.background_us:
        console.say(
            f"note: a piece of background work took {longest:,} us, "
            f"board.toml declares {built.board.time.background_us:,} us"
        )
    if found != "steady":
        raise SoakError(
            f"{found}: {'; '.join(reasons)}",
            "look at `monitor --log FILE` of the same load, or lower --load until it is steady",
            result,
        )
    console.say(
        f"steady: nothing missed in {soak.uptime_ms / 60_000:.1f} minutes, "
        f"{soak.requests:,} requests beside the tasks"
    )
    return result


def _real(option: str, text: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise UsageError(f"{option} is {text!r}", f"choose a number from {low:g} to {high:g}")
    return value
