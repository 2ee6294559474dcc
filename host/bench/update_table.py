"""The table of `bench update`: every figure in words."""

from collections.abc import Iterator

from rich import box
from rich.table import Table

from host.bench.update import UpdateFigures


def figures_table(found: UpdateFigures) -> Table:
    """A row a figure."""
    table = Table(
        title="Updates: what they survive and what they cost",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_header=False,
    )
    table.add_column()
    table.add_column(justify="right")
    table.add_column(overflow="fold")
    for part in (_survived, _fuzzed, _costs, _deltas):
        for row in part(found):
            table.add_row(*row)
        table.add_section()
    return table


Row = tuple[str, str, str]  # what, how much, more about it


def _survived(found: UpdateFigures) -> Iterator[Row]:
    cuts, kills = found.cuts, found.kills
    yield (
        "power cuts",
        f"{cuts.as_json()['cut_points']:,}",
        f"{cuts.failures} lost a package; at every flash operation, and in {cuts.seeds:,} random stories",
    )
    yield "kills during updates", f"{kills.kills:,}", f"{len(kills.failures)} lost a package"
    yield (
        "resumed after kills",
        f"{kills.resumed:,}",
        f"updates that completed, {kills.resumed_bytes} of them from within the file",
    )
    yield "refused packages", f"{found.refusals:,}", f"{len(found.accepted)} accepted by mistake"
    for line in found.bad_line:
        yield (
            f"{line.rate:.1%} of a line's bytes hit",
            f"{line.completed} of {line.updates}",
            f"updates completed, {line.bytes_ratio:.2f} bytes on the wire a byte",
        )


def _fuzzed(found: UpdateFigures) -> Iterator[Row]:
    for target, run in found.fuzzed.items():
        yield (
            f"fuzzed {target}",
            f"{run.executions:,}",
            f"executions, {len(run.findings)} findings",
        )


def _costs(found: UpdateFigures) -> Iterator[Row]:
    for framing, run in found.framings.items():
        done = run.done
        yield (
            f"{done.package_bytes:,} B over {framing}",
            f"{run.board_s:.2f} s",
            f"of the board's clock, {done.seconds:.2f} s here, with trial and restart",
        )
        yield (
            f"bytes over {framing}",
            f"{run.wire_ratio:.4f}",
            "on the wire a byte of the package, both directions, all of the session",
        )
    yield "code of store and link", f"{found.code_bytes:,} B", "of the emulated board's firmware"
    cost = found.verification
    yield (
        "verification",
        f"{cost.verify_instructions:,}",
        f"instructions for 100 KiB, {cost.ed25519_instructions:,} of them for the signature",
    )


def _deltas(found: UpdateFigures) -> Iterator[Row]:
    for delta in found.deltas.figures:
        whole = "" if delta.is_sent else "; the whole is sent then"
        yield (
            f"delta of {delta.model}",
            f"{delta.ratio:.2%}",
            f"of {delta.package_bytes:,} B: {delta.change}{whole}",
        )
