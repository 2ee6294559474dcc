"""What a running board knows: one object, passed to everything that serves the link."""

import _tactus

from protocol.manifest import mode_names
from tactus.stream import Lease
from tactus.telemetry import Telemetry
from tactus.utc import Utc

# enum tac_slot_state
EMPTY, RECEIVING, STAGED, PENDING, TRIED, CONFIRMED, BAD = range(7)
SLOTS = 2
_WATCH_REST_US = 250_000  # what is watched is looked at four times a second


_PROVEN = 1  # TAC_SLOT_PROVEN


class Slot:
    """One slot as the journal tells it; lengths are bytes.

    reason     why it is BAD, a positive error code; else 0
    is_proven  it is PENDING or TRIED and was CONFIRMED before
    """

    def __init__(self, index):
        self.index = index
        (
            self.state,
            self.length,
            self.received,
            reason,
            self.sequence,
            self.sha256,
        ) = _tactus.slot_info(index)
        self.reason = reason if self.state == BAD else 0
        self.is_proven = self.state in (PENDING, TRIED) and reason == _PROVEN


def slots():
    """Both slots, fresh from the journal."""
    return [Slot(index) for index in range(SLOTS)]


class Board:
    """The state of a board between two messages.

    package   the verified tactus.package.Package that is loaded, or None
    slot      its slot, -1 without one
    trial     its tactus.trial.Trial while its window lasts, or None
    sources   one source per task, in the order of the manifest
    fills     their functions for the loop, three a task: full, lite, lite again
    answering the message under way, as the pieces that are left of it (tactus.link), or None
    framed    the last piece of background work was a frame: messages come first now
    littered  messages have left enough garbage for a collection in the next idle moment
    download  (name, content) of a file that changes and is being read in several messages, or None
    versions  SHA-256 of a package file -> (version text, security counter, key set version), as far as known
    reason    why the last package this board tried to boot was refused or not started, 0 when none was
    crashes   resets by watchdog or fault in a row up to this boot, 0 again after a stretch of healthy running
    """

    def __init__(self):
        self.facts = _tactus.board()
        self.boot_id = _tactus.boot_id()
        self.scratch = memoryview(bytearray(self.facts["link_bytes"]))
        self.lease = Lease()
        self.telemetry = Telemetry()
        self.utc = Utc()
        self.package = None
        self.slot = -1
        self.trial = None
        self.sources = []
        self.fills = []
        self.reason = 0
        self.crashes = _tactus.crashes()
        self.running = False
        self.speed = 1
        self.starts = 0
        self.upload_slot = -1
        self.messages = 0
        self.frames = 0
        self.snapshots = 0
        self.answering = None
        self.framed = False
        self.littered = False
        self.download = None
        self.versions = {}
        self.reset_requested = False

    def rest_us(self):
        """How long the loop may rest before background() has to be asked. Called under the heap lock."""
        if self.littered:
            return 0
        wait_us = min(self.lease.wait_us(), self.telemetry.wait_us())
        return min(wait_us, _WATCH_REST_US) if self.trial or self.crashes else wait_us

    def modes(self):
        """Names of the modes of the package; index 0 is the task set as it is."""
        return mode_names(self.package.manifest) if self.package else []

    def tasks(self):
        """The manifest's task maps, an empty list without a package."""
        return self.package.manifest["tasks"] if self.package else []
