"""Updates over lines that lose, damage, double and delay bytes: all complete, none is applied twice."""

from __future__ import annotations

import secrets

import pytest
from line_bench import FRAMINGS, Behind, package

SEED = 7


@pytest.fixture(autouse=True)
def same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions that begin with the same sequence number, so that a seed replays."""
    monkeypatch.setattr(secrets, "randbelow", lambda limit: limit // 3)


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize(
    ("rate", "filler"), [(0.0, 20_000), (0.001, 20_000), (0.01, 8000), (0.05, 320)]
)
def test_every_update_completes(framing: str, rate: float, filler: int) -> None:
    replay = f"seed {SEED}; replay: pytest {__file__} -k 'completes and {framing} and {rate}'"
    behind = Behind(framing, rate, SEED)
    try:
        for version in ("1", "2"):
            data = package(version, filler)
            done = behind.update(data)
            assert (done.outcome, done.now) == ("installed", f"demo {version}"), replay
            assert behind.bench.board.package.manifest["version"] == version, replay
            slot = behind.bench.store.slots[behind.bench.board.slot]
            assert bytes(slot.data[: len(data)]) == data, replay
        sent = behind.transport.there.passed
        assert behind.update(data).outcome == "unchanged", replay
        assert rate or behind.transport.there.passed - sent < 500, replay
        assert not rate or behind.transport.there.faults > 10, "this line is not bad"
    finally:
        behind.bench.close()


def test_a_clean_line_carries_little_more_than_the_package() -> None:
    ratios = {}
    for framing in FRAMINGS:
        behind = Behind(framing, 0.0, SEED)
        data = package("1", 50_000)
        ratios[framing] = behind.update(data).wire_bytes / len(data)
        behind.bench.close()
    assert ratios["cobs"] < 1.1, "messages of 1024 bytes, both directions"
    assert ratios["console"] < 1.52


def test_two_buffers_hide_the_delay_of_the_line() -> None:
    seconds = {}
    for buffers in (1, 2):
        behind = Behind("cobs", 0.0, SEED, buffers)
        began = behind.transport.clock.now
        session = behind.session()
        session.image.upload(package("1", 50_000))
        seconds[buffers] = behind.transport.clock.now - began
        behind.bench.close()
    assert seconds[2] < 0.6 * seconds[1]
