"""`bench wcet`: what every op of an application takes on a board, as a table for the build.

The board runs each model on its own with the clock read around each op, as the dispatcher reads it: cold (the first
run after the board came up), warm, and on data made to be hard. On an emulated board time is the emulator's virtual
time, so the figures are exact and repeat; elsewhere they are high-water marks, no proof.

On boards that are processes of a computer other programs take the processor away now and then, for longer than any op.
A run that takes twice the median is one in which that happened: it is left out and counted, every op gets the board's
margin, and there are more runs.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from host.build import build_app, find_app
from host.built_app import BuiltApp
from host.errors import VerificationError
from host.flash.flasher import flash_board
from host.install import install_package
from host.link.session import Session, connect
from host.package.keys import trusted
from host.package.read import parse_package
from host.progress import Progress, silent
from host.schedule.wcet_table import (
    DATA_DEPENDENT,
    MeasuredOp,
    WcetTable,
    engine_digest,
    image_digest,
    kept_file,
    write_tables,
)

# (pattern of the `profile` command, seeds): random bytes, random extremes, -128, 127, small values.
_PATTERNS = ((0, 6), (1, 6), (2, 1), (3, 1), (4, 4))
_WARM_ROUNDS, _NOISY_ROUNDS = 2, 12
_MARGIN_PERCENT = 5  # interrupts that fall into an op
_SAME_US = 1  # the clock's resolution
_DISTURBED = 2  # times the median of all runs, and more: something else ran


@dataclass(frozen=True, slots=True)
class WcetResult:
    """The tables of all models of an application, where they were written, and the worst op of each."""

    board: str
    app: str
    tables: tuple[WcetTable, ...]
    files: tuple[Path, ...]

    def as_json(self) -> dict[str, Any]:
        """The object that `bench wcet --json` prints."""
        return {
            "board": self.board,
            "app": self.app,
            "models": [
                {
                    **asdict(table),
                    "declared_us": list(table.declared_us()),
                    "observed_total_us": sum(op.observed_us for op in table.ops),
                }
                for table in self.tables
            ],
            "files": [os.path.relpath(path) for path in self.files],
        }


def measure_wcet(
    app: str, board_name: str, keep: bool = False, progress: Progress = silent
) -> WcetResult:
    """Build and install an application, measure its ops, write the tables; the tasks run again afterwards.

    `keep` writes them beside app.toml too. Raises VerificationError when the board measured other
    models than were built.
    """
    built = build_app(app, board_name, progress)
    flash_board(built.board, built.replay, *trusted(), progress=progress)
    install_package(board_name, None, built.package, progress)
    with connect(board_name) as session:
        session.tactus.stop()
        tables = tuple(_tables(session, built, progress))
        session.tactus.run()
    kept = kept_file(find_app(app).path.parent, built.board) if keep else None
    files = write_tables(built.board, tables, kept)
    return WcetResult(board_name, built.report["app"], tables, tuple(files))


def _tables(session: Session, built: BuiltApp, progress: Progress) -> Iterator[WcetTable]:
    package = parse_package(built.package)
    for index, row in enumerate(built.report["tasks"]):
        progress("measuring op times", index / len(built.report["tasks"]))
        image = package.plan(index)
        kinds = [op["kind"] for op in row["op_table"]]
        is_noisy = built.board.emulator.get("kind") == "process"
        rounds = _NOISY_ROUNDS if is_noisy else _WARM_ROUNDS
        runs = [session.tactus.profile(index, *inputs) for inputs in _inputs(rounds)]
        if any(len(run) != len(kinds) for run in runs):
            raise VerificationError(
                f"the board ran {len(runs[0])} ops of {row['name']}, the build has {len(kinds)}",
                "another package is on the board: run this again",
            )
        kept = undisturbed(runs) if is_noisy else runs
        yield WcetTable(
            model=row["name"],
            image=image_digest(image),
            engine=engine_digest(built.board),
            runs=len(kept),
            left_out=len(runs) - len(kept),
            margin_percent=built.board.wcet.margin_percent if is_noisy else _MARGIN_PERCENT,
            data_margin_percent=built.board.wcet.margin_percent,
            ops=tuple(
                _op(kind, times) for kind, times in zip(kinds, zip(*kept, strict=True), strict=True)
            ),
        )


def undisturbed(runs: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """The first run, which is cold, and those in which nothing else took the processor, as far as their length tells."""
    most_us = _DISTURBED * median(sum(run) + 1 for run in runs)
    return [runs[0], *(run for run in runs[1:] if sum(run) <= most_us)]


def _inputs(rounds: int) -> Iterator[tuple[int, int]]:
    """(pattern, seed) of each run: every input once, then all again, warm."""
    for _ in range(rounds):
        for pattern, seeds in _PATTERNS:
            for seed in range(1, seeds + 1):
                yield pattern, seed * 2_654_435_761 % 2**32


def _op(kind: str, times: tuple[int, ...]) -> MeasuredOp:
    spread = max(times) - min(times) > _SAME_US
    return MeasuredOp(kind, max(times), spread or kind in DATA_DEPENDENT)
