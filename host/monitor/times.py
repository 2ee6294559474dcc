"""How times are written for people."""


def milliseconds(value_us: int) -> str:
    """A time in ms with three digits after the point below 10 ms, one from 100 ms on."""
    digits = 3 if abs(value_us) < 10_000 else 2 if abs(value_us) < 100_000 else 1
    return f"{value_us / 1000:,.{digits}f}"
