"""Making a board run a package and keep it, from wherever it stands: upload, trial, restart, verdict.

The board's journal is the only memory of an update. Each step looks at the slot of the package and does what comes next,
so an update that was interrupted anywhere (Ctrl-C, a pulled cable, a killed host, a reset) goes on when it is run again.
"""

import contextlib
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from host.errors import DoesNotFitError, TactusError, VerificationError
from host.link.errors import (
    DeviceError,
    GarbledError,
    NoAnswerError,
    PortLostError,
    SpoiltError,
)
from host.link.patch import message_room, send_delta
from host.link.session import Session, connect
from host.link.tactus_group import BoardInfo, SlotInfo
from host.package import delta, sent
from host.package.read import PackageError, PackageInfo
from host.progress import Progress, silent
from protocol import errors, smp

FindBase = Callable[[bytes], bytes | None]
"""SHA-256 of a package -> the package, None where it is not known."""

RESTART_TIMEOUT_S = 30.0
INTERRUPTIONS_MAX = 5  # of cable or board in a row, without a byte taken in between
_SPOILT_MAX = 2  # uploads whose digest is wrong: a CRC-16 lets one damaged chunk of 65,536 pass
_STEPS_MAX = 60  # of a line that loses what it is told
_POLL_S = 0.2
_HELD = ("staged", "pending", "tried", "confirmed")
_POLL_MAX_S = 5.0
_STANDSTILL_S = 60.0  # of a trial: neither its window nor its jobs go on


@dataclass(frozen=True, slots=True)
class Update:
    """What an update found and did. Bytes on the wire count both directions, all of this program's session.

    `outcome`: "installed", or "unchanged" when the board ran the package already. `before` and `now`: application and
    version, None without one. `sent_bytes`: of the package, taken by the board in this run; it had `resumed_at` before.
    `delta_bytes`: what was sent for them when that was a delta.
    """

    outcome: str
    before: str | None
    now: str
    seconds: float
    package_bytes: int
    sent_bytes: int
    resumed_at: int
    wire_bytes: int
    delta_bytes: int | None = None


def install_package(
    board: str | None, port: str | None, package: bytes, progress: Progress = silent
) -> str:
    """Make the board run `package` and keep it; returns "installed" or "unchanged". As `update_board()`."""
    return update_board(lambda: connect(board, port), package, progress).outcome


def update_board(
    open_session: Callable[[], Session],
    package: bytes,
    progress: Progress = silent,
    find_base: FindBase = sent.find,
) -> Update:
    """Bring the board from wherever it stands to running `package`, confirmed.

    find_base: gives the package that the board runs, so that only what changes is sent; by default one of those that
    were sent from here.

    The board verifies before it stages and runs its self-test on trial. A connection that breaks is opened again. Raises
    LinkError when the board refuses or stays away, VerificationError when the trial failed; the package that ran before
    then still runs.
    """
    sent.remember(package)
    return _Updating(open_session, package, progress, find_base).run()


def check_package(session: Session, package: PackageInfo) -> None:
    """Raise what the board would say after the upload: wrong target, older counter, too large. Sends nothing."""
    info, target = session.info, package.manifest["target"]
    if target["class"] != info.device_class:
        raise PackageError(
            errors.PKG_TARGET, f"made for {target['class']}, {info.board} is {info.device_class}"
        )
    counter = session.tactus.slots().counter
    if package.manifest["counter"] < counter:
        raise PackageError(
            errors.PKG_COUNTER,
            f"security counter {package.manifest['counter']}, the board is at {counter}",
        )
    room = session.image.slot_bytes()
    if package.total_bytes > room:
        raise DoesNotFitError(
            f"the package of {package.total_bytes:,} bytes does not fit the slots of {room:,} bytes",
            "leave out tasks, or choose smaller models",
        )


def send_package(
    session: Session,
    package: bytes,
    running_sha: bytes | None,
    progress: Progress = silent,
    find_base: FindBase = sent.find,
) -> int | None:
    """Get the bytes of `package` into a slot of the board, staged. The one place that chooses the way.

    running_sha: of the package that the board runs. Returns the bytes of the delta when what changes against that was
    less than all of it.
    """
    base = None if running_sha is None else find_base(running_sha)
    changed = None
    if base is not None:
        changed = delta.plan(base, package, message_room(session.os.params().buf_size))
    if changed is not None:
        try:
            return send_delta(session.client, changed, progress).ops_bytes
        except DeviceError as refusal:
            # What runs may have been given up in between.
            if (refusal.group, refusal.code) != (smp.GROUP_TACTUS, errors.PKG_BASE):
                raise
    session.image.upload(package, progress)
    return None


def await_verdict(session: Session, index: int) -> SlotInfo:
    """Wait until the board has kept or given up the slot on trial; returns it as it is then.

    A board that gives it up restarts: the connection breaks then. Raises VerificationError when the trial stands still.
    """
    clock, rest = session.client.clock, session.client.rest
    before, since = None, clock()
    while (trial := session.tactus.trial()).state != "none":
        stands = (trial.remaining_ms, trial.jobs)
        if stands != before:
            before, since = stands, clock()
        elif clock() - since > _STANDSTILL_S:
            raise VerificationError(
                f"the trial of the package in slot {index} has not gone on for {_STANDSTILL_S:g} s",
                "look at `status`: are its tasks stopped?",
            )
        # It is kept no earlier than that; what is given up earlier may be noticed later.
        rest(min(trial.remaining_ms / 1000 + _POLL_S, _POLL_MAX_S))
    return session.tactus.slot(index)


