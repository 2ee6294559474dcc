"""The SMP client on a bad line: whatever happens, the right answer or an error, never a wrong answer."""

import hashlib
import random

import pytest
from fake_board import INFO, FakeBoard, Request, stream_frame
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from host.errors import ExitCode, MissingError
from host.link.client import SmpClient
from host.link.errors import BadReplyError, DeviceError, NoAnswerError, PortLostError, SpoiltError
from host.link.image_group import ImageGroup
from host.link.os_group import OsGroup
from host.link.session import connect
from host.link.stat_group import StatGroup
from host.link.tactus_group import TactusGroup
from host.link.transport import Transport
from protocol import smp


def client_on(board: FakeBoard, timeout_s: float = 0.2, retries: int = 3) -> SmpClient:
    return SmpClient(Transport(board.port), timeout_s, retries)


def echo(request: Request) -> bytes:
    return request.reply({"r": request.body["d"]})


def test_an_answer_is_found_between_log_text_and_garbage():
    def answer(request: Request) -> bytes:
        noise = b"boot: hello\r\n\x00\xff\x06garbage\x04\x14AAAA\nhalf a line "
        return noise + request.reply({"r": "ok"}) + b"rest of it\n"

    with FakeBoard(answer) as board:
        client = client_on(board)
        assert OsGroup(client).echo("x") == "ok"
        OsGroup(client).echo("again")
        assert "boot: hello" in client.log.lines
        assert any(line.endswith("half a line rest of it") for line in client.log.lines)
        assert client.counters.retries == 0


def test_control_characters_of_log_text_never_reach_the_terminal():
    with FakeBoard(lambda request: b"\x1b[2Jcleared\n" + echo(request)) as board:
        client = client_on(board)
        OsGroup(client).echo("x")
        assert list(client.log.lines) == ["\ufffd[2Jcleared"]


def test_a_lost_reply_is_asked_for_again_under_the_same_sequence_number():
    def answer(request: Request) -> bytes:
        return b"" if len(board.requests) == 1 else echo(request)

    with FakeBoard(answer) as board:
        client = client_on(board)
        assert OsGroup(client).echo("hi") == "hi"
        first, second = board.requests
        assert first.sequence == second.sequence
        assert client.counters.retries == 1


def test_a_retry_ends_the_half_line_that_a_broken_exchange_left_behind():
    with FakeBoard(lambda request: b"" if len(board.requests) == 1 else echo(request)) as board:
        board_client = client_on(board)
        board_client.transport.write(b"\x06\x09AAAA")  # a killed program's last words
        assert OsGroup(board_client).echo("hi") == "hi"
        assert board.raw.count(b"\n\x06\x09") == 2


def test_a_damaged_reply_counts_as_lost():
    def answer(request: Request) -> bytes:
        good = echo(request)
        if len(board.requests) == 1:
            return good[:6] + (b"A" if good[6:7] != b"A" else b"B") + good[7:]
        return good

    with FakeBoard(answer) as board:
        assert OsGroup(client_on(board)).echo("hi") == "hi"
        assert len(board.requests) == 2


def test_a_duplicated_reply_does_not_answer_the_next_request():
    with FakeBoard(lambda request: echo(request) * 2) as board:
        client = client_on(board)
        for text in "abcdef":
            assert OsGroup(client).echo(text) == text
        assert client.counters.stale >= 5
        assert len(board.requests) == 6


def test_a_late_reply_to_the_request_before_is_dropped():
    late: list[bytes] = []

    def answer(request: Request) -> bytes:
        if request.body["d"] == "slow":
            late.append(echo(request))
            return b""
        return b"".join(late) + echo(request)

    with FakeBoard(answer) as board:
        client = client_on(board, timeout_s=0.1, retries=0)
        with pytest.raises(NoAnswerError):
            OsGroup(client).echo("slow")
        assert OsGroup(client).echo("fast") == "fast"
        assert client.counters.stale == 1


@pytest.mark.parametrize(
    "changes", [{"sequence": 300 & 0xFF}, {"group": 3}], ids=["sequence", "group"]
)
def test_a_reply_to_something_else_is_never_taken(changes):
    def answer(request: Request) -> bytes:
        wrong = {"sequence": (request.sequence + 1) & 0xFF} if "sequence" in changes else changes
        return request.reply({"r": "wrong"}, **wrong) + request.reply({"r": "right"})

    with FakeBoard(answer) as board:
        assert OsGroup(client_on(board)).echo("x") == "right"


def test_silence_is_an_error_that_names_port_and_remedy():
    with FakeBoard(lambda request: b"") as board:
        client = client_on(board, timeout_s=0.05, retries=1)
        with pytest.raises(NoAnswerError) as caught:
            OsGroup(client).echo("x")
        assert board.port in caught.value.cause
        assert len(board.requests) == 2


