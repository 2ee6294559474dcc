"""`bench`: figures, from one run on a board."""

from pathlib import Path
from typing import Any

from host.errors import DoesNotFitError, TactusError, UsageError
from host.progress import Progress
from host.setup import ensure_extras
from host.verbs import Console, whole_number


def run(
    console: Console,
    what: str,
    board: str,
    explain: bool = False,
    csv: str = "",
    capacity: str = "0",
    app: str = "demo",
    seconds: str = "3600",
    keep: bool = False,
    kills: str = "200",
) -> dict[str, Any]:
    """Run one benchmark, on `host` where no board is named and it runs on one. Raises UsageError for an unknown one."""
    if what == "update":
        return _update(console, board, whole_number("--kills", kills, 1, 100_000))
    board = board or "host"
    match what:
        case "engine":
            return _engine(console, board, explain)
        case "parity":
            return _parity(console, board)
        case "planner":
            return _planner(console, csv, whole_number("--capacity", capacity, 0, 2**40))
        case "link":
            return _link(console, board)
        case "wcet":
            return _wcet(console, board, app, keep)
        case "realtime":
            return _realtime(console, board, whole_number("--seconds", seconds, 1, 100_000))
    raise UsageError(
        f"no benchmark is called {what!r}",
        "choose one of: engine, parity, planner, link, wcet, realtime, update",
    )


def _engine(console: Console, board: str, explain: bool) -> dict[str, Any]:
    """The MLPerf Tiny models: instructions, memory, code size, beside those of the peers."""
    from host.progress import on_terminal

    with on_terminal() as progress:
        ensure_extras("export", progress=progress)
        from host.bench import engine, engine_tables

        result = engine.measure_engine(board, progress=progress)
    if explain:
        for table in engine_tables.step_tables(result):
            console.show(table)
    console.show(engine_tables.figures_table(result))
    if result.engine_flash_all_ops_bytes is None:
        console.show(engine_tables.timing_table(result))
    else:
        console.say(
            f"code of the engine with every operator: {result.engine_flash_all_ops_bytes:,} bytes"
        )
    console.say("the peers were measured once, as host/bench/baselines.json says")
    return result.as_json()


def _parity(console: Console, board: str) -> dict[str, Any]:
    """ExecuTorch's Cortex-M test cases on a board, byte for byte."""
    from host.progress import on_terminal

    with on_terminal() as progress:
        ensure_extras("export", "dev", progress=progress)
        from host.bench.parity import run_parity

        found = run_parity(board, console.say)
    console.say(
        f"{found['passed']} of {found['total']} cases pass, {found['failed']} fail, "
        f"{len(found['unsupported'])} are unsupported (host/compile/COVERAGE.md)"
    )
    return found


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


def _link(console: Console, board: str) -> dict[str, Any]:
    """Request rate of the link while the tasks stand still, and the board's message size."""
    from host.bench.link import measure_link

    result = measure_link(board)
    console.say(
        f"{result.requests_per_second:.0f} requests/s, messages of up to {result.message_bytes} "
        f"bytes, {result.retries} retries"
    )
    return {"board": board, **result.as_json()}


def _wcet(console: Console, board: str, app: str, keep: bool) -> dict[str, Any]:
    """Measure every op of an application on a board; the next build declares what was measured."""
    from host.progress import on_terminal

    with on_terminal() as progress:
        ensure_extras("export", progress=progress)
        from host.bench.wcet import measure_wcet

        result = measure_wcet(app, board, keep, progress)
    for table in result.tables:
        declared = table.declared_us()
        worst = max(range(len(declared)), key=declared.__getitem__)
        marked = sum(op.data_dependent for op in table.ops)
        console.say(
            f"{table.model}: {sum(op.observed_us for op in table.ops):,} us observed in {table.runs} "
            f"runs ({table.left_out} disturbed ones left out), {sum(declared):,} us declared; longest op {worst} ({table.ops[worst].kind}), "
            f"{declared[worst]:,} us; {marked} of {len(declared)} ops depend on data"
        )
    console.say("wrote " + ", ".join(result.as_json()["files"]))
    return result.as_json()


def _realtime(console: Console, board: str, seconds: int) -> dict[str, Any]:
    """Task sets near the limit on the firmware, in exact time, and arrival order beside them."""
    from host.progress import on_terminal

    with on_terminal() as progress:
        ensure_extras("export", progress=progress)
        if board == "host":
            return _ratios(console, seconds, progress)
        from host.bench.realtime import measure_realtime

        result = measure_realtime(board, seconds, progress=progress)
    for found in result.sets:
        console.say(
            f"utilization {found.utilization:g}: {found.jobs:,} jobs, {found.missed} missed "
            f"({found.missed_run_to_completion:,} of {found.jobs_run_to_completion:,} run to completion "
            f"in arrival order), {found.overhead_share:.2%} of the time outside kernels"
        )
        for task in found.tasks:
            console.say(
                f"  {task.name}: start {task.start_latency_max_us:,} us at most, bound "
                f"{task.start_latency_bound_us:,}; response {task.response_max_us:,} of "
                f"{task.deadline_us:,} us"
            )
    console.say(
        f"dispatch: {result.dispatch_instructions_per_op:,.0f} instructions an op, "
        f"{result.dispatch_instructions_per_job:,.0f} a job"
    )
    return result.as_json()


def _update(console: Console, board: str, kills: int) -> dict[str, Any]:
    """What an update survives and what it costs. Raises TactusError with the figures when something was lost."""
    if board not in ("", "qemu-m4"):
        raise UsageError(
            f"`bench update` does not run on {board} alone",
            "leave out --board: costs and kills are of qemu-m4, refusals and bad lines of host",
        )
    from host.progress import on_terminal

    with on_terminal() as progress:
        ensure_extras("export", "dev", progress=progress)
        from dataclasses import replace

        from host.bench.update import FULL, measure_update
        from host.bench.update_table import figures_table

        result = measure_update(replace(FULL, kills=kills), progress, console.say)
    console.show(figures_table(result))
    figures = result.as_json()
    if result.failed:
        raise TactusError(
            f"{len(result.failed)} things that an update must survive were lost: {result.failed[0]}",
            "run it again with the seed it names",
            figures,
        )
    return figures


def _ratios(console: Console, seconds: int, progress: Progress) -> dict[str, Any]:
    """The same on this computer, whose clock other programs disturb: ratios."""
    from host.bench.realtime_host import measure_ratios
    from host.boards import load_board

    result = measure_ratios(load_board("host"), seconds, progress)
    for found in result.sets:
        worst = max(task.response_of_deadline for task in found.tasks)
        console.say(
            f"utilization {found.utilization:g}: {found.missed_share:.2%} of the jobs missed "
            f"({found.missed_share_run_to_completion:.2%} run to completion in arrival order), "
            f"worst response {worst:.0%} of its deadline{'' if found.admitted else ', not admitted'}"
        )
    permitted = [
        name for name, yes in (("pinned", result.pinned), ("SCHED_FIFO", result.fifo)) if yes
    ]
    console.say(
        f"{result.seconds} s each way, {' and '.join(permitted) or 'no priority permitted'}"
    )
    return result.as_json()
