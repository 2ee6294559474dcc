"""A board updated by a delta: cut off by a reset, gone on with, verified, and running."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator

import package_builder as build
import pytest

from host.boards import load_board
from host.flash.device_room import DeviceStatus
from host.flash.flasher import flash_board, stop_board
from host.install import reconnect, update_board
from host.link.patch import send_delta
from host.link.session import Session, connect
from host.package import keys
from host.package.delta import make

pytestmark = pytest.mark.emulated
BOARD = load_board("qemu-m4")
FILLER = 100_000
WEIGHTS = random.Random(1).randbytes(FILLER)


def package(version: str, changed: int = 0) -> bytes:
    """About 100 kB; every `changed`-th weight differs by one."""
    tasks = [
        build.task(name, 0, 32 * i, 1, budget_us=300, longest_op_us=300)
        for i, name in enumerate(("left", "right"))
    ]
    content = build.manifest(version=version, tasks=tasks, trial=build.SHORT_TRIAL)
    content["target"] |= {"class": BOARD.device_class, "features": list(BOARD.features)}
    content["evidence_sha256"] = hashlib.sha256(version.encode()).digest()
    weights = bytearray(WEIGHTS)
    for place in range(0, FILLER, changed or FILLER + 1):
        weights[place] = (weights[place] + 1) % 256
    parts = [*build.payloads(build.plan(300).image()), ("weights", bytes(weights))]
    return build.build(content, parts, keys.demo_signer())


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeviceStatus]:
    folder = tmp_path_factory.mktemp("qemu-m4")
    replay = build.replay_image()
    yield flash_board(BOARD, replay, *keys.trusted(), folder=folder, with_parent=True)
    stop_board(BOARD, folder)


class CutOff(Exception):
    pass


def cut_off(phase: str, fraction: float | None = None) -> None:
    raise CutOff


def test_a_delta_goes_on_after_a_reset_and_what_it_makes_runs(device: DeviceStatus) -> None:
    def session() -> Session:
        return connect(None, str(device.port))

    first, second, third = package("1"), package("2"), package("3", changed=40)
    known = {hashlib.sha256(data).digest(): data for data in (first, second, third)}
    assert update_board(session, first, find_base=known.get).delta_bytes is None

    # The manifest changes; the board is reset when it has made the first 64 KiB.
    delta = make(first, second)
    with session() as board:
        with pytest.raises(CutOff):
            send_delta(board.client, delta, cut_off)
        board.os.reset()
    with reconnect(session) as board:
        (slot,) = (slot for slot in board.tactus.slots().slots if slot.state_name == "receiving")
        assert 60_000 < slot.received < len(second)
        before = board.client.counters.sent_bytes + board.client.counters.received_bytes
        assert send_delta(board.client, delta).messages <= 2
        spent = board.client.counters.sent_bytes + board.client.counters.received_bytes - before
        assert spent < 0.01 * len(second)
    done = update_board(session, second, find_base=known.get)
    assert (done.outcome, done.now) == ("installed", "demo 2")

    # Light changes of the weights, without a cut: no piece of it holds the tasks for longer than is declared.
    done = update_board(session, third, find_base=known.get)
    assert done.delta_bytes is not None and done.delta_bytes < 0.04 * len(third)
    assert (done.now, done.resumed_at) == ("demo 3", 0)
    with session() as board:
        assert [slot.state_name for slot in board.tactus.slots().slots] == ["confirmed"] * 2
        assert board.info.running


def test_pieces_of_a_patch_are_short(device: DeviceStatus) -> None:
    with connect(None, str(device.port)) as board:
        running = board.tactus.slots().slots[board.info.slot or 0].sha256
        base = next(
            data
            for data in (package("1"), package("2"), package("3", 40))
            if hashlib.sha256(data).digest() == running
        )
        delta = make(base, package("4", changed=7))
        board.client.retries = 0

        def once(phase: str, fraction: float | None = None) -> None:
            if (fraction or 0) > 0.8:  # what follows is the verification, which is not in here
                raise CutOff

        with pytest.raises(CutOff):
            send_delta(board.client, delta, once)
        longest_us = board.stat.read("loop")["background_max_us"]
        print("longest piece", longest_us)
        assert longest_us <= BOARD.time.background_us
