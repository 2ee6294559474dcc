"""The trial of a package: the board watches it through its window, then keeps it or gives it up by itself.

Nothing outside the board is asked: one in the field may be alone. Its checks are a few integers of the dispatcher, read
four times a second when no job is ready, as pieces of background work of their own.
"""

import _tactus

from protocol import errors
from protocol.manifest import trial_of
from tactus import application, state
from tactus.platform import log

CHECK_MS = 250
_MASK = (1 << 30) - 1  # uptime_ms() counts modulo 2**30
_ELAPSED_MS, _RELEASED, _MISSED, _OVERRUNS, _START_US, _IS_ON = range(6)  # enum tac_trial_figure
NONE, UNDER_WAY, HELD = range(
    3
)  # state in the reply; HELD: the tasks are stopped, and so is the window


class Trial:
    """One trial under way. Its clock and its counters are the dispatcher's: a new start begins it anew.

    A package that was confirmed before is tried for no longer than it takes to run each task once: the self-test has
    matched, and a person who goes back wants to be there, whatever the deadlines do.
    """

    def __init__(self, manifest, is_proven):
        limits = trial_of(manifest)
        self.window_ms = 0 if is_proven else limits["window_ms"]
        self.jobs = 1 if is_proven else max(1, limits["jobs"])
        self.miss_ppm = 1_000_000 if is_proven else limits["miss_ppm"]
        self.overrun_ppm = 1_000_000 if is_proven else limits["overrun_ppm"]
        self.link_gap_ms = 0 if is_proven else limits["link_gap_ms"]
        self.start_us = [] if is_proven else limits["start_us"]
        self.gap_ms = 0
        self._task_count = len(manifest["tasks"])
        self._turn_ms = self._check_ms = _tactus.uptime_ms()

    def is_due(self):
        """Whether a check is due. Called at each turn of background work, whose longest distance it keeps."""
        now_ms = _tactus.uptime_ms()
        gap_ms = (now_ms - self._turn_ms) & _MASK
        self._turn_ms = now_ms
        self.gap_ms = max(self.gap_ms, gap_ms)
        if (now_ms - self._check_ms) & _MASK < CHECK_MS:
            return False
        self._check_ms = now_ms
        return True

    def fault(self):
        """Code of the first threshold that what was seen so far breaks, 0 when none."""
        if self.link_gap_ms and self.gap_ms > self.link_gap_ms:
            return errors.TRIAL_LINK
        for task in range(len(self.start_us)):
            if 0 < self.start_us[task] < _tactus.trial(_START_US, task):
                return errors.TRIAL_START
        for task in range(self._task_count):
            released = _tactus.trial(_RELEASED, task)
            if _tactus.trial(_MISSED, task) * 1_000_000 > self.miss_ppm * released:
                return errors.TRIAL_MISSES
            if _tactus.trial(_OVERRUNS, task) * 1_000_000 > self.overrun_ppm * released:
                return errors.TRIAL_OVERRUN
        return 0

    def remaining_ms(self):
        """What is left of the window."""
        return max(0, self.window_ms - _tactus.trial(_ELAPSED_MS, 0))

    def is_over(self):
        """Whether the window has passed and each task that runs had its jobs."""
        if self.remaining_ms() > 0:
            return False
        for task in range(self._task_count):
            if _tactus.trial(_IS_ON, task) and _tactus.trial(_RELEASED, task) < self.jobs:
                return False
        return True

    def count(self):
        """(releases, misses) of all tasks so far."""
        tasks = range(self._task_count)
        return (
            sum([_tactus.trial(_RELEASED, task) for task in tasks]),
            sum([_tactus.trial(_MISSED, task) for task in tasks]),
        )


def step(board):
    """One check: gives the package up, keeps it, or lets the trial go on. A piece of background work."""
    started_us = _tactus.time_us()
    trial = board.trial
    if not board.running:
        return
    # Ratios are judged at the end; a start that was too late, and a link that was left alone, at once.
    code = trial.fault()
    over = trial.is_over()
    if code and (over or code in (errors.TRIAL_START, errors.TRIAL_LINK)):
        give_up(board, code)
    elif over:
        confirm(board)
    _tactus.sched_background(started_us, 0)


def confirm(board):
    """Keep the package that runs; the code of the journal. The one place where the floors rise."""
    package = board.package
    board.trial = None
    code = _tactus.slot_mark(
        board.slot, state.CONFIRMED, 0, package.manifest["counter"], package.key_version
    )
    if code < 0:  # stays on trial in the journal: the next reset ends it
        log("tactus: slot %d not confirmed: %s" % (board.slot, errors.sentence(code)))
    return code


def give_up(board, code):
    """Stop the package on trial, remember why, and go back to the confirmed one; without one the board idles."""
    slot = board.slot
    board.trial = None
    log(
        "tactus: slot %d reverted: %d %s: %s"
        % (slot, code, errors.name(code), errors.sentence(code))
    )
    application.unload(board)  # its slot may be overwritten from the mark on
    board.reason = code
    _tactus.slot_mark(slot, state.BAD, code, 0)  # not taken by the flash: TRIED is read as BAD, too
    if any(other.state == state.CONFIRMED for other in state.slots()):
        board.reset_requested = True


def last_reason():
    """Why the last package that was given up was: the newest bad slot's code, 0 when there is none."""
    newest, code = -1, 0
    for slot in state.slots():
        if slot.state == state.BAD and slot.sequence > newest:
            newest, code = slot.sequence, slot.reason
    return code