def reconnect(open_session: Callable[[], Session]) -> Session:
    """Wait for a board that restarts. Raises the last LinkError or MissingError after a while."""
    give_up = time.monotonic() + RESTART_TIMEOUT_S
    while True:
        try:
            return open_session()
        except TactusError:
            if time.monotonic() > give_up:
                raise
        time.sleep(_POLL_S)


def _raise_if_stopped(info: BoardInfo) -> None:
    """Raise VerificationError when the board has given up starting what it has confirmed."""
    if info.reason == errors.BOOT_STOPPED and not info.running:
        raise VerificationError(
            f"{_name(info)} is on the board and stopped after {info.crashes} crashes in a row",
            errors.remedy(errors.BOOT_STOPPED),
        )


class _Updating:
    def __init__(
        self,
        open_session: Callable[[], Session],
        package: bytes,
        progress: Progress,
        find_base: FindBase,
    ) -> None:
        self._open = open_session
        self._package = package
        self._sha = hashlib.sha256(package).digest()
        self._progress = progress
        self._find_base = find_base
        self._delta_bytes: int | None = None
        self._before: str | None = None
        self._known = False  # what ran before
        self._worked = False
        self._tried = False
        self._got_on = False  # since the last interruption
        self._received = 0  # bytes that the board held when it was looked at last
        self._running_sha: bytes | None = None
        self._resumed_at: int | None = None  # None while nothing was sent
        self._wire = 0

    def run(self) -> Update:
        session = self._open()
        clock = session.client.clock
        began = clock()
        interruptions = 0
        while True:
            try:
                with session:
                    try:
                        info = self._bring(session)
                        break
                    finally:
                        counters = session.client.counters
                        self._wire += counters.sent_bytes + counters.received_bytes
            except (NoAnswerError, PortLostError):
                interruptions = 1 if self._got_on else interruptions + 1
                if interruptions > INTERRUPTIONS_MAX:
                    raise
                self._got_on = False
                self._progress("waiting for the board", None)
            except _Restarting:
                self._progress("restarting on trial", None)
            session = reconnect(self._open)
        return Update(
            outcome="installed" if self._worked else "unchanged",
            before=self._before,
            now=_name(info) or "nothing",
            seconds=clock() - began,
            package_bytes=len(self._package),
            sent_bytes=0 if self._resumed_at is None else len(self._package) - self._resumed_at,
            resumed_at=self._resumed_at or 0,
            wire_bytes=self._wire,
            delta_bytes=self._delta_bytes,
        )

    def _bring(self, session: Session) -> BoardInfo:
        """Do what comes next until the package runs and is confirmed. Raises _Restarting after a reset."""
        if not self._known:
            self._before, self._known = _name(session.info), True
        for _ in range(_STEPS_MAX):
            found = self._find(session)
            if found is None:
                self._send(session)
                continue
            index, slot = found
            running = session.info.slot == index  # a reset begins another session
            if slot.state_name == "confirmed" and running:
                _raise_if_stopped(session.info)
                return session.info
            self._worked = True
            if slot.state_name == "tried" and running:
                self._progress("on trial", None)
                self._tried = True
                if await_verdict(session, index).state_name == "confirmed":
                    return session.info
            elif slot.state_name == "pending":
                self._tried = True
                session.os.reset()
                raise _Restarting
            elif (
                slot.state_name == "tried"
            ):  # a self-test under way, or one that a reset is about to end
                session.client.rest(_POLL_S)
            else:
                with contextlib.suppress(GarbledError):  # the next look tells whether it was heard
                    session.image.test(self._sha)
        raise NoAnswerError(
            f"{session.port}: the board does not do what it is told",
            "look at `status`, and run it again: it goes on where it stopped",
        )

    def _find(self, session: Session) -> tuple[int, SlotInfo] | None:
        """The slot that holds the whole package. Raises VerificationError when its trial has failed."""
        slots = session.tactus.slots().slots
        ours = [(i, slot) for i, slot in enumerate(slots) if slot.sha256 == self._sha]
        begun = (slot.received for _, slot in ours if slot.state_name == "receiving")
        self._received = max(begun, default=0)
        self._running_sha = None if session.info.slot is None else slots[session.info.slot].sha256
        for index, slot in ours:
            if slot.state_name in _HELD:
                return index, slot
        if self._tried:
            reasons = {errors.sentence(slot.reason) for _, slot in ours if slot.state_name == "bad"}
            raise VerificationError(
                f"the board did not keep the package: {'; '.join(sorted(reasons)) or 'no slot holds it'}",
                "the package that ran before runs again; `status` shows the slots",
            )
        return None

    def _send(self, session: Session) -> None:
        self._worked = True
        session.os.set_datetime(datetime.now(UTC))
        if self._resumed_at is None:
            self._resumed_at = self._received
        for _ in range(_SPOILT_MAX):
            with contextlib.suppress(SpoiltError):
                self._send_once(session)
                return
        self._send_once(session)

    def _send_once(self, session: Session) -> None:
        self._delta_bytes = send_package(
            session, self._package, self._running_sha, self._report, self._find_base
        )

    def _report(self, phase: str, fraction: float | None = None) -> None:
        self._got_on = True
        self._progress(phase, fraction)


class _Restarting(Exception):
    """The board resets; another session has to find out what came of it."""


def _name(info: BoardInfo) -> str | None:
    return f"{info.app} {info.version}" if info.app else None