def test_a_pulled_cable_is_an_error_and_not_a_traceback():
    with FakeBoard(echo) as board:
        client = client_on(board)
        OsGroup(client).echo("x")
        board.pull_cable()
        with pytest.raises(PortLostError, match="broke"):
            OsGroup(client).echo("y")


@pytest.mark.parametrize(
    ("body", "group", "code", "exit_code", "text"),
    [
        ({"rc": 8}, None, 8, ExitCode.FAILURE, "not supported"),
        ({"err": {"group": 64, "rc": 33}}, 64, 33, ExitCode.VERIFICATION, "signature"),
        ({"err": {"group": 64, "rc": 40}}, 64, 40, ExitCode.DOES_NOT_FIT, "deadlines"),
        ({"err": {"group": 1, "rc": 24}}, 1, 24, ExitCode.FAILURE, "code 24 of command group 1"),
    ],
)
def test_a_refusal_becomes_an_error_with_its_sentence(body, group, code, exit_code, text):
    with FakeBoard(lambda request: request.reply(body)) as board:
        with pytest.raises(DeviceError, match=text) as caught:
            OsGroup(client_on(board)).echo("x")
        assert (caught.value.group, caught.value.code) == (group, code)
        assert caught.value.exit_code == exit_code


@pytest.mark.parametrize("body", [[1, 2], 7, "text", {"err": 5}, {"rc": "x"}, {"r": 5}, {}])
def test_a_reply_that_breaks_the_protocol_is_an_error(body):
    with (
        FakeBoard(lambda request: request.reply(body)) as board,
        pytest.raises((BadReplyError, NoAnswerError)),
    ):
        OsGroup(client_on(board, timeout_s=0.05, retries=0)).echo("x")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(noise=st.lists(st.binary(max_size=200), min_size=3, max_size=3))
def test_no_noise_around_an_answer_changes_it(noise):
    """The line may hold anything but the answer's own frame marker between newline and answer."""
    before, after, later = (part.replace(b"\x06\x09", b"") for part in noise)

    def answer(request: Request) -> bytes:
        return before + b"\n" + echo(request) + after + b"\n" + later + b"\n"

    with FakeBoard(answer) as board:
        client = client_on(board, timeout_s=0.5)
        assert [OsGroup(client).echo(text) for text in ("one", "two")] == ["one", "two"]


def test_stream_frames_go_to_the_queue_and_never_answer_a_request():
    frame = stream_frame({"seq": 3, "uptime_ms": 9, "tasks": [], "link": [1, 2, 3, 4, 5]})
    with FakeBoard(lambda request: frame + request.reply({}) + frame) as board:
        client = client_on(board)
        tactus = TactusGroup(client)
        tactus.subscribe(lease_ms=5000, period_ms=100)
        seen = tactus.next_frame(0.5)
        assert seen is not None and seen.sequence == 3 and seen.link == (1, 2, 3, 4, 5)
        assert tactus.next_frame(0.5) is not None
        assert tactus.next_frame(0.05) is None
        assert client.counters.frames == 2 and client.counters.stale == 0


def test_the_statistics_group_reads_names_and_counters():
    def answer(request: Request) -> bytes:
        if request.command == smp.STAT_LIST:
            return request.reply({"stat_list": ["link", "motion"]})
        return request.reply({"name": request.body["name"], "fields": {"frames": 4}})

    with FakeBoard(answer) as board:
        stat = StatGroup(client_on(board))
        assert stat.names() == ("link", "motion")
        assert stat.read("link") == {"frames": 4}


class Slot:
    """A board's upload handler: keeps what arrived, resumes by SHA-256, loses what it is told to lose."""

    def __init__(self, buf_size: int = 256) -> None:
        self.data = bytearray()
        self.length = 0
        self.sha = b""
        self.buf_size = buf_size
        self.lose_requests: set[int] = set()
        self.lose_replies: set[int] = set()
        self.chunks = 0
        self.largest = 0

    def __call__(self, request: Request) -> bytes:
        if request.group == smp.GROUP_OS:
            return request.reply({"buf_size": self.buf_size, "buf_count": 1})
        self.chunks += 1
        self.largest = max(self.largest, len(request.message(request.body)))
        if self.chunks in self.lose_requests:
            return b""
        body = request.body
        if "sha" in body and (body["sha"], body["len"]) != (self.sha, self.length):
            self.data, self.sha, self.length = bytearray(), body["sha"], body["len"]
        if body["off"] == len(self.data):
            self.data += body["data"]
        out: dict[str, object] = {"off": len(self.data)}
        if len(self.data) == self.length:
            out["match"] = hashlib.sha256(self.data).digest() == self.sha
        return b"" if self.chunks in self.lose_replies else request.reply(out)


