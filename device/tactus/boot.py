"""Boot: choose a slot, mark a trial before it can fail, verify, self-test, start; tactus.trial goes on from there.

Whatever goes wrong with one package, the board ends up running the last confirmed one, or idle with its link served.
A confirmed package whose recording is missing keeps its slot: the board idles until the recording is there again.
One that crashes again and again is given up for the one before, or is not started: tactus.crashes.
"""

import _tactus

from protocol import errors
from protocol.pieces import finish
from tactus import application, crashes, state, trial, watchdog
from tactus import package as packages
from tactus.platform import log
from tactus.refusal import RecordingRefused, Refused, require


def boot(board):
    """Load and start what the journal says; board.package stays None when nothing can run."""
    for _ in range(state.SLOTS + 2):  # each refusal turns a slot BAD, so this ends sooner
        slot = _tactus.slot_select()
        if slot < 0:
            log("tactus: no package to run, waiting for one")
            return
        if state.Slot(slot).state == state.CONFIRMED and crashes.go_back(board, slot):
            continue
        try:
            _start(board, slot)
            return
        except Refused as refusal:
            application.unload(board)
            board.reason = refusal.code
            if isinstance(refusal, RecordingRefused):
                if state.Slot(slot).state == state.CONFIRMED:
                    log("tactus: slot %d cannot run now: %s" % (slot, refusal.line()))
                    return
            log("tactus: slot %d refused: %s" % (slot, refusal.line()))
            if _tactus.slot_mark(slot, state.BAD, refusal.code, 0) < 0:
                return  # the flash does not take it: the same slot would come again


def _start(board, slot):
    chosen = state.Slot(slot)
    if chosen.state == state.PENDING:
        code = _tactus.slot_mark(slot, state.TRIED, 0, 0)
        require(code >= 0, -code, "trial not recorded")
    watchdog.feed()
    package = finish(packages.verify(_tactus.slot_data(slot), board.facts, _tactus.counter()))
    if chosen.state == state.CONFIRMED and crashes.is_stopped(board, slot):
        application.load(board, package, slot)
        application.prepare(board)
        return
    _, failed = application.selftest(package)
    require(failed == 0, errors.PKG_SELFTEST, "%d vectors" % failed)
    application.load(board, package, slot)
    application.start(board, 1)
    manifest = package.manifest
    on_trial = ""
    if chosen.state == state.PENDING:
        board.trial = trial.Trial(manifest, chosen.is_proven)
        on_trial = ", on trial"
    log(
        "tactus: %s %s runs from slot %d%s" % (manifest["app"], manifest["version"], slot, on_trial)
    )
