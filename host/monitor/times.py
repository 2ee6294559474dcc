"""How times and counts are written for people."""


def milliseconds(value_us: int) -> str:
    """A time in ms with three digits after the point below 10 ms, one from 100 ms on."""
    digits = 3 if abs(value_us) < 10_000 else 2 if abs(value_us) < 100_000 else 1
    return f"{value_us / 1000:,.{digits}f}"


def counted(count: int, what: str) -> str:
    """A count with its noun: 1 frame, 1,200 frames."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
