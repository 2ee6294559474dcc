"""A board that goes and comes back: pulled cables, resets, and connecting without resetting."""

import contextlib
import fcntl
import io
import json
import os
import termios
import threading
import time
from dataclasses import replace

import pytest
from demo_board import DemoBoard, frame_body
from fake_board import INFO, FakeBoard, stream_frame
from report_samples import moment, packed_events, ring
from rich.console import Console

from host.errors import MissingError
from host.link.session import connect
from host.link.transport import Transport
from host.monitor import live
from host.monitor.board_view import BoardView
from host.monitor.live import follow, read_moment, watch
from host.monitor.views import AllOf, JsonLines, PlainLines
from protocol import smp

MODEM = (termios.TIOCMBIS, termios.TIOCMBIC, termios.TIOCMSET, 0x5427)  # the last: TIOCSBRK


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(live, "RETRY_S", 0.05)
    monkeypatch.setattr(live, "SILENCE_MAX_S", 1.0)


def linked(link, board):
    """Point the stable name of a port at a board's terminal, as a device room or udev does."""
    with contextlib.suppress(FileNotFoundError):
        link.unlink()
    link.symlink_to(board.port)


def test_a_pulled_cable_is_told_and_the_board_is_found_again(tmp_path):
    link, out = tmp_path / "tty", io.StringIO()
    first, second = FakeBoard(DemoBoard()), FakeBoard(DemoBoard(info=INFO | {"boot_id": 9}))
    linked(link, first)
    boots = []

    def plug_in_again():
        first.pull_cable()
        time.sleep(0.3)
        linked(link, second)

    def seen(session, moment):
        boots.append(moment.info.boot_id)
        if len(boots) == 2:
            link.unlink()
            threading.Thread(target=plug_in_again).start()
        return boots.count(9) == 2

    with second:
        follow(None, str(link), AllOf([JsonLines(out)]), seen)
    os.close(first._slave)
    assert boots[:2] == [7, 7] and boots[-2:] == [9, 9]
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    causes = [line["lost"] for line in lines if "lost" in line]
    assert "broke" in causes[0] and "does not exist" in causes[-1]
    assert lines[-1]["boot_id"] == 9


def test_a_board_that_was_reset_on_the_same_port_is_asked_anew():
    class Resetting(DemoBoard):
        """Streams once, is silent, then is another boot."""

        def _stream(self, request):
            out = super()._stream(request)
            if self.sent > self.frames:
                self.info = INFO | {"boot_id": 8}
            return out

    boots = []

    def seen(session, moment):
        boots.append(moment.info.boot_id)
        return len(boots) == 5

    with FakeBoard(Resetting(frames=2)) as board:
        follow(None, board.port, PlainLines(io.StringIO()), seen)
    assert boots == [7, 7, 8, 8, 8]


def test_a_frame_that_has_room_for_the_ring_alone_is_no_frame_of_statistics():
    class Frozen(DemoBoard):
        """Its second frame carries the ring in place of the statistics."""

        def _stream(self, request):
            if request.command != smp.TACTUS_SUBSCRIBE:
                return b""
            only_ring = frame_body(1) | {"tasks": [], "events": packed_events(ring())}
            return b"".join(map(stream_frame, (frame_body(0), only_ring, frame_body(2))))

    shown = []

    def seen(session, moment):
        shown.append((moment.stats.sequence, len(moment.events)))
        return len(shown) == 2

    with FakeBoard(Frozen()) as board:
        follow(None, board.port, PlainLines(io.StringIO()), seen)
    assert shown == [(0, 0), (2, len(ring()))]


def test_the_times_of_a_mode_are_those_in_force():
    sample = moment()
    digits = sample.stats.tasks[1]._replace(
        period_us=200_000, deadline_us=160_000, budget_us=30_000
    )
    motion = sample.stats.tasks[0]._replace(off=True, period_us=0, deadline_us=0, budget_us=0)
    saving = replace(sample, mode="saving", stats=replace(sample.stats, tasks=(motion, digits)))
    assert [task.period_us for task in saving.in_force] == [1_000_000, 200_000]
    view = BoardView()
    view.take(saving)
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(view.at_height(30))
    text = console.export_text()
    for words in (
        "mode saving",
        "motion off",
        "every 200.0",
        "idle 45.0%",
        "gc 3 x at most 9.876 ms, 1 forced",
    ):
        assert words in text, text


def test_the_time_ends_the_search_for_a_lost_board(tmp_path):
    link, out = tmp_path / "tty", io.StringIO()
    board = FakeBoard(DemoBoard())
    linked(link, board)

    def pull(session, moment):
        if link.is_symlink():  # frames that had come already are still shown
            link.unlink()
            board.pull_cable()
        return False

    follow(None, str(link), PlainLines(out), pull, time.monotonic() + 0.5)
    os.close(board._slave)
    assert "lost: " in out.getvalue() and "looking for it" in out.getvalue()


def test_a_board_that_was_never_there_is_an_error(tmp_path):
    with pytest.raises(MissingError):
        follow(None, str(tmp_path / "nothing"), PlainLines(io.StringIO()))


def test_connecting_moves_no_modem_line_down_and_closing_does_not_hang_up(monkeypatch):
    calls = []
    real = fcntl.ioctl

    def noted(descriptor, request, *arguments):
        if request in MODEM:
            calls.append((request, arguments[0] if arguments else b""))
            return b""
        return real(descriptor, request, *arguments)

    with FakeBoard(DemoBoard()) as board:
        monkeypatch.setattr(fcntl, "ioctl", noted)
        with Transport(board.port) as transport:
            transport.write(b"\n")
        monkeypatch.undo()
        with open(board.port, "rb", buffering=0) as terminal:
            flags = termios.tcgetattr(terminal)[2]
    # The kernel raises DTR and RTS at open; an edge down, or a break, resets many boards.
    assert {request for request, _ in calls} <= {termios.TIOCMBIS}
    assert not flags & termios.HUPCL, "the next close, ours or another's, would drop DTR"


def test_frames_of_an_earlier_lease_are_not_of_a_run_that_is_started():
    class Leased(DemoBoard):
        """Still streams to a monitor that has just ended."""

        def __call__(self, request):
            old = stream_frame(frame_body(50)) if request.command == smp.TACTUS_MEMORY else b""
            return old + super().__call__(request)

    seen = []
    with FakeBoard(Leased()) as board, connect(port=board.port) as session:
        watch(
            session,
            PlainLines(io.StringIO()),
            lambda frame: seen.append(frame.sequence) or len(seen) == 3,
            start_speed=1,
        )
    assert seen == [0, 1, 2]


def test_a_board_can_be_asked_once():
    with FakeBoard(DemoBoard()) as board, connect(port=board.port) as session:
        moment = read_moment(session, 5.0)
        asked = [request.body for request in board.requests]
    assert moment.at_s == 5.0 and moment.stats.tasks[1].done == 120
    assert moment.stats.link == (12, 1, 0, 0, 12)
    assert not any("lease_ms" in body for body in asked)
