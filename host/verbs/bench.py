"""`bench`: figures, from one run on a board."""

import time
from pathlib import Path
from typing import Any

from host.errors import DoesNotFitError, UsageError
from host.setup import ensure_extras
from host.verbs import Console

_JOBS = 20
_ECHOES = 50


def run(console: Console, what: str, board: str, csv: str, capacity: int) -> dict[str, Any]:
    """Run one benchmark. Raises UsageError for an unknown one."""
    if what == "planner":
        return _planner(console, csv, capacity)
    benches = {"engine": _engine, "link": _link}
    if what not in benches:
        raise UsageError(
            f"no benchmark is called {what!r}", f"choose one of: planner, {', '.join(benches)}"
        )
    return {"board": board, **benches[what](console, board)}


def _engine(console: Console, board_name: str) -> dict[str, Any]:
    """Time of an inference of each model of the demo, net of preemption, against its budget."""
    from host.boards import load_board
    from host.link.session import connect
    from host.progress import on_terminal

    with on_terminal() as progress:
        ensure_extras("export", "report", progress=progress)
        from host.demo import prepare

        built = prepare("demo", board_name, progress)
    shift = load_board(board_name).emulator.get("ns_per_instruction_shift")
    with connect(board_name) as session:
        session.tactus.stop()
        session.tactus.run(20)
        while min(task.exec_n for task in session.tactus.stats().tasks) < _JOBS:
            time.sleep(0.1)
        session.tactus.stop()
        stats = session.tactus.stats().tasks
    models: dict[str, dict[str, Any]] = {}
    for row, task in zip(built.report["tasks"], stats, strict=True):
        macs = sum(
            op["units"] for op in row["op_table"] if op["kind"] in ("conv2d", "dwconv2d", "linear")
        )
        models[row["name"]] = {
            "macs": macs,
            "exec_us": {
                "min": task.exec_min_us,
                "mean": task.exec_sum_us // task.exec_n,
                "max": task.exec_max_us,
            },
            "budget_us": row["budget_us"],
            "wcet_exceeded": task.wcet_exceeded,
            "instructions": task.exec_min_us * 1000 >> shift if shift is not None else None,
            "arena_bytes": row["arena_bytes"],
            "image_bytes": row["image_bytes"],
            "pte_bytes": row["pte_bytes"],
        }
        known = models[row["name"]]
        console.say(
            f"{row['name']}: {macs:,} MACs, {task.exec_min_us:,} to {task.exec_max_us:,} us "
            f"of a budget of {row['budget_us']:,} us"
            + (f", {known['instructions']:,} instructions" if shift is not None else "")
        )
    return {"models": models}


def _link(console: Console, board_name: str) -> dict[str, Any]:
    """Request rate of the link while the tasks stand still, and the board's message size."""
    from host.link.session import connect

    with connect(board_name) as session:
        running = session.info.running
        session.tactus.stop()
        started = time.monotonic()
        for index in range(_ECHOES):
            session.os.echo(f"echo {index}")
        per_second = _ECHOES / (time.monotonic() - started)
        buffer = session.os.params().buf_size
        counters = session.client.counters
        retries = counters.retries
        if running:
            session.tactus.run(1)
    console.say(f"{per_second:.0f} requests/s, messages of up to {buffer} bytes, {retries} retries")
    return {
        "requests_per_second": round(per_second, 1),
        "message_bytes": buffer,
        "retries": retries,
    }


def _planner(console: Console, csv: str, capacity: int) -> dict[str, Any]:
    """Plan the product's own instances, or a file's. Raises DoesNotFitError above `capacity`."""
    from host.bench.planner import INSTANCES, exact_packing, measure, read_csv

    if csv:
        instances = [read_csv(Path(csv))]
    else:
        instances = [exact_packing(*instance) for instance in INSTANCES]
    rows = []
    for instance in instances:
        row = measure(instance)
        rows.append(row)
        peak, bound = row["peak"], row["lower_bound"]
        verdict = "optimal" if peak == bound else f"at most {(peak - bound) / bound:.1%} to gain"
        console.say(
            f"{row['name']}: {row['buffers']} buffers, {peak:,} B, {verdict}, {row['seconds']:.2f} s"
        )
    if capacity and rows[0]["peak"] > capacity:
        raise DoesNotFitError(
            f"{csv}: the best plan needs {rows[0]['peak']:,} bytes, "
            f"no plan is smaller than {rows[0]['lower_bound']:,}",
            f"raise the capacity of {capacity:,} bytes, or make the buffers smaller",
        )
    return {"instances": rows}
