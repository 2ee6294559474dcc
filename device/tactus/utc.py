"""UTC as far as a board knows it: what a host told it since the last reset, counted on by the board's clock."""

import _tactus

_MASK = (1 << 30) - 1  # uptime_ms() counts modulo 2**30
_DAYS_TO_1970 = 719_468  # from 0000-03-01, where the years of the algorithm begin
_DAYS_OF_400_YEARS = 146_097
_YEAR_FIRST, _YEAR_LAST = 2020, 2105  # seconds fit 32 bits
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_TEXT_MAX = 40  # characters
_FIELDS = ((0, 4), (5, 2), (8, 2), (11, 2), (14, 2), (17, 2))


class Utc:
    """Unknown until set, and after each reset: boards have no battery-backed clock.

    A lower bound: asked less often than every 12 days it falls behind with the wrap of uptime_ms().
    """

    def __init__(self):
        self._seconds = -1
        self._at_ms = 0

    def set(self, seconds):
        """It is now `seconds` since 1970-01-01."""
        self._seconds = seconds
        self._at_ms = _tactus.uptime_ms()

    def now_s(self):
        """Seconds since 1970-01-01, or None when nobody has told."""
        if self._seconds < 0:
            return None
        whole = ((_tactus.uptime_ms() - self._at_ms) & _MASK) // 1000
        self._seconds += whole
        self._at_ms = (self._at_ms + 1000 * whole) & _MASK
        return self._seconds


def parse(text):
    """Seconds since 1970-01-01 of `2026-11-22T16:47:58[.123456][Z|+01:00|-0500]`, or None for any other text.

    Without an offset it is UTC.
    """
    if len(text) > _TEXT_MAX:  # before anything that takes its time character by character
        return None
    numbers = [_digits(text, at, size) for at, size in _FIELDS]
    if text[4:5] + text[7:8] + text[10:11] + text[13:14] + text[16:17] != "--T::":
        return None
    if None in numbers:
        return None
    year, month, day, hour, minute, second = numbers
    if not _YEAR_FIRST <= year <= _YEAR_LAST or not 1 <= month <= 12:
        return None
    if not 1 <= day <= _DAYS[month - 1] or hour > 23 or minute > 59 or second > 59:
        return None
    if month == 2 and day == 29 and (year % 4 or year == 2100):
        return None
    offset = _offset(text[19:])
    if offset is None:
        return None
    return ((_days(year, month, day) * 24 + hour) * 60 + minute - offset) * 60 + second


def text_of(seconds):
    """The form that parse() reads, with microseconds and `+00:00`, as Zephyr writes it."""
    days, rest = divmod(seconds, 86_400)
    # The year that holds the day, by counting: called once a request, 136 years at most.
    year = 1970 + days // 366
    while _days(year + 1, 1, 1) <= days:
        year += 1
    month = 12
    while _days(year, month, 1) > days:
        month -= 1
    return "%04d-%02d-%02dT%02d:%02d:%02d.000000+00:00" % (
        year,
        month,
        days - _days(year, month, 1) + 1,
        rest // 3600,
        rest // 60 % 60,
        rest % 60,
    )


def _digits(text, at, size):
    part = text[at : at + size]
    if len(part) != size or not part.encode().isdigit():  # of bytes: ASCII digits only
        return None
    return int(part)


def _offset(text):
    # Minutes east of Greenwich of what follows the seconds.
    if text[:1] == ".":
        end = 1
        while end < len(text) and "0" <= text[end] <= "9":
            end += 1
        if end == 1:
            return None
        text = text[end:]
    if text in ("", "Z"):
        return 0
    digits = text[1:].replace(":", "")
    if text[0] not in "+-" or len(digits) != 4:
        return None
    hours, minutes = _digits(digits, 0, 2), _digits(digits, 2, 2)
    if hours is None or minutes is None or hours > 14 or minutes > 59:
        return None
    total = 60 * hours + minutes
    return -total if text[0] == "-" else total


def _days(year, month, day):
    # Days from 1970-01-01 (H. Hinnant, chrono-compatible low-level date algorithms, days_from_civil).
    if month <= 2:
        year -= 1
        month += 12
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * (month - 3) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * _DAYS_OF_400_YEARS + day_of_era - _DAYS_TO_1970