PACKAGE = random.Random(1).randbytes(3001)


def test_an_upload_arrives_whole_in_messages_that_the_board_can_take():
    slot = Slot()
    seen: list[float | None] = []
    with FakeBoard(slot) as board:
        result = ImageGroup(client_on(board)).upload(PACKAGE, lambda _, part: seen.append(part))
    assert slot.data == PACKAGE
    assert slot.buf_size - 8 <= slot.largest <= slot.buf_size
    assert seen == sorted(seen) and seen[-1] == 1.0
    assert (result.sent_bytes, result.resumed_at) == (len(PACKAGE), 0)
    assert result.sha256 == hashlib.sha256(PACKAGE).digest()


def test_an_upload_over_a_lossy_line_writes_every_byte_once():
    slot = Slot()
    # The announcement, the first chunk and the last are left alone: their time limits are long.
    slot.lose_requests, slot.lose_replies = {4, 8, 9}, {6, 12}
    with FakeBoard(slot) as board:
        client = client_on(board, timeout_s=0.1)
        ImageGroup(client).upload(PACKAGE)
        assert client.counters.retries == 5
    assert slot.data == PACKAGE


def test_an_upload_that_was_cut_off_goes_on_where_it_stopped():
    slot = Slot()
    slot.lose_requests = set(range(7, 10_000))
    with FakeBoard(slot) as board, pytest.raises(NoAnswerError):
        ImageGroup(client_on(board, timeout_s=0.05, retries=1)).upload(PACKAGE)
    had = len(slot.data)
    assert 0 < had < len(PACKAGE)
    slot.lose_requests = set()
    with FakeBoard(slot) as board:
        result = ImageGroup(client_on(board)).upload(PACKAGE)
    assert slot.data == PACKAGE
    assert result.resumed_at == had and result.sent_bytes == len(PACKAGE) - had


def test_uploading_what_is_already_there_sends_nothing_more():
    slot = Slot()
    with FakeBoard(slot) as board:
        ImageGroup(client_on(board)).upload(PACKAGE)
        before = slot.chunks
        result = ImageGroup(client_on(board)).upload(PACKAGE)
    assert slot.chunks == before + 1 and result.sent_bytes == 0


def test_a_board_that_forgot_the_upload_gets_length_and_digest_again():
    slot = Slot()

    def answer(request: Request) -> bytes:
        if slot.chunks == 5:
            slot.data, slot.sha, slot.length = bytearray(), b"", 0
            slot.chunks += 1
            return request.reply({"off": 0})
        return slot(request)

    with FakeBoard(answer) as board:
        ImageGroup(client_on(board)).upload(PACKAGE)
    assert slot.data == PACKAGE


def test_a_digest_mismatch_at_the_end_is_a_verification_error():
    def answer(request: Request) -> bytes:
        if request.group == smp.GROUP_OS:
            return request.reply({"buf_size": 8192, "buf_count": 1})
        return request.reply({"off": len(PACKAGE), "match": False})

    with FakeBoard(answer) as board, pytest.raises(SpoiltError, match="SHA-256"):
        ImageGroup(client_on(board)).upload(PACKAGE)


@pytest.mark.parametrize("offset", [0, len(PACKAGE) + 1], ids=["stuck", "beyond the end"])
def test_a_board_that_asks_for_nonsense_ends_the_upload(offset):
    def answer(request: Request) -> bytes:
        if request.group == smp.GROUP_OS:
            return request.reply({"buf_size": 256, "buf_count": 1})
        return request.reply({"off": offset})

    with FakeBoard(answer) as board, pytest.raises(BadReplyError, match="offset"):
        ImageGroup(client_on(board)).upload(PACKAGE)


def test_connecting_reads_who_the_board_is():
    with (
        FakeBoard(lambda request: request.reply(INFO)) as board,
        connect(port=board.port) as session,
    ):
        assert session.info.board == "qemu-m4" and session.info.app == "demo"
        assert session.info.reason is None


def test_a_port_with_something_else_on_it_is_no_tactus_board():
    with FakeBoard(lambda request: b">>> \r\nNameError: name 'x' is not defined\r\n") as board:
        with pytest.raises(MissingError, match="not a Tactus board") as caught:
            connect(port=board.port, attempts=1)
        assert "NameError" in caught.value.cause and caught.value.exit_code == ExitCode.MISSING


def test_a_board_of_another_name_is_refused():
    with (
        FakeBoard(lambda request: request.reply(INFO)) as board,
        pytest.raises(MissingError, match="is a qemu-m4 board, not host"),
    ):
        connect("host", board.port)
