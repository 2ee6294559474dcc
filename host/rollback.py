"""Go back to the package that was confirmed before. The board judges it first, and again when it starts."""

import time
from dataclasses import dataclass

from host.errors import TactusError, VerificationError
from host.install import reconnect
from host.link.session import Session, connect
from host.link.tactus_group import SlotInfo
from protocol import errors

_PENDING, _TRIED, _CONFIRMED = "pending", "tried", "confirmed"
_SETTLE_TIMEOUT_S = 60.0
_SETTLE_STEP_S = 0.1


@dataclass(frozen=True, slots=True)
class RolledBack:
    """What runs now, and `left`: the version that ran before; `started_ms` after the reset, board's clock."""

    board: str
    app: str
    version: str
    slot: int
    left: str
    started_ms: int


class NothingToGoBackError(TactusError):
    """There is no other package that was ever confirmed on this board."""


def roll_back(board: str | None, port: str | None) -> RolledBack:
    """Make the board run its previous confirmed package.

    A package on trial is given up for the confirmed one. Raises NothingToGoBackError, LinkError when the board refuses
    (its security counter, its key set), VerificationError when the package did not come up: then the board runs
    what it ran before.
    """
    with connect(board, port) as session:
        slots = session.tactus.slots().slots
        target = _previous(session, slots)
        if not slots[target].is_proven and slots[session.info.slot or 0].state_name != _TRIED:
            session.image.test(slots[target].sha256)
        left = session.info.version or ""
        session.os.reset()
    give_up = time.monotonic() + _SETTLE_TIMEOUT_S
    while True:
        with reconnect(lambda: connect(board, port)) as session:
            done = _settled(session, target, left)
        if done is not None:
            return done
        if time.monotonic() > give_up:
            raise VerificationError(
                f"the package in slot {target} has been on trial for {_SETTLE_TIMEOUT_S:g} s",
                "look at `status`: are its tasks stopped?",
            )
        time.sleep(_SETTLE_STEP_S)


def _previous(session: Session, slots: tuple[SlotInfo, ...]) -> int:
    """The slot to go back to."""
    running = session.info.slot
    for index, slot in enumerate(slots):
        if index != running and (slot.state_name == _CONFIRMED or slot.is_proven):
            return index
    runs = f"{session.info.app} {session.info.version}" if session.info.app else "nothing"
    raise NothingToGoBackError(
        f"there is nothing to go back to: {session.port} runs {runs}, and its other slot holds no "
        "package that was confirmed",
        "install the version you want with `flash --package FILE`",
    )


def _settled(session: Session, target: int, left: str) -> RolledBack | None:
    """What runs when the board has decided; None while it has not."""
    info, slots = session.tactus.info(), session.tactus.slots().slots
    slot = slots[target]
    running = slots[info.slot].state_name if info.slot is not None else ""
    if info.slot == target and slot.state_name == _CONFIRMED:
        stats = session.tactus.stats()
        ran_ms = stats.loop.elapsed_us // 1000 if stats.loop else 0
        return RolledBack(
            board=info.board,
            app=info.app or "",
            version=info.version or "",
            slot=target,
            left=left,
            started_ms=max(0, stats.uptime_ms - ran_ms),
        )
    if slot.state_name == _PENDING or running == _TRIED:
        return None  # not reset yet, or on trial
    runs = f"{info.app} {info.version} runs" if info.running else "nothing runs"
    if slot.state_name == _CONFIRMED:
        raise VerificationError(
            f"the package in slot {target} did not come up: a reset came first; {runs}",
            "run `rollback` again: both packages are still there",
        )
    why = errors.sentence(slot.reason) if slot.reason else f"its slot is {slot.state_name}"
    remedy = errors.remedy(slot.reason) if slot.reason else "look at `status`"
    raise VerificationError(f"the package in slot {target} did not come up: {why}; {runs}", remedy)
