"""The watchdog: fed at each turn of background work, so that a board whose link is never served is reset, too.

It counts the time that the processor works: a board that rests is not in danger, and a busy computer that emulates one
starves nobody. What a reset by it means: tactus.boot, and for a package on trial tac_board_slot_select().
"""

import _tactus

# Longer than any piece of background work; at start-up it is fed between the steps.
TIMEOUT_US = 8_000_000

_is_on = False


def start():
    """From now on the board lives only as long as it is fed."""
    global _is_on
    _is_on = True
    feed()


def feed():
    """Live for another TIMEOUT_US of work. Nothing where start() was not called."""
    if _is_on:
        _tactus.watchdog(TIMEOUT_US)


def stop():
    """A person has the prompt: nobody feeds it there."""
    global _is_on
    _is_on = False
    _tactus.watchdog(0)
