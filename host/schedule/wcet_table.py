"""Measured op times: `bench wcet` writes them, the build declares them, with a margin, in the op records.

A table belongs to one plan image (but for the times that it declares) and to one engine: anything else is not
found and the cost model of the board speaks. Tables lie in build/wcet/<board>/, and beside app.toml as
wcet-<board>.json for whoever builds without the board.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from host.boards import BUILD, ROOT, Board
from host.compile.image import HEADER, RECORD
from host.compile.result import CompiledModel
from host.errors import UsageError

# What a run costs depends on the values: the high-water mark of any inputs may lie below the worst case.
DATA_DEPENDENT = frozenset({"softmax", "f32_unary", "f32_softmax", "div"})
_WCET_AT, _OPS_AT = 4, 4  # of an op record, bytes; of the header, index of the field
# What the dispatcher does between reading the clock and the op, beside the clock's resolution: statistics of the
# start in a job's first op, the event of a preemption in any. On the slowest board, us.
_FIRST_US, _OTHER_US = 20, 6


@dataclass(frozen=True, slots=True)
class MeasuredOp:
    """High-water mark of one op record. data_dependent: of such a kind, or it took different times."""

    kind: str
    observed_us: int
    data_dependent: bool


@dataclass(frozen=True, slots=True)
class WcetTable:
    """The ops of one plan image, as measured in `runs` runs. Margins in percent of what was observed.

    left_out: further runs in which other programs had the processor, on boards that are processes.
    """

    model: str
    image: str
    engine: str
    runs: int
    margin_percent: int
    data_margin_percent: int
    ops: tuple[MeasuredOp, ...]
    left_out: int = 0

    def declared_us(self) -> tuple[int, ...]:
        """Per op record, what the package declares: observed, margin, and the dispatcher's own part."""
        return tuple(
            -(-op.observed_us * (100 + self._margin(op)) // 100)
            + (_OTHER_US if index else _FIRST_US)
            for index, op in enumerate(self.ops)
        )

    def _margin(self, op: MeasuredOp) -> int:
        return self.data_margin_percent if op.data_dependent else self.margin_percent


def image_digest(image: bytes) -> str:
    """SHA-256 of a plan image without the times that it declares."""
    blank = bytearray(image)
    for at in _records(image):
        blank[at + _WCET_AT : at + _WCET_AT + 4] = bytes(4)
    return hashlib.sha256(blank).hexdigest()


def engine_digest(board: Board) -> str:
    """SHA-256 of the engine's sources and of how the board compiles and clocks them."""
    digest = hashlib.sha256(repr((board.name, board.clock_hz, board.gcc_flags)).encode())
    digest.update(repr(sorted(board.emulator.items())).encode())
    for path in sorted((ROOT / "device" / "engine").glob("*.[ch]")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def declare(model: CompiledModel, table: WcetTable) -> CompiledModel:
    """The model with the times of its table in its op records."""
    image, times = bytearray(model.image), table.declared_us()
    for at, time_us in zip(_records(model.image), times, strict=True):
        image[at + _WCET_AT : at + _WCET_AT + 4] = time_us.to_bytes(4, "little")
    ops = tuple(replace(op, wcet_us=time_us) for op, time_us in zip(model.ops, times, strict=True))
    return replace(model, image=bytes(image), ops=ops)


def tables_folder(board: Board) -> Path:
    """Where the tables that were measured on a board lie."""
    return BUILD / "wcet" / board.name


def kept_file(app_folder: Path, board: Board) -> Path:
    """The file beside app.toml that carries the tables of an application's models."""
    return app_folder / f"wcet-{board.name}.json"


def find_table(board: Board, model: CompiledModel, app_folder: Path | None) -> WcetTable | None:
    """The table of a compiled model, the freshly measured one first; None when nobody measured it."""
    image, engine = image_digest(model.image), engine_digest(board)
    files = [tables_folder(board) / f"{image[:24]}.json"]
    if app_folder:
        files.append(kept_file(app_folder, board))
    for file in files:
        for table in _read(file):
            if (table.image, table.engine) == (image, engine):
                return table
    return None


def write_tables(board: Board, tables: Sequence[WcetTable], kept: Path | None) -> list[Path]:
    """Write each table into the build folder and, with `kept`, all of them into that file."""
    folder = tables_folder(board)
    folder.mkdir(parents=True, exist_ok=True)
    written = [(folder / f"{table.image[:24]}.json", [table]) for table in tables]
    if kept:
        written.append((kept, list(tables)))
    for path, content in written:
        text = json.dumps([asdict(table) for table in content], indent=1, sort_keys=True)
        path.write_text(text + "\n")
    return [path for path, _ in written]


def _read(file: Path) -> list[WcetTable]:
    if not file.is_file():
        return []
    try:
        return [_table(entry) for entry in json.loads(file.read_text())]
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(
            f"{file} is no table of op times: {error}", "measure again with `bench wcet`"
        ) from error


def _table(entry: dict[str, Any]) -> WcetTable:
    ops = tuple(MeasuredOp(**op) for op in entry["ops"])
    if any(type(op.observed_us) is not int or op.observed_us < 0 for op in ops):
        raise ValueError("observed_us is not a whole number of microseconds")
    return WcetTable(**{**entry, "ops": ops})


def _records(image: bytes) -> list[int]:
    """Image offsets of the op records."""
    head = HEADER.unpack_from(image)
    return [head[_OPS_AT] + RECORD.size * index for index in range(head[2])]
