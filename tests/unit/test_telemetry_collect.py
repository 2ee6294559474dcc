"""Collecting telemetry: into a file that only grows, each record once, acknowledged only when it is on disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bench_transport import BenchTransport
from device_bench import Bench
from telemetry_ring import record

from host.errors import UsageError
from host.link.client import SmpClient
from host.link.errors import BadReplyError, NoAnswerError
from host.link.tactus_group import NO_RECORD, TactusGroup
from host.monitor.telemetry import collect, collect_into, line_of, lines_of_file
from host.verbs import Console
from host.verbs import telemetry as verb
from protocol import telemetry

COUNT = 150  # several pages


class Board:
    """A board with records in its ring."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.transport = BenchTransport(self.bench)
        self.tactus = TactusGroup(SmpClient(self.transport, timeout_s=0.01, retries=1))  # type: ignore[arg-type]
        self.write(COUNT)

    def write(self, count: int, boot_id: int = 99) -> None:
        for _ in range(count):
            content = record(self.bench.store.telemetry_next, boot_id)
            assert self.bench.fake.telemetry_append(content) == 0


@pytest.fixture
def board() -> Iterator[Board]:
    board = Board()
    yield board
    board.bench.close()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def sequences(path: Path) -> list[int]:
    return [line["sequence"] for line in lines(path)]


def test_records_come_once_and_are_acknowledged_when_they_are_in_the_file(
    board: Board, tmp_path: Path
) -> None:
    path = tmp_path / "log.jsonl"
    first = collect_into(board.tactus, "fake", path, acknowledge=False)
    assert (first.fetched, first.written, first.unreadable) == (COUNT, COUNT, 0)
    assert board.tactus.telemetry(NO_RECORD).waiting == COUNT
    again = collect_into(board.tactus, "fake", path, acknowledge=True)
    assert (again.fetched, again.written) == (COUNT, 0)
    assert sequences(path) == list(range(1, COUNT + 1))
    assert board.tactus.telemetry(NO_RECORD).waiting == 0
    board.write(2)
    assert collect_into(board.tactus, "fake", path, acknowledge=True).fetched == 2
    assert collect_into(board.tactus, "fake", path, False, everything=True).fetched == COUNT + 2
    assert sequences(path) == list(range(1, COUNT + 3))


def test_a_pulled_cable_leaves_what_came_and_the_next_run_goes_on(
    board: Board, tmp_path: Path
) -> None:
    path = tmp_path / "log.jsonl"
    write, asked = board.transport.write, 0

    def pulled(data: bytes) -> None:
        nonlocal asked
        asked += 1
        if asked < 3:
            write(data)

    board.transport.write = pulled  # type: ignore[method-assign]
    with pytest.raises(NoAnswerError):
        collect_into(board.tactus, "fake", path, acknowledge=True)
    part = sequences(path)
    assert 0 < len(part) < COUNT and board.bench.store.acknowledged == 0
    with path.open("a") as file:
        file.write('{"time": null, "boa')  # the machine lost power, too
    board.transport.write = write  # type: ignore[method-assign]
    collect_into(board.tactus, "fake", path, acknowledge=True)
    assert sequences(path) == list(range(1, COUNT + 1))
    assert board.bench.store.acknowledged == COUNT


def test_the_same_sequence_of_another_boot_is_another_record(board: Board, tmp_path: Path) -> None:
    """A board whose flash was erased counts from 1 again."""
    path = tmp_path / "log.jsonl"
    collect_into(board.tactus, "fake", path, acknowledge=True)
    store = board.bench.store
    store.telemetry, store.telemetry_next, store.acknowledged = {}, 1, 0
    board.write(5, boot_id=100)
    done = collect_into(board.tactus, "fake", path, acknowledge=True)
    assert done.written == 5 and len(lines(path)) == COUNT + 5


def test_a_record_that_cannot_be_read_is_a_line_and_stops_nothing(
    board: Board, tmp_path: Path
) -> None:
    for content in (b"\xff" * 20, record(7), b"\x86\x01\x02"):
        board.bench.fake.telemetry_append(content)
    board.write(1)
    path = tmp_path / "log.jsonl"
    done = collect_into(board.tactus, "fake", path, acknowledge=True)
    assert done.unreadable == 3 and done.written == COUNT + 4
    bad = [line for line in lines(path) if line["kind"] == "unreadable"]
    assert bad[0]["content"] == "ff" * 20 and "7" in bad[1]["error"]


