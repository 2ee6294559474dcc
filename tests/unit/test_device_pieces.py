"""Requests answered in pieces: models run in between, one request at a time, whatever it ends with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from device_bench import READ, Bench
from fake_tactus import Reset

from protocol import errors
from protocol.pieces import finish

COMMAND = 99


def header(sequence: int, group: int = 64, command: int = COMMAND) -> bytes:
    return bytes([8 | READ, 1, 0, 1, 0, group, sequence, command]) + b"\xa0"


@pytest.fixture
def worker(running: Bench) -> Iterator[Bench]:
    """A running board that knows one more request; `work` is what its handler gives back."""
    module: Any = running.module("groups_tactus")
    running.work = dict  # type: ignore[attr-defined]
    module.READ[COMMAND] = lambda board, request: running.work()  # type: ignore[attr-defined]
    yield running


def set_work(bench: Bench, work: Any) -> None:
    bench.work = work  # type: ignore[attr-defined]


def background(bench: Bench) -> None:
    bench.module("loop").background(bench.board)


def test_each_yield_ends_a_piece_and_the_value_returned_is_the_reply(worker: Bench) -> None:
    done = []

    def work() -> Any:
        for step in range(3):
            done.append(step)
            yield
        return {"steps": done}

    set_work(worker, work)
    worker.fake.received.append(header(1))
    before = worker.fake.backgrounds
    seen = []
    while worker.fake.received:
        background(worker)
        seen.append(len(done))
    assert [seen.count(step) for step in (1, 2, 3)] >= [1, 1, 1]
    assert worker.fake.backgrounds - before == len(seen)
    assert worker.fake.sent[-1][8:] == b"\xa1\x65steps\x83\x00\x01\x02"


def test_another_message_waits_until_the_reply_has_left(worker: Bench) -> None:
    def work() -> Any:
        for _ in range(4):
            yield
        return {}

    set_work(worker, work)
    worker.fake.received += [header(1), header(2, 0, 6)]
    already = len(worker.fake.sent)
    while len(worker.fake.sent) == already:
        assert len(worker.fake.received) == 2
        background(worker)
    assert len(worker.fake.received) == 1
    while worker.fake.received:
        background(worker)
    assert [message[6] for message in worker.fake.sent[already:]] == [1, 2]
    assert worker.board.messages >= 2 and worker.board.answering is None


def test_frames_take_turns_with_the_pieces(worker: Bench) -> None:
    def work() -> Any:
        for _ in range(6):
            yield
        return {}

    set_work(worker, work)
    worker.write(64, 3, {"lease_ms": 60_000, "period_ms": 20})
    worker.fake.received.append(header(1))
    frames = worker.board.frames
    count = 0
    while worker.fake.received:
        worker.fake.now_us += 100_000  # a frame is due at each piece
        background(worker)
        count += 1
    assert count // 2 - 1 <= worker.board.frames - frames <= count // 2 + 1


@pytest.mark.parametrize("after", [0, 2])
def test_an_error_in_any_piece_is_the_reply(worker: Bench, after: int) -> None:
    request = worker.module("request")

    def work(error: BaseException) -> Any:
        for _ in range(after):
            yield
        raise error

    set_work(worker, lambda: work(request.DeviceError(errors.SPACE)))
    assert worker.read(64, COMMAND) == {"err": {"group": 64, "rc": errors.SPACE}}
    set_work(worker, lambda: work(request.StatusError(10)))
    assert worker.read(64, COMMAND) == {"rc": 10}
    set_work(worker, lambda: work(MemoryError()))
    assert worker.read(64, COMMAND) == {"rc": 2}
    set_work(worker, lambda: work(ValueError("ours")))
    assert worker.read(64, COMMAND) == {"rc": 1}
    assert worker.read(0, 6)["buf_count"] == 2


def test_litter_is_collected_between_pieces_once_there_is_enough(worker: Bench) -> None:
    def work() -> Any:
        worker.fake.litter_bytes += 100
        yield
        worker.fake.litter_bytes += 20_000
        yield
        assert worker.fake.litter_bytes == 0
        return {}

    worker.fake.litter_bytes = 0
    collections = worker.fake.collections
    set_work(worker, work)
    assert worker.read(64, COMMAND) == {}
    assert worker.fake.collections == collections + 1


def test_a_reset_waits_for_its_reply(worker: Bench) -> None:
    reset = worker.module("groups_os").reset
    assert worker.write(0, 5, {}) == {}
    assert worker.board.reset_requested
    worker.board.reset_requested = False

    def work() -> Any:
        reset(worker.board, {})
        yield
        return {}

    set_work(worker, work)
    worker.fake.received.append(header(7))
    with pytest.raises(Reset):
        worker.module("loop").run(worker.board)
    assert worker.fake.sent[-1][6] == 7


def test_finish_does_all_pieces_at_once(worker: Bench) -> None:
    def work() -> Any:
        yield
        yield
        return 5

    assert finish(work()) == 5
    assert worker.module("pieces").are_pieces(work()) and not worker.module("pieces").are_pieces({})
