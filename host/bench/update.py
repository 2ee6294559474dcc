"""`bench update`: what an update survives and what it costs. Kills and costs on the emulated M4, refusals and bad lines on `host`."""

import contextlib
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from host.bench.bad_line import BadTransport, Behind
from host.bench.delta import DeltaFigures, measure_delta
from host.bench.fuzz import Fuzzed, fuzz
from host.bench.power_cuts import SEEDS, CutFigures, measure_power_cuts
from host.bench.refusals import count_refusals
from host.bench.update_kills import KillFigures, kill_during_updates
from host.bench.verification import Verification, code_bytes, measure_verification
from host.boards import Board, load_board
from host.errors import MissingError
from host.flash.device_room import DeviceStatus, device_room
from host.flash.emulator import start_emulator
from host.flash.firmware import build_firmware
from host.flash.flasher import flash_board, stop_board
from host.install import Update, update_board
from host.link.client import SmpClient
from host.link.errors import LinkError
from host.link.os_group import OsGroup
from host.link.session import Session, connect
from host.package import keys
from host.package.read import parse_package
from host.package.write import resign_package
from host.progress import Progress, silent

_BUSY_S = 10.0  # a busy computer is no lossy line: until then nothing is sent again
SEED = 1
_KILLED_BYTES = 40_000  # beside the application, so that many kills fall into the upload
_KILLED_WINDOW_MS = 500  # a trial in which a kill seldom finds a board that has long decided
_EMULATED, _PROCESS = "qemu-m4", "host"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Effort:
    """How much of each is done. `variants_step`: of the packages to refuse, each so manieth is sent."""

    kills: int = 200
    cut_seeds: int = SEEDS
    fuzz_s: float = 10.0
    updates_per_rate: int = 3
    variants_step: int = 1
    rates: tuple[float, ...] = (0.001, 0.01, 0.05)
    package_bytes: int = 100_000


FULL = Effort()


@dataclass(frozen=True, slots=True)
class BadLineFigures:
    """Updates of one small package over a console whose bytes are hit at `rate`; bytes of both directions over its size."""

    rate: float
    updates: int
    completed: int
    bytes_ratio: float

    def as_json(self) -> dict[str, Any]:
        """A row of `bad_line`."""
        return {
            "rate": self.rate,
            "updates": self.updates,
            "completed": self.completed,
            "bytes_ratio": round(self.bytes_ratio, 3),
        }


@dataclass(frozen=True, slots=True)
class Measured:
    """An update of a whole package. `board_s`: what passed on the board's own clock, trial and restart with it."""

    done: Update
    board_s: float

    @property
    def wire_ratio(self) -> float:
        """Bytes on the wire, both directions, all of the session, over bytes of the package."""
        return self.done.wire_bytes / self.done.package_bytes


@dataclass(frozen=True, slots=True)
class UpdateFigures:
    """Everything `bench update` measures. `framings`: a whole update over each; `accepted` names refusals that failed."""

    cuts: CutFigures
    kills: KillFigures
    fuzzed: dict[str, Fuzzed]
    refusals: int
    accepted: tuple[str, ...]
    framings: dict[str, Measured]
    deltas: DeltaFigures
    bad_line: tuple[BadLineFigures, ...]
    code_bytes: int
    verification: Verification

    @property
    def failed(self) -> tuple[str, ...]:
        """What was lost or let through, each in words."""
        cuts = (f"{self.cuts.failures} power cuts: {self.cuts.said}",) if self.cuts.failures else ()
        findings = tuple(
            f"{name}: {found.what}" for name, run in self.fuzzed.items() for found in run.findings
        )
        lines = tuple(
            f"{row.updates - row.completed} updates at a rate of {row.rate:g}"
            for row in self.bad_line
            if row.completed < row.updates
        )
        accepted = tuple(f"accepted: {what}" for what in self.accepted)
        return cuts + tuple(self.kills.failures) + findings + accepted + lines

    def as_json(self) -> dict[str, Any]:
        """The object that `bench update --json` prints."""
        cobs, console = self.framings["cobs"], self.framings["console"]
        return {
            "cut_points": self.cuts.as_json()["cut_points"],
            "cut_failures": self.cuts.failures,
            "kills": self.kills.kills,
            "kill_failures": len(self.kills.failures),
            "fuzz": {
                name: {"executions": run.executions, "findings": len(run.findings)}
                for name, run in self.fuzzed.items()
            },
            "refusals": self.refusals,
            "update": {
                "seconds": round(cobs.board_s, 2),
                "wire_ratio_cobs": round(cobs.wire_ratio, 4),
                "wire_ratio_console": round(console.wire_ratio, 4),
            },
            "delta_metadata_ratio": round(self.deltas.metadata_ratio, 5),
            "bad_line": [row.as_json() for row in self.bad_line],
            "code_bytes": self.code_bytes,
            "verify_instructions": self.verification.verify_instructions,
        }