@pytest.mark.parametrize(
    "reply",
    [
        {"data": b"\x01"},
        {"data": b"\x05\x00\x00\x00\x01a\x05\x00\x00\x00\x01a"},
        {"data": b"\x05\x00\x00\x00\x01a", "next": 5},
        {"next": -1},
        {"newest": "many"},
    ],
)
def test_a_page_that_breaks_the_protocol_is_refused(board: Board, reply: dict[str, Any]) -> None:
    good = {"oldest": 1, "newest": 9, "acknowledged": 0, "lost": 0, "next": 6, "data": b""}
    commands = board.bench.module("groups_tactus").READ
    commands[24] = lambda *_: good | reply  # type: ignore[index]
    with pytest.raises(BadReplyError):
        collect(board.tactus, "fake", lambda _: None)


def test_a_board_that_says_the_same_page_for_ever_is_left(board: Board) -> None:
    page = b"\x05\x00\x00\x00\x01a"
    reply = {"oldest": 1, "newest": 9, "acknowledged": 0, "lost": 0, "next": 6, "data": page}
    board.bench.module("groups_tactus").READ[24] = lambda *_: reply
    with pytest.raises(BadReplyError):
        collect(board.tactus, "fake", lambda _: None)


def test_numbers_become_words_and_times_those_of_the_event() -> None:
    fields: dict[str, object] = {"how": 7, "ago_ms": 1500, "took": [[0, 5], [255, 9]]}
    content = telemetry.encode(1, 2, 3, [1_800_000_000, 60], telemetry.FIRST_MISS, fields)
    line = line_of("b", 2, content)
    assert line["time"] == "2027-01-15T07:59:58.500Z" and line["clock_age_s"] == 60
    assert line["how"] == "aborted" and line["took"] == [[0, 5], ["background", 9]]
    change = {"state": 6, "before": 4, "reason": 42, "package": b"\xab"}
    line = line_of("b", 3, telemetry.encode(1, 3, 3, None, telemetry.PACKAGE, change))
    assert (line["state"], line["before"], line["reason"]) == ("bad", "tried", "PKG_TRIAL")
    assert line["package"] == "ab" and line["time"] is None
    late = telemetry.encode(1, 4, 3, [0xFFFFFFFF, 0], telemetry.FIRST_MISS, {"ago_ms": 0xFFFFFFFF})
    assert line_of("b", 4, late)["kind"] == "first_miss"


def test_a_file_of_another_client_is_read_until_it_ends_being_cbor(tmp_path: Path) -> None:
    data = record(1) + record(2)
    assert [line["sequence"] for line in lines_of_file(data, "x")] == [1, 2]
    for broken in (data[:-1], data + b"\xff", data + b"\x81" * 50):
        with pytest.raises(BadReplyError):
            list(lines_of_file(broken, "x"))


def test_a_saved_file_shows_what_it_can_and_one_of_another_kind_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "saved"

    def show(data: bytes) -> int:
        file.write_bytes(data)
        shown = verb.run(Console(False, False), "", "", "", str(file), False, False)
        return int(shown["fetched"])

    assert show(b"\x01" + record(1)) == 2  # one that cannot be read, then one that can
    kinds = [json.loads(line)["kind"] for line in capsys.readouterr().out.splitlines()]
    assert kinds[0] == "unreadable" and len(kinds) == 2 and kinds[1] != "unreadable"
    with pytest.raises(BadReplyError):
        show(record(1) + b"\xff")
    assert len(capsys.readouterr().out.splitlines()) == 1
    for other in (b"# Tactus: text", b"\xff", b"\x01\x02"):
        with pytest.raises(UsageError, match="no telemetry of a board"):
            show(other)
    assert show(b"") == 0  # of a board that has nothing to tell
    assert capsys.readouterr().out == ""


def test_wrong_options_and_files_are_usage_errors(board: Board, tmp_path: Path) -> None:
    console = Console(False, False)
    nothing = {"board": "", "port": "", "output": "", "saved": "", "ack": False}

    def run(**options: Any) -> None:
        verb.run(console, everything=False, **(nothing | options))

    for options in ({"ack": True}, {"saved": "x", "board": "host"}, {"saved": "no such file"}):
        with pytest.raises(UsageError):
            run(**options)
    other = tmp_path / "notes.txt"
    other.write_text("dear diary\n")
    with pytest.raises(UsageError, match="no telemetry"):
        collect_into(board.tactus, "fake", other, acknowledge=True)
    assert other.read_text() == "dear diary\n" and board.bench.store.acknowledged == 0
