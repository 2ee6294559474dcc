"""Telemetry of a board as JSON lines: fetched by cursor, written to a file that only grows, then acknowledged.

A record is known by its boot and its sequence, so a file that was cut short by a pulled cable goes on where it
ended, and nothing is in it twice. What a board sends is hostile: a record that cannot be read becomes a line that says so.
"""

import io
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cbor2

from host.errors import TactusError, UsageError
from host.link.errors import BadReplyError
from host.link.tactus_group import SLOT_STATES, TactusGroup
from host.monitor.status import reset_cause
from protocol import errors, telemetry
from protocol.stats import EVENT_KINDS, EVENT_NO_TASK

_PAGES_MAX = 100_000  # more than any ring has
_LINE_MAX = 4096


class TelemetryFileError(TactusError):
    """The file cannot be written, or is not one of ours."""


@dataclass(frozen=True, slots=True)
class Collected:
    """What one run did. `newest`: the highest sequence that is in the file now, 0 without any."""

    fetched: int
    written: int
    unreadable: int
    newest: int
    lost: int


def line_of(board: str, sequence: int | None, content: bytes) -> dict[str, Any]:
    """A record as JSON values. `sequence`: what the ring says, None for a file without a ring."""
    try:
        record = telemetry.decode(content)
        if sequence not in (None, record.sequence):
            raise telemetry.TelemetryError(f"record: it says that it is {record.sequence}")
    except ValueError as error:
        return {
            "time": None,
            "board": board,
            "boot_id": None,
            "sequence": sequence,
            "kind": "unreadable",
            "error": str(error),
            "content": content.hex(),
        }
    return {
        "time": _time_of(record),
        "board": board,
        "boot_id": record.boot_id,
        "sequence": record.sequence,
        "uptime_ms": record.uptime_ms,
        "clock_age_s": record.clock_age_s,
        "kind": telemetry.kind_name(record.kind),
        **{name: _value(name, value) for name, value in record.fields.items()},
    }


def lines_of_file(data: bytes, board: str) -> Iterator[dict[str, Any]]:
    """The records of `/telemetry` as any SMP client downloads it. Raises BadReplyError where it ends being CBOR."""
    stream = io.BytesIO(data)
    while stream.tell() < len(data):
        begin = stream.tell()
        try:
            cbor2.CBORDecoder(stream, max_depth=8).decode()
        except (ValueError, cbor2.CBORError) as error:
            raise BadReplyError(f"telemetry file: no CBOR at byte {begin}: {error}") from error
        yield line_of(board, None, data[begin : stream.tell()])


def collect(
    tactus: TactusGroup,
    board: str,
    write: Callable[[str], object],
    known: frozenset[tuple[int | None, int]] = frozenset(),
    everything: bool = False,
) -> Collected:
    """Write a line for each record that waits and is not known yet. Raises LinkError.

    known: (boot, sequence) of what was written before. everything: also what was acknowledged.
    """
    page = tactus.telemetry(1 if everything else None)
    fetched = written = unreadable = newest = 0
    cursor = -1
    for _ in range(_PAGES_MAX):
        for sequence, content in page.records:
            line = line_of(board, sequence, content)
            fetched += 1
            unreadable += line["kind"] == "unreadable"
            newest = max(newest, sequence)
            if (line["boot_id"], sequence) in known:
                continue
            write(json.dumps(line) + "\n")
            written += 1
        if not page.records or page.next <= cursor:
            break
        cursor = page.next
        page = tactus.telemetry(cursor)
    return Collected(fetched, written, unreadable, newest, page.lost)


def collect_into(
    tactus: TactusGroup, board: str, path: Path, acknowledge: bool, everything: bool = False
) -> Collected:
    """Append to a file; acknowledge once it is on disk. Raises LinkError, TelemetryFileError."""
    try:
        known = _read_known(path, board)
        with path.open("a", encoding="utf-8") as file:
            try:
                done = collect(tactus, board, file.write, known, everything)
            finally:  # what came before the cable was pulled stays
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        raise TelemetryFileError(
            f"cannot write {path}: {error.strerror}", "choose another --output"
        ) from error
    if acknowledge and done.newest:
        tactus.acknowledge_telemetry(done.newest)
    return done


def _read_known(path: Path, board: str) -> frozenset[tuple[int | None, int]]:
    """(boot, sequence) of the lines of this board; a line that was cut short at the end is cut off."""
    known: set[tuple[int | None, int]] = set()
    if not path.exists():
        return frozenset()
    whole = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            try:
                found = json.loads(line) if len(line) <= _LINE_MAX else None
            except ValueError:
                found = None
            if not isinstance(found, dict) or not isinstance(found.get("sequence"), int):
                raise UsageError(
                    f"{path}, line {number}, is no telemetry", "choose another file for --output"
                )
            if found.get("board") == board:
                known.add((found.get("boot_id"), found["sequence"]))
    os.truncate(path, whole)
    return frozenset(known)


def _time_of(record: telemetry.Record) -> str | None:
    """When it happened, UTC; None while the board did not know."""
    if record.utc_s is None:
        return None
    ago = timedelta(milliseconds=record.fields.get("ago_ms", 0))
    try:
        at = datetime.fromtimestamp(record.utc_s, UTC) - ago
    except (OverflowError, ValueError):
        return None
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _value(name: str, value: Any) -> Any:
    if name in ("state", "before"):
        return SLOT_STATES[value] if value < len(SLOT_STATES) else value
    if name == "reason":
        return errors.name(value) if value else None
    if name == "reset_cause":
        return reset_cause(value)
    if name == "how":
        return EVENT_KINDS[value] if value < len(EVENT_KINDS) else value
    if name == "took":
        return [["background" if task == EVENT_NO_TASK else task, us] for task, us in value]
    return value.hex() if isinstance(value, bytes) else value