def measure_update(
    effort: Effort = FULL,
    progress: Progress = silent,
    say: Callable[[str], None] = lambda text: None,
) -> UpdateFigures:
    """Run all of it; a quarter of an hour. Raises TactusError when a part does not get through.

    `say` is told what each part took when it is done.
    """
    run = _Parts(progress, say).run
    emulated = run("demo application", _App.built, _EMULATED, progress)
    process = run("demo application", _App.built, _PROCESS, progress)
    size = effort.package_bytes
    framings = {
        framing: run(f"update over {framing}", measure_framing, emulated, framing, size, progress)
        for framing in ("cobs", "console")
    }
    code = code_bytes(emulated.board)  # of the firmware that the updates have just run on
    verification = run("verification", measure_verification, emulated.board)
    cuts = run("power cuts", measure_power_cuts, 1, effort.cut_seeds)
    refusals, accepted = run(
        "packages to refuse", measure_refusals, process, effort.variants_step, progress
    )
    updates = effort.updates_per_rate
    rows = tuple(
        run(f"{rate:.1%} of a line's bytes hit", measure_bad_line, process, rate, progress, updates)
        for rate in effort.rates
    )
    fuzzed = run("fuzzing", fuzz, effort.fuzz_s, (), progress)
    deltas = run("deltas", measure_delta, _EMULATED, progress)
    killed = run("kills", measure_kills, emulated, effort.kills, progress)
    return UpdateFigures(
        *(cuts, killed, fuzzed, refusals, tuple(accepted), framings, deltas, rows),
        *(code, verification),
    )


class _Parts:
    def __init__(self, progress: Progress, say: Callable[[str], None]) -> None:
        self._progress, self._say = progress, say

    def run(self, name: str, part: Callable[..., _T], *given: object) -> _T:
        self._progress(name, None)
        began = time.monotonic()
        found = part(*given)
        self._say(f"{name}: {time.monotonic() - began:.0f} s")
        return found


@dataclass(frozen=True, slots=True)
class _App:
    """The demo application for a board, and the board's firmware."""

    board: Board
    package: bytes
    replay: bytes

    @classmethod
    def built(cls, board_name: str, progress: Progress) -> "_App":
        from host.build import build_app

        built = build_app("demo", board_name, progress)
        return cls(load_board(board_name), built.package, built.replay)

    def version(self, version: str, filler: bytes = b"", **trial: int) -> bytes:
        """The same application under another version; `trial` goes over its thresholds."""
        limits = parse_package(self.package).manifest["trial"]
        changes = {"version": version, "trial": {**limits, **trial}}
        return resign_package(self.package, changes, keys.demo_signer(), filler)

    @contextlib.contextmanager
    def running(self, progress: Progress) -> Iterator[tuple[DeviceStatus, Path]]:
        """A board of its own that runs the application, confirmed."""
        with tempfile.TemporaryDirectory(prefix="tactus-bench-") as scratch:
            folder = Path(scratch) / self.board.name
            status = flash_board(
                *(self.board, self.replay, *keys.trusted()),
                folder=folder,
                with_parent=True,
                progress=progress,
            )
            try:
                update_board(lambda: connect(None, str(status.port)), self.package)
                yield status, folder
            finally:
                stop_board(self.board, folder)


