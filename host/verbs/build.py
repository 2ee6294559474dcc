"""`build`: an application becomes a signed package."""

from typing import Any

from host.setup import ensure_extras
from host.verbs import Console


def run(console: Console, app: str, board: str, explain: bool) -> dict[str, Any]:
    """Build and say what came out."""
    from host.progress import on_terminal

    with on_terminal() as progress:
        ensure_extras("export", progress=progress)
        from host.build import build_app

        built = build_app(app, board, progress)
    report = built.report
    for task in report["tasks"]:
        console.say(
            f"{task['name']}: {task['ops']} ops, {task['image_bytes']:,} B image, "
            f"arena {task['arena_bytes']:,} B (bound {task['arena_lower_bound_bytes']:,}), "
            f"budget {task['budget_us']:,} us of {task['deadline_us']:,} us, "
            f"longest op {task['longest_op_us']:,} us"
        )
    if explain:
        from host.monitor.tables import op_table

        for task in report["tasks"]:
            console.show(op_table(task["name"], task["op_table"]))
    console.say(
        f"{report['package']}: {report['package_bytes']:,} B, "
        f"signed by {report['signer']}, admitted on {board} "
        f"(utilization {report['utilization_percent']} %)"
    )
    return report
