"""Host and board together: a delta is sent where that is less, goes on after losses, and gives way to the whole."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import package_builder as build
import pytest
from bench_transport import BenchTransport
from device_bench import Bench

from host.errors import UsageError
from host.install import send_package
from host.link.client import SmpClient
from host.link.errors import DeviceError, NoAnswerError, SpoiltError
from host.link.patch import send_delta
from host.link.session import Session
from host.link.tactus_group import TactusGroup
from host.package import sent
from host.package.delta import RESULT_BYTES_MAX, Delta, make
from host.verbs.update import _only
from protocol import errors

LINK_BYTES = 400


def package(version: str, share: float = 0.0) -> bytes:
    """30 kB, a share of whose weights differ from one version to the next."""
    rng = random.Random(3)
    weights = bytearray(rng.randbytes(30_000))
    rng = random.Random(version)
    for place in range(len(weights)):
        if rng.random() < share:
            weights[place] = (weights[place] + rng.choice((1, 255))) % 256
    parts = [*build.payloads(), ("weights", bytes(weights))]
    return build.build(build.manifest(version=version, counter=6), parts)


OLD, NEXT, TUNED = package("1"), package("2"), package("2", 0.1)


class Line:
    """A bench on which OLD runs, behind a line that loses every `losing`-th answer."""

    def __init__(self, losing: int = 0) -> None:
        self.bench = Bench(link_bytes=LINK_BYTES)
        self.bench.install(OLD)
        self.transport = BenchTransport(self.bench)
        self.losing = losing
        self.count = 0
        self.now = 0.0
        read = self.transport.read

        def reading(timeout_s: float) -> bytes:
            data = read(timeout_s)
            if not data:
                self.now += timeout_s
            return data

        raw = self.bench.raw

        def answering(message: bytes) -> bytes | None:
            reply = raw(message)
            self.count += 1
            return None if self.losing and self.count % self.losing == 0 else reply

        self.transport.read = reading  # type: ignore[method-assign]
        self.bench.raw = answering  # type: ignore[method-assign]
        self.client = SmpClient(self.transport, clock=lambda: self.now)  # type: ignore[arg-type]
        self.session = Session(self.client, TactusGroup(self.client).info())

    def made(self) -> bytes:
        return bytes(self.bench.store.slots[1].data)


@pytest.fixture
def line() -> Iterator[Callable[..., Line]]:
    lines: list[Line] = []

    def make_line(losing: int = 0) -> Line:
        lines.append(Line(losing))
        return lines[-1]

    yield make_line
    for made in lines:
        made.bench.close()


@pytest.mark.parametrize("result", [NEXT, TUNED], ids=["manifest", "weights"])
def test_a_delta_makes_the_package_on_the_board(line: Callable[..., Line], result: bytes) -> None:
    clean = line()
    done = send_delta(clean.client, make(OLD, result))
    assert clean.made() == result and clean.bench.states() == [5, 2]
    assert done.messages < 30
    assert send_delta(clean.client, make(OLD, result)).messages == 1


@pytest.mark.parametrize("losing", [2, 3, 5])
def test_lost_answers_only_cost_time(line: Callable[..., Line], losing: int) -> None:
    bad = line(losing)
    done = send_delta(bad.client, make(OLD, TUNED))
    assert bad.made() == TUNED and bad.client.counters.retries > 0
    assert done.ops_bytes < len(TUNED) / 5


def test_it_goes_on_after_the_board_was_reset(line: Callable[..., Line]) -> None:
    broken = line()
    delta = make(OLD, TUNED)
    taken: list[float] = []

    class Unplugged(Exception):
        pass

    def unplug(phase: str, fraction: float | None = None) -> None:
        taken.append(fraction or 0)
        if len(taken) == 3:
            raise Unplugged

    with pytest.raises(Unplugged):
        send_delta(broken.client, delta, unplug)
    broken.bench.reset()
    received = broken.bench.store.slots[1].received
    assert 0 < received < len(TUNED)
    rest = send_delta(broken.client, delta)
    assert broken.made() == TUNED
    assert rest.ops_bytes < send_delta(line().client, delta).ops_bytes


def test_a_dead_board_is_given_up(line: Callable[..., Line]) -> None:
    dead = line()
    delta = make(OLD, NEXT)
    send_delta(dead.client, delta)
    dead.losing = 1
    with pytest.raises(NoAnswerError):
        send_delta(dead.client, delta)
    assert dead.now < 100


def test_what_the_board_makes_is_checked(line: Callable[..., Line]) -> None:
    delta = make(OLD, NEXT)
    wrong = Delta(delta.base, NEXT[:-1] + b"?", delta.ops)
    with pytest.raises(SpoiltError):
        send_delta(line().client, wrong)


def test_another_base_is_refused_and_the_whole_is_sent(line: Callable[..., Line]) -> None:
    other = line()
    with pytest.raises(DeviceError) as refused:
        send_delta(other.client, make(TUNED, NEXT))
    assert refused.value.code == errors.PKG_BASE
    # What was found is not what it should be: it does not happen, and does no harm.
    assert send_package(other.session, NEXT, sha_of(OLD), find_base=lambda sha: TUNED) is None
    assert other.made() == NEXT


def test_the_smaller_way_is_chosen(line: Callable[..., Line]) -> None:
    first = line()
    assert send_package(first.session, NEXT, sha_of(OLD), find_base=lambda sha: None) is None
    second = line()
    spent = send_package(second.session, NEXT, sha_of(OLD), find_base={sha_of(OLD): OLD}.get)
    assert spent is not None and spent < 300
    assert first.made() == second.made() == NEXT


def sha_of(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def test_no_message_makes_the_board_work_for_long() -> None:
    base = bytes(range(256)) * 1024
    delta = make(base, base)
    assert delta.part(0, 100)[1] == RESULT_BYTES_MAX


def test_what_was_sent_is_found_again_and_the_oldest_makes_room(tmp_path: Path) -> None:
    packages = [bytes([n]) * 10 for n in range(sent.KEPT + 3)]
    for index, data in enumerate(packages):
        sent.remember(data, tmp_path)
        os.utime(tmp_path / f"{sha_of(data).hex()}.tpk", (index, index))
    sent.remember(packages[-1], tmp_path)
    assert sent.find(sha_of(packages[-1]), tmp_path) == packages[-1]
    assert sent.find(sha_of(packages[0]), tmp_path) is None
    assert len(list(tmp_path.iterdir())) == sent.KEPT
    (tmp_path / f"{sha_of(packages[-1]).hex()}.tpk").write_bytes(b"spoilt")
    assert sent.find(sha_of(packages[-1]), tmp_path) is None


def test_a_base_that_the_board_does_not_run_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "old.tpk").write_bytes(OLD)
    find = _only(tmp_path / "old.tpk")
    assert find(sha_of(OLD)) == OLD
    with pytest.raises(UsageError, match="is not the package that the board runs"):
        find(sha_of(NEXT))
