"""`demo`: the main job on real data, judged and reported."""

import sys
from pathlib import Path
from typing import Any

from host.boards import BUILD
from host.errors import VerificationError
from host.setup import ensure_extras
from host.verbs import Console, whole_number

SPEED_MAX = 1000
_LINES_EVERY_S = 5.0  # where no terminal is


def run(console: Console, app: str, board: str, speed: str, report: str) -> dict[str, Any]:
    """Prepare, run, show. Raises VerificationError when the board's answers differ anywhere."""
    from host.progress import on_terminal

    times = whole_number("--speed", speed, 1, SPEED_MAX)
    with on_terminal() as progress:
        ensure_extras("export", "report", progress=progress)
        from host.demo import prepare, run_demo

        built = prepare(app, board, times, progress)
    from host.demo_result import demo_json
    from host.monitor.views import choose_view

    task_names = ", ".join(task["name"] for task in built.report["tasks"])
    console.say(
        f"{built.report['app']} {built.report['version']} on {built.board.title}: {task_names}, "
        f"recorded data at {times} x"
    )
    file = Path(report) if report else BUILD / "reports" / f"{built.report['app']}-{board}.html"
    stream = sys.stderr if console.as_json else sys.stdout
    view = choose_view(False, stream, keep=False, every_s=_LINES_EVERY_S)
    result = run_demo(built, times, view, file)

    from host.monitor.tables import TaskRow, accuracy_table, arena_table, memory_table, task_table

    rows = [TaskRow(t.name, t.period_us, t.deadline_us, t.stats) for t in result.tasks]
    console.show(task_table(rows, "Deadlines"))
    console.show(accuracy_table(result.tasks, "Answers"))
    console.show(memory_table(result.ram, "RAM of the board"))
    arenas = [(m.name, m.arena_planned_bytes, m.arena_touched_bytes) for m in result.models]
    console.show(arena_table(arenas, "Arenas: planned, and painted to see what is used"))
    console.say(
        f"arena {result.arena_bytes:,} B (bound {result.arena_lower_bound_bytes:,}), "
        f"package {result.package_bytes:,} B, ExecuTorch's .pte {result.pte_bytes:,} B"
    )
    console.say(f"report: {file}")
    console.say(
        f"{board} stays up for `status` and `monitor`; stop it with `boards --stop {board}`"
    )
    if result.parity_mismatches:
        raise VerificationError(
            f"{result.parity_mismatches} windows differ from the reference execution",
            f"see {file}; run `build --explain` to find the operator",
            demo_json(result),
        )
    return demo_json(result)
