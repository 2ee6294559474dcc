"""The board's own reading and writing of dates, against the standard library's."""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from device_bench import Bench
from hypothesis import given
from hypothesis import strategies as st

FIRST, LAST = datetime(2020, 1, 1, tzinfo=UTC), datetime(2105, 12, 31, 23, 59, 59, tzinfo=UTC)


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


@pytest.fixture(scope="module")
def utc(bench: Bench) -> Any:
    return bench.module("utc")


def test_every_day_of_the_range_is_read_and_written_right(utc: Any) -> None:
    day = FIRST
    while day <= LAST:
        moment = day + timedelta(seconds=(day.toordinal() * 7919) % 86_400)
        seconds = calendar.timegm(moment.timetuple())
        text = moment.isoformat(timespec="microseconds")
        assert utc.parse(text) == seconds and utc.text_of(seconds) == text
        day += timedelta(days=1)


@given(
    st.datetimes(FIRST.replace(tzinfo=None), LAST.replace(tzinfo=None)),
    st.integers(-14 * 60, 14 * 60),
    st.sampled_from(["auto", "seconds", "milliseconds"]),
)
def test_offsets_and_fractions_are_read(
    utc: Any, moment: datetime, minutes: int, precision: str
) -> None:
    moment = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    text = moment.isoformat(timespec=precision)
    assert utc.parse(text) == int(moment.replace(microsecond=0).timestamp())
    assert utc.parse(text.replace(":", "", 4)) is None


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "2026",
            "2026-11-22",
            "2026-11-22 10:00:00",
            "2026-11-22T10:00",
            "2019-12-31T23:59:59",
        ),
        *("2106-01-01T00:00:00", "2026-02-29T00:00:00", "2100-02-29T00:00:00"),
        *("2026-00-10T00:00:00", "2026-04-31T00:00:00", "2026-11-22T24:00:00"),
        *("2026-11-22T10:60:00", "2026-11-22T10:00:60", "2026-11-22T10:00:00."),
        *("2026-11-22T10:00:00+15:00", "2026-11-22T10:00:00+0x:00", "2026-11-22T10:00:00ZZ"),
        *("2026-11-22T10:00:00+1", "+026-11-22T10:00:00", "\uff12026-11-22T10:00:00"),
    ],
)
def test_other_texts_are_no_time(utc: Any, text: str) -> None:
    assert utc.parse(text) is None


def test_time_goes_on_with_the_boards_clock_and_over_its_wrap(bench: Bench, utc: Any) -> None:
    clock = utc.Utc()
    assert clock.now_s() is None
    bench.fake.now_us = ((1 << 30) - 1500) * 1000
    clock.set(1_900_000_000)
    for seconds in (0, 1, 2, 3, 86_400, 86_400 * 11, 86_400 * 22):
        bench.fake.now_us = ((1 << 30) - 1500 + 1000 * seconds) * 1000
        assert clock.now_s() == 1_900_000_000 + seconds
