"""`bench update`: what an update survives and what it costs. Kills and costs on the emulated M4, refusals and bad lines on `host`."""

import contextlib
import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from host.bench.bad_line import BadTransport, Behind
from host.bench.fuzz import Fuzzed, fuzz
from host.bench.power_cuts import CutFigures, measure_power_cuts
from host.bench.refusals import count_refusals
from host.bench.update_kills import KillFigures, kill_during_updates
from host.boards import Board, load_board
from host.errors import MissingError
from host.flash.device_room import DeviceStatus, device_room
from host.flash.emulator import start_emulator
from host.flash.firmware import build_firmware
from host.flash.flasher import flash_board, stop_board
from host.install import Update, update_board
from host.link.errors import LinkError
from host.link.session import connect
from host.package import keys
from host.package.read import parse_package
from host.package.write import resign_package
from host.progress import Progress, silent

KILLS = 200
PACKAGE_BYTES = 100_000
SEED = 1
RATES = (0.001, 0.01, 0.05)
_UPDATES_PER_RATE = 3
_FUZZ_SECONDS = 10.0
_EMULATED, _PROCESS = "qemu-m4", "host"


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
class UpdateFigures:
    """Everything `bench update` measures. `framings`: an update of PACKAGE_BYTES over each; `accepted` names refusals that failed."""

    cuts: CutFigures
    kills: KillFigures
    fuzzed: dict[str, Fuzzed]
    refusals: int
    accepted: tuple[str, ...]
    framings: dict[str, Update]
    bad_line: tuple[BadLineFigures, ...]

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
                "seconds": round(cobs.seconds, 2),
                "wire_ratio_cobs": round(cobs.wire_bytes / cobs.package_bytes, 4),
                "wire_ratio_console": round(console.wire_bytes / console.package_bytes, 4),
            },
            "bad_line": [row.as_json() for row in self.bad_line],
        }


def sentences(found: UpdateFigures) -> Iterator[str]:
    """The report, a line a subject."""
    kills = found.kills
    yield (
        f"power cuts: {found.cuts.as_json()['cut_points']:,} tried, {found.cuts.failures} lost a package"
    )
    yield (
        f"kills during updates: {kills.kills}, {len(kills.failures)} lost a package; "
        f"{kills.resumed} updates went on after kills and completed, {kills.resumed_bytes} of them "
        "within the file"
    )
    executions = sum(run.executions for run in found.fuzzed.values())
    findings = sum(len(run.findings) for run in found.fuzzed.values())
    yield f"fuzzing: {executions:,} executions of {len(found.fuzzed)} targets, {findings} findings"
    yield f"refused packages: {found.refusals:,}, accepted by mistake {len(found.accepted)}"
    for framing, done in found.framings.items():
        yield (
            f"update of {done.package_bytes:,} B over {framing}: {done.seconds:.2f} s with trial and "
            f"restart, {done.wire_bytes / done.package_bytes:.4f} bytes on the wire a byte"
        )
    for row in found.bad_line:
        yield (
            f"{row.rate:.1%} of the bytes hit: {row.completed} of {row.updates} updates complete, "
            f"{row.bytes_ratio:.2f} bytes a byte"
        )


def measure_update(kills: int = KILLS, progress: Progress = silent) -> UpdateFigures:
    """Run all of it; some minutes. Raises TactusError when a part does not get through."""
    progress("power cuts at every flash operation", None)
    cuts = measure_power_cuts()
    emulated = _App.built(_EMULATED, progress)
    framings = {
        framing: measure_framing(emulated, framing, progress) for framing in ("cobs", "console")
    }
    killed = measure_kills(emulated, kills, progress)
    process = _App.built(_PROCESS, progress)
    refusals, accepted = measure_refusals(process, progress)
    rows = tuple(measure_bad_line(process, rate, progress) for rate in RATES)
    fuzzed = fuzz(_FUZZ_SECONDS, progress=progress)
    return UpdateFigures(cuts, killed, fuzzed, refusals, tuple(accepted), framings, rows)


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

    def version(self, version: str, filler: bytes = b"") -> bytes:
        """The same application under another version."""
        return resign_package(self.package, {"version": version}, keys.demo_signer(), filler)

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


def measure_framing(app: _App, framing: str, progress: Progress = silent) -> Update:
    """Update a board that runs to a package of PACKAGE_BYTES, over its console or its COBS port."""
    noise = random.Random(SEED)
    room = PACKAGE_BYTES - len(app.version("0", b"x"))
    package = app.version("0", noise.randbytes(room))
    with app.running(progress) as (status, folder):
        second = device_room(app.board, folder).second_port
        port = str(status.port) if framing == "console" else f"cobs:{second}"
        return update_board(lambda: connect(None, port), package, progress)


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

    packages = [app.version(version) for version in ("a", "b", "c")]
    with tempfile.TemporaryDirectory(prefix="tactus-bench-") as scratch:
        return kill_during_updates(
            *(board, start, packages, kills, SEED, Path(scratch)),
            on_kill=lambda done: progress("boards killed during updates", done / kills),
        )


def measure_refusals(app: _App, progress: Progress = silent) -> tuple[int, list[str]]:
    """How many packages that it must refuse a board refused, and which it did not."""
    with app.running(progress) as (status, _), connect(None, str(status.port)) as session:
        session.os.set_datetime(datetime.now(UTC))  # without it nothing expires
        return count_refusals(session, app.package, progress)


def measure_bad_line(
    app: _App, rate: float, progress: Progress = silent, updates: int = _UPDATES_PER_RATE
) -> BadLineFigures:
    """Update a process over a console whose bytes are hit at `rate`, each by itself, in both directions."""
    completed, passed, needed = 0, 0, 0
    small = smallest(app.package)
    with app.running(progress) as (status, _):
        for number in range(updates):
            progress(f"updates at a rate of {rate:g}", number / updates)
            package = resign_package(small, {"version": str(number)}, keys.demo_signer())
            with contextlib.closing(Behind(str(status.port))) as board:
                line = BadTransport(board, False, rate, SEED + 2 * number)
                with contextlib.suppress(LinkError, MissingError):
                    completed += update_board(line.session, package).outcome == "installed"
            passed += line.there.passed + line.back.passed
            needed += len(package)
    return BadLineFigures(rate, updates, completed, passed / needed)


def smallest(package: bytes) -> bytes:
    """The package with the one task whose model is smallest, without self-test vectors."""
    info = parse_package(package)
    tasks: Sequence[dict[str, Any]] = info.manifest["tasks"]
    task = min(tasks, key=lambda task: len(info.payloads[task["plan"]].data))
    kept = {**task, "selftest": [], "plan": 0}
    kept.pop("lite", None)
    return resign_package(package, {"tasks": [kept]}, keys.demo_signer(), keep=(task["plan"],))
