"""`build`: an application becomes a signed package."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from host.setup import ensure_extras
from host.verbs import Console

if TYPE_CHECKING:
    from host.package.keys import Signer


def run(
    console: Console, app: str, board: str, explain: bool, keys: str = "", passphrase_fd: str = ""
) -> dict[str, Any]:
    """Build and say what came out."""
    from host.progress import on_terminal

    signer = chosen_signer(keys, passphrase_fd)
    with on_terminal() as progress:
        ensure_extras("export", progress=progress)
        from host.build import build_app

        built = build_app(app, board, progress, signer)
    report = built.report
    for task in report["tasks"]:
        console.say(
            f"{task['name']}: {task['ops']} ops, {task['image_bytes']:,} B image, "
            f"arena {task['arena_bytes']:,} B ({_verdict(task)}), "
            f"budget {task['budget_us']:,} us of {task['deadline_us']:,} us, "
            f"input {task['input_us']:,} us, longest step {task['longest_op_us']:,} us"
        )
        if early := task["early"]:
            console.say(
                f"  early exit: {early['mandatory_ops']} ops and {early['mandatory_us']:,} us are mandatory, "
                f"of {early['full_us'] - early['mandatory_us']:,} us optional the budget holds "
                f"{task['budget_us'] - early['mandatory_us']:,} us"
            )
        if lite := task["lite"]:
            console.say(
                f"  lite: {lite['ops']} ops, {lite['image_bytes']:,} B image, "
                f"arena {lite['arena_bytes']:,} B, budget {lite['budget_us']:,} us, "
                f"longest step {lite['longest_op_us']:,} us"
            )
    shared = report["arena_bytes_unshared"] - report["arena_bytes"]
    if shared > 0:
        whole = ", ".join(task["name"] for task in report["tasks"] if task["runs_whole"])
        console.say(
            f"arenas: {report['arena_bytes']:,} B of RAM, {shared:,} B less by sharing"
            + (f" ({whole}: never preempted)" if whole else "")
        )
    for mode in report["modes"]:
        runs = ", ".join(_runs(name, run) for name, run in mode["tasks"].items())
        console.say(
            f"mode {mode['name']}: {runs}; admitted with {mode['slack_us']:,} us to spare "
            f"({mode['tightest']}), utilization {mode['utilization_percent']} %"
        )
    if explain:
        from host.monitor.op_tables import op_tables

        for task in report["tasks"]:
            console.show(op_tables(task["name"], task["op_table"]))
    console.say(
        f"{report['package']}: {report['package_bytes']:,} B, "
        f"signed by {report['signer']}, admitted on {board} "
        f"(utilization {report['utilization_percent']} %)"
    )
    return report


def chosen_signer(folder: str, passphrase_fd: str) -> "Signer | None":
    """The signer of a key folder, None for the demo keys. Raises MissingError or UsageError."""
    if not folder:
        return None
    from host.package.keys_folder import KeyFolder
    from host.package.keys_passphrase import read_passphrase

    opened = KeyFolder.open(Path(folder).expanduser())
    return opened.signer(read_passphrase(passphrase_fd))


def _runs(name: str, run: dict[str, Any] | None) -> str:
    """How a task runs in a mode."""
    if run is None:
        return f"{name} off"
    lite = " lite" if run["variant"] == "lite" else ""
    return f"{name}{lite} every {run['period_us'] / 1000:g} ms"


def _verdict(task: dict[str, Any]) -> str:
    """What is proved about a task's arena, and what keeping its input costs."""
    arena, bound = task["arena_bytes"], task["arena_lower_bound_bytes"]
    words = (
        "optimal"
        if task["plan_optimal"]
        else f"bound {bound:,}, at most {(arena - bound) / bound:.1%} to gain"
    )
    kept = task["keep_input_bytes"]
    return f"{words}; {kept:,} of it keep the input" if kept else words
