"""Boards killed with SIGKILL during `update`, started again and updated further: each kill is a power cut at any write.

The flash of an emulated board is a file that it maps shared: what was written when it dies is what the next start finds, in
the middle of a program or an erase, too. Instants are spread evenly over an update's length, in an order drawn from a seed.
"""

import os
import random
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from host.boards import Board
from host.errors import TactusError
from host.flash.device_room import DeviceStatus, device_room
from host.flash.flasher import stop_board
from host.install import Update, reconnect, update_board
from host.link.session import Session, connect

_AT_ONCE = 2
_LAST_GOOD = ("confirmed", "tried")


@dataclass(slots=True)
class KillFigures:
    """What a campaign saw.

    `resumed`: updates that were killed and completed later; `resumed_bytes`: those of them that went on within the
    file. `failures` say what was lost, each with what replays it.
    """

    kills: int = 0
    completed: int = 0
    resumed: int = 0
    resumed_bytes: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, other: "KillFigures") -> None:
        """Take in what another board saw."""
        self.kills += other.kills
        self.completed += other.completed
        self.resumed += other.resumed
        self.resumed_bytes += other.resumed_bytes
        self.failures += other.failures


class _Killed(Exception):
    """The board is dead on purpose: nobody is to wait for it."""


def kill_during_updates(
    board: Board,
    start: Callable[[Path], DeviceStatus],
    packages: Sequence[bytes],
    kills: int,
    seed: int,
    folder: Path,
    on_kill: Callable[[int], None] = lambda done: None,
    at_once: int = _AT_ONCE,
) -> KillFigures:
    """Kill `kills` times, on `at_once` boards side by side in folders below `folder`.

    `start(folder)` starts a board, and at first one with empty slots; `packages` take turns: three, or a board would have
    the next one already. `on_kill(number so far)` is called from the boards' threads.
    """
    shares = [kills // at_once + (index < kills % at_once) for index in range(at_once)]
    count = _Count(on_kill)
    with ThreadPoolExecutor(at_once) as pool:
        runs = [
            pool.submit(
                _Campaign(
                    *(board, start, packages, share, seed + index, folder / f"board{index}", count)
                ).run
            )
            for index, share in enumerate(shares)
        ]
        found = KillFigures()
        for run in runs:
            found.add(run.result())
    return found


class _Count:
    def __init__(self, on_kill: Callable[[int], None]) -> None:
        self._lock = threading.Lock()
        self._on_kill = on_kill
        self._done = 0

    def one(self) -> None:
        with self._lock:
            self._done += 1
            self._on_kill(self._done)


class _Campaign:
    """One board's share."""

    def __init__(
        self,
        board: Board,
        start: Callable[[Path], DeviceStatus],
        packages: Sequence[bytes],
        kills: int,
        seed: int,
        folder: Path,
        count: _Count,
    ) -> None:
        self._board, self._start, self._folder = board, start, folder
        self._packages = packages
        self._kills = kills
        self._seed = seed
        self._count = count
        self._figures = KillFigures()
        self._target = 1
        self._port = ""
        self._dead = threading.Event()

    def run(self) -> KillFigures:
        """Install the first package, measure an update, then kill."""
        self._port = str(self._start(self._folder).port)
        try:
            self._update(0)
            length_s = self._update(1).seconds
            self._next_target()
            dice = random.Random(self._seed)
            shares = [(i + dice.random()) / self._kills for i in range(self._kills)]
            dice.shuffle(shares)
            killed = False
            while self._figures.kills < self._kills:
                number = self._figures.kills
                after_s = shares[number] * length_s
                done = self._cut(after_s)
                if done is None:
                    killed = True
                    self._count.one()
                    self._check(number, after_s)
                    continue
                # Done before the kill: this computer is faster than it was, or little was left to do.
                length_s = (length_s + done.seconds) / 2
                shares[number] *= 0.9
                self._completed(done, killed)
                killed = False
            self._dead.clear()
            self._finish(killed)
        finally:
            stop_board(self._board, self._folder)
        return self._figures

    def _session(self) -> Session:
        if self._dead.is_set():
            raise _Killed
        return connect(None, self._port)

    def _update(self, number: int) -> Update:
        # Whole: what is killed is to be long.
        return update_board(self._session, self._packages[number], find_base=lambda sha256: None)

    def _cut(self, after_s: float) -> Update | None:
        """Update, and kill the board after so long; the update when it was done first."""
        self._dead.clear()
        pid = device_room(self._board, self._folder).pid()
        assert pid is not None

        def kill() -> None:
            self._dead.set()
            os.kill(pid, signal.SIGKILL)

        timer = threading.Timer(after_s, kill)
        timer.start()
        done = None
        try:
            done = self._update(self._target)
        except (_Killed, TactusError):
            if not self._dead.is_set():
                raise
        timer.cancel()
        timer.join()
        if self._dead.is_set():
            self._figures.kills += 1
            return None
        return done

    def _check(self, number: int, after_s: float) -> None:
        """Start again: a package that was good must run, and a confirmed one be there."""
        stop_board(self._board, self._folder)
        self._dead.clear()
        self._port = str(self._start(self._folder).port)
        replay = f"seed {self._seed}, kill {number} after {after_s:.3f} s"
        try:
            with reconnect(self._session) as session:
                slots = session.tactus.slots().slots
                if not session.info.running:
                    self._lost(f"nothing runs ({replay})")
                elif session.info.slot is None or (
                    slots[session.info.slot].state_name not in _LAST_GOOD
                ):
                    self._lost(f"what runs was never confirmed nor on trial ({replay})")
                elif "confirmed" not in [slot.state_name for slot in slots]:
                    self._lost(f"no confirmed package is left ({replay})")
        except TactusError as error:
            self._lost(f"{error.cause} ({replay})")

    def _lost(self, what: str) -> None:
        self._figures.failures.append(what)

    def _completed(self, done: Update, killed: bool) -> None:
        self._figures.completed += 1
        if killed:
            self._figures.resumed += 1
            self._figures.resumed_bytes += done.resumed_at > 0
        self._next_target()

    def _finish(self, killed: bool) -> None:
        """After the last kill, too, the update goes on."""
        try:
            done = self._update(self._target)
            self._completed(done, killed)
        except TactusError as error:
            self._lost(f"after the last kill: {error.cause} (seed {self._seed})")

    def _next_target(self) -> None:
        self._target = (self._target + 1) % len(self._packages)
