"""An update goes on from wherever the board stands, and a trial that fails leaves what ran before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import package_builder as build
import pytest
from line_bench import Behind, package

from host.errors import DoesNotFitError, ExitCode, VerificationError
from host.install import check_package
from host.link.errors import DeviceError
from host.package.read import PackageError, parse_package
from protocol import errors

OLD, NEW = package("old", 3000), package("new", 3000)


@pytest.fixture
def behind() -> Iterator[Behind]:
    made = Behind("console", 0.0, 1)
    made.update(OLD)
    yield made
    made.bench.close()


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def to_nothing(behind: Behind) -> None:
    pass


def to_staged(behind: Behind) -> None:
    behind.session().image.upload(NEW)


def to_pending(behind: Behind) -> None:
    to_staged(behind)
    behind.session().image.test(sha(NEW))


def to_trial(behind: Behind) -> None:
    to_pending(behind)
    behind.session().os.reset()
    behind.session()  # answers when it has booted


def to_failed_trial(behind: Behind) -> None:
    to_trial(behind)
    behind.session().os.reset()


STANDS = {
    "nothing sent": (to_nothing, len(NEW)),
    "staged": (to_staged, 0),
    "pending": (to_pending, 0),
    "on trial": (to_trial, 0),
    "a trial that a reset ended": (to_failed_trial, len(NEW)),
}


@pytest.mark.parametrize("stand", STANDS)
def test_an_update_does_what_is_left_to_do(behind: Behind, stand: str) -> None:
    bring, sent = STANDS[stand]
    bring(behind)
    done = behind.update(NEW)
    assert (done.outcome, done.now, done.sent_bytes) == ("installed", "demo new", sent)
    assert done.before == ("demo new" if stand == "on trial" else "demo old")
    slots = behind.session().tactus.slots().slots
    assert sorted(slot.state_name for slot in slots) == ["confirmed", "confirmed"]
    assert behind.update(NEW).outcome == "unchanged"


def test_going_back_sends_nothing(behind: Behind) -> None:
    behind.update(NEW)
    done = behind.update(OLD)
    assert (done.outcome, done.now, done.sent_bytes) == ("installed", "demo old", 0)


def test_a_failed_trial_leaves_what_ran_before(behind: Behind) -> None:
    wrong = build.task("left", 0, 0, 1)
    wrong["selftest"] = [{"input": 1, "output_sha256": bytes(32)}]
    data = package("bad", 3000, tasks=[wrong])
    with pytest.raises(VerificationError) as caught:
        behind.update(data)
    assert errors.sentence(errors.PKG_SELFTEST) in caught.value.cause
    info = behind.session().info
    assert info.running and info.version == "old"


def test_a_refused_package_is_not_sent_again(behind: Behind) -> None:
    damaged = bytearray(NEW)
    damaged[-40] ^= 1
    with pytest.raises(DeviceError) as caught:
        behind.update(bytes(damaged))
    assert caught.value.exit_code == ExitCode.VERIFICATION
    assert behind.session().info.version == "old"


def test_what_the_board_would_refuse_is_known_before(behind: Behind) -> None:
    session = behind.session()
    check_package(session, parse_package(NEW))
    before = session.client.counters.sent_bytes
    target = {**build.manifest()["target"], "class": "elsewhere"}
    for data, code in (
        (package("x", 32, counter=4), errors.PKG_COUNTER),
        (package("x", 32, target=target), errors.PKG_TARGET),
    ):
        with pytest.raises(PackageError) as caught:
            check_package(session, parse_package(data))
        assert caught.value.code == code
    with pytest.raises(DoesNotFitError, match="slots of"):
        check_package(session, parse_package(package("x", 70_000)))
    assert session.client.counters.sent_bytes - before < 500
