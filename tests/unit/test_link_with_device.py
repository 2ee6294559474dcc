"""Host and board together: the host's client, groups and packages against the board's own Python."""

import hashlib

import pytest
from bench_transport import BenchTransport
from device_bench import Bench
from package_builder import (
    KEY,
    OTHER_KEY,
    ROOT,
    TEST_INPUT,
    TEST_OUTPUT,
    build,
    key_set,
    plan,
    public,
)
from report_samples import packed, stats

from host.compile.result import CompiledModel, OpReport, TensorInfo
from host.errors import ExitCode
from host.link.client import SmpClient
from host.link.errors import DeviceError
from host.link.session import Session
from host.link.tactus_group import TactusGroup
from host.monitor.status import read_status, status_json
from host.package.keys import Signer
from host.package.keys_roots import RootKeys
from host.package.read import PackageError, read_package
from host.package.write import (
    PackageHead,
    PackageTask,
    ReplaySource,
    SelfTestVector,
    write_package,
)
from protocol import errors


class Board:
    """A bench and a session with it that survives resets."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.transport = BenchTransport(self.bench)
        client = SmpClient(self.transport, timeout_s=0.01)
        self.session = Session(client, TactusGroup(client).info())


@pytest.fixture
def board():
    made = Board()
    yield made
    made.bench.close()


TENSOR = TensorInfo((1, 2, 1, 3), "int8", 0.5, -1, 6)
MODEL = CompiledModel(
    name="clamp",
    image=plan().image(),
    arena_bytes=32,
    arena_lower_bound_bytes=12,
    pte_bytes=1,
    input=TENSOR,
    output=TENSOR,
    ops=(OpReport(0, "clamp", "clamp", 6, 40, (1, 2, 1, 3), 0),),
    buffers=(),
    coverage={},
)


def task(name: str, **changes) -> PackageTask:
    values = {
        "name": name,
        "model": MODEL,
        "arena_offset": 0,
        "period_us": 50_000,
        "deadline_us": 40_000,
        "policy": "abort",
        "labels": (),
        "source": ReplaySource("walk", 0.25, 2, 1),
        "selftests": (SelfTestVector(TEST_INPUT, TEST_OUTPUT),),
    }
    return PackageTask(**(values | changes))


def package(key=KEY, tasks=None, device_class="hosted", counter=5) -> bytes:
    head = PackageHead("demo", "1.2.3", counter, device_class, ("dsp",))
    tasks = tasks or (task("left"), task("right", arena_offset=32, period_us=80_000))
    return write_package(head, tasks, b"evidence", Signer(key, key_set(), "a test"))


def flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


GOOD = package()
ROOT_KEYS = RootKeys((public(ROOT),), 1)


def install(board: Board, data: bytes) -> None:
    board.session.image.upload(data)
    board.session.image.test(hashlib.sha256(data).digest())
    board.bench.reset()
    board.session.image.confirm()


def test_the_host_writes_byte_for_byte_what_an_independent_writer_does():
    info = read_package(GOOD, ROOT_KEYS)
    parts = [(payload.name, payload.data) for payload in info.payloads]
    assert build(dict(info.manifest), parts) == GOOD


def test_a_package_of_the_host_is_installed_tried_and_kept(board):
    data = package()
    install(board, data)
    info = board.session.tactus.info()
    assert (info.app, info.version, info.slot, info.state) == ("demo", "1.2.3", 0, 5)
    slot = board.session.image.state()[0]
    assert slot.hash == hashlib.sha256(data).digest()
    assert slot.active and slot.confirmed and slot.version == "1.2.3"
    assert board.session.tactus.slots().counter == 5


def test_every_question_of_the_host_has_an_answer_of_the_board(board):
    install(board, package())
    session = board.session

    def sched_stats(index: int, buffer: memoryview) -> int:
        data = packed(stats(1, 5)._replace(task=index))
        buffer[: len(data)] = data
        return len(data)

    board.bench.fake.sched_stats = sched_stats
    board.bench.fake.sched_events = lambda buffer: 0
    assert session.os.echo("hallo") == "hallo"
    assert session.os.params().buf_size == 1024
    assert [t.name for t in session.os.taskstat()] == ["left", "right"]
    assert "Tactus" in session.os.info()
    left, right = session.tactus.tasks()
    assert (left.name, left.deadline_us, left.budget_us, left.arena_bytes) == (
        "left",
        40_000,
        40,
        32,
    )
    assert (right.arena_offset, right.output_scale_f32, right.output_zero_point) == (
        32,
        0x3F000000,
        -1,
    )
    session.tactus.stop()
    test = session.tactus.selftest()
    assert (test.passed, test.failed) == (2, 0)
    session.tactus.run()
    assert session.tactus.info().running
    assert len(session.tactus.stats().tasks) == 2
    assert len(session.tactus.stats(1).tasks) == 1
    page = session.tactus.results(0)
    assert page.next >= len(page.records)
    assert isinstance(session.tactus.events(), tuple)
    session.tactus.subscribe(1000, 100)
    assert set(session.stat.names()) == {"link", "loop", "left", "right"}
    assert "released" in session.stat.read("left")
    status = status_json(read_status(session))
    assert status["app"] == "demo" and set(status["tasks"]) == {"left", "right"}


def test_an_upload_with_lost_replies_is_written_once(board):
    data = package()
    board.transport.drop = 3
    result = board.session.image.upload(data)
    assert result.sha256 == hashlib.sha256(data).digest()
    assert board.session.tactus.slots().slots[0].state_name == "staged"
    again = board.session.image.upload(data)
    assert (again.sent_bytes, again.resumed_at) == (0, len(data))


def test_an_upload_goes_on_after_the_board_lost_power(board):
    data = package()

    def cut(_: str, part: float | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        board.session.image.upload(data, cut)
    board.bench.reset()
    result = board.session.image.upload(data)
    assert 0 < result.resumed_at < len(data)
    assert result.resumed_at + result.sent_bytes == len(data)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"no package" * 10, errors.PKG_FORMAT),
        (flipped(GOOD, 16 + int.from_bytes(GOOD[4:8], "little") - 1), errors.PKG_SIGNATURE),
        (flipped(GOOD, len(GOOD) - 16), errors.PKG_DIGEST),
        (package(OTHER_KEY), errors.PKG_KEY),
    ],
    ids=["no package", "signature", "payload", "foreign key"],
)
def test_host_and_board_refuse_the_same_package_for_the_same_reason(board, data, code):
    with pytest.raises(PackageError) as host:
        read_package(data, ROOT_KEYS)
    with pytest.raises(DeviceError) as device:
        board.session.image.upload(data)
    assert host.value.code == device.value.code == code
    assert host.value.exit_code == device.value.exit_code == ExitCode.VERIFICATION
    slot = board.session.tactus.slots().slots[0]
    assert (slot.state_name, slot.reason) == ("bad", code)


@pytest.mark.parametrize(
    ("data", "code", "exit_code"),
    [
        (package(device_class="armv7e-m"), errors.PKG_TARGET, ExitCode.VERIFICATION),
        (
            package(tasks=(task("far", arena_offset=8192),)),
            errors.PKG_RAM,
            ExitCode.DOES_NOT_FIT,
        ),
        (
            package(tasks=(task("hasty", period_us=60, deadline_us=50),)),
            errors.PKG_SCHEDULE,
            ExitCode.DOES_NOT_FIT,
        ),
    ],
    ids=["another board", "RAM", "schedule"],
)
def test_a_refusal_of_the_board_reaches_the_user_with_sentence_and_exit_code(
    board, data, code, exit_code
):
    install(board, GOOD)
    with pytest.raises(DeviceError) as caught:
        board.session.image.upload(data)
    assert (caught.value.code, caught.value.exit_code) == (code, exit_code)
    assert errors.sentence(code) in caught.value.cause
    assert caught.value.remedy == errors.remedy(code)
    assert board.session.tactus.info().app == "demo", "the package that ran goes on"
