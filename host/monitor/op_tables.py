"""The operators of a model, for `build --explain`: what each costs, and which kernel runs it and why."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from host.compile.result import SUMS_OF_PRODUCTS

_NUMBERS = ("MACs", "reads", "writes", "WCET, us", "at")


def op_tables(task: str, ops: Iterable[Mapping[str, Any]]) -> Group:
    """Two tables that fit 80 columns; `ops` are fields of host.compile.result.OpReport by name.

    reads: activations and constants, each once; writes: the output, both in bytes. at: the arena
    offset of the output. MACs: of operators that are sums of products. WCET: of the longest step of
    an operator that runs by rows; the total counts all steps.
    """
    listed = list(ops)
    return Group(_costs(task, listed), _kernels(listed))


def _costs(task: str, ops: Sequence[Mapping[str, Any]]) -> Table:
    table = _table(f"{task}: bytes read, bytes written, declared time, arena offset")
    for name in ("op", "kind", "output", *_NUMBERS):
        table.add_column(
            name, justify="left" if name in ("kind", "output") else "right", no_wrap=True
        )
    for op in ops:
        macs = f"{op['units']:,}" if op["kind"] in SUMS_OF_PRODUCTS else "-"
        numbers = (op["bytes_read"], op["bytes_written"], op["wcet_us"], op["out_offset"])
        shape = "x".join(str(size) for size in op["out_shape"])
        table.add_row(
            *(str(op["index"]), op["kind"], shape, macs, *(f"{value:,}" for value in numbers))
        )
    table.add_section()
    macs = sum(op["units"] for op in ops if op["kind"] in SUMS_OF_PRODUCTS)
    sums = [sum(op[key] for op in ops) for key in ("bytes_read", "bytes_written")]
    time_us = sum(op["wcet_us"] * op.get("steps", 1) for op in ops)
    table.add_row("", "total", "", *(f"{value:,}" for value in (macs, *sums, time_us)))
    return table


def _kernels(ops: Sequence[Mapping[str, Any]]) -> Table:
    table = _table(None)
    table.add_column("op", justify="right", no_wrap=True)
    table.add_column("operator", no_wrap=True)
    table.add_column("kernel, and why no faster one")
    for op in ops:
        table.add_row(str(op["index"]), Text(op["name"]), Text(op["kernel"] + _by_rows(op)))
    return table


def _by_rows(op: Mapping[str, Any]) -> str:
    """The segment of an op, its steps, of which the declared time is the longest, and its ring."""
    if op.get("segment") is None:
        return ""
    ring = f", ring of {op['ring_rows']} rows" if op["ring_rows"] else ""
    return f"; segment {op['segment']}: {op['steps']} steps{ring}"


def _table(title: str | None) -> Table:
    return Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