def measure_framing(
    app: _App, framing: str, package_bytes: int = FULL.package_bytes, progress: Progress = silent
) -> Measured:
    """Update a board that runs to a package of so many bytes, over its console or its COBS port."""
    noise = random.Random(SEED)
    room = package_bytes - len(app.version("0", b"x"))
    package = app.version("0", noise.randbytes(room))
    with app.running(progress) as (status, folder):
        ports = [str(status.port), f"cobs:{device_room(app.board, folder).second_port}"]
        if framing == "cobs":
            ports.reverse()
        port, beside = ports
        uptimes_ms = [_uptime_ms(beside)]

        def open_session() -> Session:
            session = connect(None, port, timeout_s=_BUSY_S)
            session.os = _Reset(session.client, lambda: uptimes_ms.append(_uptime_ms(beside)))
            return session

        done = update_board(open_session, package, progress, _send_all)
        uptimes_ms.append(_uptime_ms(beside))
    # A reset begins at 0.
    return Measured(done, (sum(uptimes_ms[1:]) - uptimes_ms[0]) / 1000)


def _uptime_ms(port: str) -> int:
    with connect(None, port) as session:
        return session.info.uptime_ms


def _send_all(sha256: bytes) -> None:
    """No package is known that a delta could be made against."""


class _Reset(OsGroup):
    """`before` is called before each reset."""

    def __init__(self, client: SmpClient, before: Callable[[], None]) -> None:
        super().__init__(client)
        self._before = before

    def reset(self) -> None:
        self._before()
        super().reset()


def measure_kills(app: _App, kills: int, progress: Progress = silent) -> KillFigures:
    """Kill the emulator so often during updates of the application."""
    board = app.board
    firmware = build_firmware(board, *keys.trusted(), progress)

    def start(folder: Path) -> DeviceStatus:
        room = device_room(board, folder)
        if not room.flash_file.exists():
            room.prepare_flash(board.flash.bytes, int(board.emulator["flash_file_bytes"]))
            room.write_flash(board.flash.replay_offset, app.replay)
        return start_emulator(board, firmware, folder, with_parent=True)

    filler = random.Random(SEED).randbytes(_KILLED_BYTES)
    packages = [
        app.version(version, filler, window_ms=_KILLED_WINDOW_MS) for version in ("a", "b", "c")
    ]
    with tempfile.TemporaryDirectory(prefix="tactus-bench-") as scratch:
        return kill_during_updates(
            *(board, start, packages, kills, SEED, Path(scratch)),
            on_kill=lambda done: progress("boards killed during updates", done / kills),
        )


def measure_refusals(
    app: _App, step: int = 1, progress: Progress = silent
) -> tuple[int, list[str]]:
    """How many packages that it must refuse a board refused, and which it did not; each `step`-th is sent."""
    with app.running(progress) as (status, _), connect(None, str(status.port)) as session:
        session.os.set_datetime(datetime.now(UTC))  # without it nothing expires
        return count_refusals(session, app.package, step, progress)


def measure_bad_line(
    app: _App, rate: float, progress: Progress = silent, updates: int = FULL.updates_per_rate
) -> BadLineFigures:
    """Update a process over a console whose bytes are hit at `rate`, each by itself, in both directions."""
    completed, passed, needed = 0, 0, 0
    small = smallest(app.package)
    with app.running(progress) as (status, _):
        for number in range(updates):
            progress(f"updates at a rate of {rate:g}", number / updates)
            package = resign_package(small, {"version": str(number)}, keys.demo_signer())
            with contextlib.closing(Behind(str(status.port))) as board:
                line = BadTransport(board, False, rate, SEED + 2 * number, rest=time.sleep)
                with contextlib.suppress(LinkError, MissingError):
                    done = update_board(line.session, package, find_base=_send_all)
                    completed += done.outcome == "installed"
            passed += line.there.passed + line.back.passed
            needed += len(package)
    return BadLineFigures(rate, updates, completed, passed / needed)


def smallest(package: bytes) -> bytes:
    """The package with the one task whose model is smallest, without self-test vectors and confirmed after its first job."""
    info = parse_package(package)
    tasks: Sequence[dict[str, Any]] = info.manifest["tasks"]
    task = min(tasks, key=lambda task: len(info.payloads[task["plan"]].data))
    kept = {**task, "selftest": [], "plan": 0}
    kept.pop("lite", None)
    trial = {**info.manifest["trial"], "window_ms": 0, "jobs": 1, "start_us": []}
    changes = {"tasks": [kept], "trial": trial}
    return resign_package(package, changes, keys.demo_signer(), keep=(task["plan"],))
