"""`bench`: figures, from one run on a board."""

from typing import Any

from host.errors import UsageError
from host.setup import ensure_extras
from host.verbs import Console


def run(console: Console, what: str, board: str, explain: bool) -> dict[str, Any]:
    """Run one benchmark. Raises UsageError for an unknown one."""
    benches = {"engine": _engine, "link": _link, "parity": _parity}
    if what not in benches:
        raise UsageError(f"no benchmark is called {what!r}", f"choose one of: {', '.join(benches)}")
    return benches[what](console, board, explain)


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


def _parity(console: Console, board: str, explain: bool) -> dict[str, Any]:
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


def _link(console: Console, board: str, explain: bool) -> dict[str, Any]:
    """Request rate of the link while the tasks stand still, and the board's message size."""
    from host.bench.link import measure_link

    result = measure_link(board)
    console.say(
        f"{result.requests_per_second:.0f} requests/s, messages of up to {result.message_bytes} "
        f"bytes, {result.retries} retries"
    )
    return {"board": board, **result.as_json()}
