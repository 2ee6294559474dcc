"""Install a package: upload, trial, restart, confirm. Nothing is sent when the board runs it already."""

import hashlib
import time
from datetime import UTC, datetime

from host.errors import VerificationError
from host.link.errors import LinkError
from host.link.session import Session, connect
from host.progress import Progress, silent
from protocol import errors

RESTART_TIMEOUT_S = 30.0


def install_package(
    board: str | None, port: str | None, package: bytes, progress: Progress = silent
) -> str:
    """Make the board run `package` and keep it; returns "installed" or "unchanged".

    The board verifies before it stages, runs its self-test on trial, and is told to keep the
    package only when it came back running it. Raises LinkError when the board refuses,
    VerificationError when the trial failed; the package that ran before then still runs.
    """
    sha = hashlib.sha256(package).digest()
    with connect(board, port) as session:
        if _runs(session, sha):
            session.image.confirm()
            return "unchanged"
        session.os.set_datetime(datetime.now(UTC))
        session.image.upload(package, progress)
        session.image.test(sha)
        session.os.reset()
    progress("restarting on trial", None)
    with reconnect(board, port) as session:
        if not _runs(session, sha):
            raise VerificationError(
                f"the board did not keep the package: {_why(session, sha)}",
                "the package that ran before runs again; `status` shows the slots",
            )
        session.image.confirm()
    return "installed"


def reconnect(board: str | None, port: str | None) -> Session:
    """Wait for a board that restarts. Raises the last LinkError or MissingError after a while."""
    from host.errors import TactusError

    give_up = time.monotonic() + RESTART_TIMEOUT_S
    while True:
        time.sleep(0.2)
        try:
            return connect(board, port)
        except TactusError:
            if time.monotonic() > give_up:
                raise


def _runs(session: Session, sha: bytes) -> bool:
    return any(slot.active and slot.hash == sha for slot in session.image.state())


def _why(session: Session, sha: bytes) -> str:
    try:
        ours = [slot for slot in session.tactus.slots().slots if slot.sha256 == sha]
    except LinkError as error:
        return error.cause
    reasons = {errors.sentence(slot.reason) for slot in ours if slot.reason}
    states = {f"its slot is {slot.state_name}" for slot in ours}
    return "; ".join(sorted(reasons or states)) or "no slot holds it"
