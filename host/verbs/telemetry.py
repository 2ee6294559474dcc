"""`telemetry`: what a board wrote down while nobody was there, as JSON lines."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from host.errors import UsageError
from host.link.errors import BadReplyError
from host.verbs import Console

_SAVED_MAX_BYTES = 16 << 20


def run(
    console: Console, board: str, port: str, output: str, saved: str, ack: bool, everything: bool
) -> dict[str, Any]:
    """Fetch and show or append. Raises UsageError for options that do not go together."""
    from host.monitor.telemetry import collect, collect_into, lines_of_file

    if ack and not output:
        raise UsageError(
            "--ack without --output", "name the file that keeps what the board may forget"
        )
    if saved:
        if board or port or output:
            raise UsageError("--saved with a board or --output", "name one of them")
        return {"fetched": _show_saved(lines_of_file(_saved(saved), Path(saved).name), saved)}
    from host.link.session import connect

    with connect(board or None, port or None) as session:
        name = session.info.board
        if output:
            done = collect_into(session.tactus, name, Path(output), ack, everything)
        else:
            done = collect(session.tactus, name, sys.stdout.write, everything=everything)
    if output:
        console.say(f"{done.written:,} new records in {output}, {done.fetched:,} read from {name}")
    for count, words in ((done.unreadable, "cannot be read"), (done.lost, "were overwritten")):
        if count:
            print(f"note: {count:,} records {words}", file=sys.stderr)
    return {
        "board": name,
        "file": output or None,
        "fetched": done.fetched,
        "written": done.written,
        "unreadable": done.unreadable,
        "newest": done.newest,
        "lost": done.lost,
        "acknowledged": bool(ack and done.newest),
    }


def _show_saved(lines: Iterator[dict[str, Any]], path: str) -> int:
    """Print them; those that cannot be read only once one could: a file of another kind has none."""
    held: list[str] = []
    count = 0
    found = False
    try:
        for line in lines:
            count += 1
            found = found or line["kind"] != "unreadable"
            held.append(json.dumps(line))
            if found:
                print("\n".join(held))
                held.clear()
    except BadReplyError:
        if found:
            raise
        count += 1
    if count and not found:
        raise UsageError(
            f"{path} is no telemetry of a board: not one record in it",
            "name what an SMP client downloaded as /telemetry",
        )
    return count


def _saved(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(_SAVED_MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", "name a file") from error
    if len(data) > _SAVED_MAX_BYTES:
        raise UsageError(f"{path} is no telemetry of a board: it is too large", "name another file")
    return data
