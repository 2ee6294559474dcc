"""Tables of `bench engine`: ours beside the peers, and the ops of a model."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from host.bench.engine import EngineResult, ModelResult, baselines

_ROWS = (
    ("instructions", "instructions"),
    ("cycles_modelled", "cycles, modelled"),
    ("ram_bytes", "RAM but stack, bytes"),
    ("arena_bytes", "arena, bytes"),
    ("package_bytes", "model file, bytes"),
    ("load_instructions", "instructions to load"),
    ("engine_flash_bytes", "runtime code, bytes"),
    ("stack_bytes", "stack, bytes"),
)
_WHY_SLOWER = (
    "Plain C as a small core runs it: no vector unit, no packing for one. "
    "A board with Linux runs ExecuTorch itself."
)


def figures_table(result: EngineResult) -> Table:
    """A row a figure: ours, each peer, and ours as a share of the better peer."""
    peers: Mapping[str, str] = baselines()["peers"]
    table = _table(f"One inference on {result.board}, int8")
    table.add_column("")
    for heading in ("Tactus", *peers.values(), "of the better"):
        table.add_column(heading.replace(" ", "\n", 1), justify="right")
    for model in result.models:
        known = baselines()["models"][model.name]
        ours = asdict(model.figures)
        table.add_row(Text(model.name, style="bold"))
        for key, title in _ROWS:
            if ours[key] is not None:
                theirs = [known[peer].get(key) for peer in peers]
                cells = [_whole(value) for value in (ours[key], *theirs)]
                table.add_row(title, *cells, _share(ours[key], theirs))
        table.add_row("smallest arena", _arena(model))
        table.add_row("wrong answers", _wrong(model))
        table.add_section()
    return table


def timing_table(result: EngineResult) -> Table:
    """CPU time on this computer against ExecuTorch with XNNPACK."""
    table = _table("CPU time of an inference on this computer, one thread, us")
    table.caption = _WHY_SLOWER
    table.caption_justify = "left"
    for heading in ("model", "Tactus", "ExecuTorch with XNNPACK", "multiple"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for model in result.models:
        if model.timing is not None:
            found = model.timing
            cells = (f"{found.engine_us:,.0f}", f"{found.xnnpack_us:,.0f}", f"{found.ratio:.2f}x")
            table.add_row(model.name, *cells)
    return table


def step_tables(result: EngineResult) -> Iterator[Table]:
    """A table a model: instructions and cycles of each op, and where they go."""
    for model in result.models:
        if model.ops:
            yield _steps(model)


def _steps(model: ModelResult) -> Table:
    ops = model.workload.compiled.ops
    named = len(ops) == len(model.ops)
    layers = baselines()["models"][model.name]["layers"]
    compared = named and len(layers) == len(ops)
    table = _table(f"{model.name}: {model.workload.macs:,} MACs, op by op")
    for heading in (
        *("op", "kind", "output", "work", "instructions", "a unit", "cycles", "cycles a unit"),
        *("ExecuTorch", "of it", "most of it in"),
    ):
        left = heading in ("kind", "output", "most of it in")
        table.add_column(heading, justify="left" if left else "right")
    for index, step in enumerate(model.ops):
        kind = shape = work = per_unit = cycles_per_unit = theirs = share = ""
        if named:
            op = ops[index]
            kind, work = op.kind, f"{op.units:,}"
            shape = " x ".join(map(str, op.out_shape))
            per_unit = f"{step.instructions / op.units:.2f}"
            cycles_per_unit = f"{step.cycles / op.units:.2f}"
        if compared:
            theirs = f"{layers[index]:,}"
            share = f"{step.instructions / layers[index]:.2f}"
        busiest = step.by_function.most_common(1)[0][0]
        table.add_row(
            *(str(index), kind, shape, work, f"{step.instructions:,}", per_unit),
            *(f"{step.cycles:,}", cycles_per_unit, theirs, share, busiest),
        )
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)


def _whole(value: Any) -> str:
    return "-" if value is None else f"{value:,}"


def _share(ours: int, theirs: list[int | None]) -> Text:
    known = [value for value in theirs if value is not None]
    if not known:
        return Text("-")
    part = ours / min(known)
    return Text(f"{part:.2f}", style="green" if part <= 0.5 else "yellow" if part < 1 else "red")


def _arena(model: ModelResult) -> Text:
    figures = model.figures
    if figures.plan_optimal:
        return Text("proved", style="green")
    gap = figures.arena_bytes / figures.arena_lower_bound_bytes - 1
    return Text(f"within {gap:.1%}", style="yellow")


def _wrong(model: ModelResult) -> Text:
    wrong, inputs = model.figures.parity_mismatches, len(model.workload.inputs)
    return Text(f"{wrong} of {inputs}", style="bold red" if wrong else "green")
