"""Boards: the facts of boards/<name>/board.toml as values."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from host.errors import UsageError

ROOT = Path(__file__).resolve().parent.parent
BOARDS = ROOT / "boards"
BUILD = ROOT / "build"


@dataclass(frozen=True, slots=True)
class Flash:
    """Flash map of the packages, bytes and offsets from the start of the region."""

    bytes: int
    sector_bytes: int
    write_bytes: int
    journal_offset: int
    slot_offsets: tuple[int, int]
    slot_bytes: int
    replay_offset: int
    replay_bytes: int


@dataclass(frozen=True, slots=True)
class Time:
    """What the board itself costs in the admission test, microseconds."""

    dispatch_us: int
    lockout_us: int
    background_us: int
    background_period_us: int
    scales_with_speed: bool
    gc_us: int = 0  # longest garbage collection, 0 where none comes
    gc_period_us: int = 0


@dataclass(frozen=True, slots=True)
class Wcet:
    """Cost model of the kernels: base_us, and ns for each unit, output and run, plus a margin.

    Tables by kind; what units, outputs and runs are, host.compile.graph.Op tells. ns_per_instruction: for kernels whose instructions the compiler knows; 0 where none run.
    """

    base_us: int
    margin_percent: int
    ns_per_unit: dict[str, int]
    ns_per_instruction: int = 0
    ns_per_output: dict[str, int] = field(default_factory=dict)
    ns_per_run: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Board:
    """One board. RAM in bytes; a total of 0 means no fixed budget."""

    name: str
    title: str
    device_class: str
    core: str
    clock_hz: int
    features: tuple[str, ...]
    gcc_flags: tuple[str, ...]
    ram_bytes: int
    arena_bytes: int
    stack_bytes: int
    heap_bytes: int
    link_bytes: int
    link_buffers: int
    links: int
    flash: Flash
    time: Time
    wcet: Wcet
    firmware: dict[str, Any]
    emulator: dict[str, Any]

    @property
    def folder(self) -> Path:
        """The board's room in the source tree."""
        return BOARDS / self.name

    @property
    def firmware_dir(self) -> Path:
        """Where its firmware is built."""
        return BUILD / "firmware" / self.name


def board_names() -> list[str]:
    """Names of all boards, sorted, `host` first."""
    names = sorted(path.parent.name for path in BOARDS.glob("*/board.toml"))
    return sorted(names, key=lambda name: (name != "host", name))


def load_board(name: str) -> Board:
    """Read boards/<name>/board.toml. Raises UsageError for an unknown name."""
    path = BOARDS / name / "board.toml"
    if not path.is_file():
        raise UsageError(
            f"no board is called {name!r}", f"choose one of: {', '.join(board_names())}"
        )
    facts = tomllib.loads(path.read_text())
    cpu, ram, flash = facts["cpu"], facts["ram"], facts["flash"]
    return Board(
        name=facts["name"],
        title=facts["title"],
        device_class=facts["class"],
        core=cpu["core"],
        clock_hz=cpu["clock_hz"],
        features=tuple(cpu["features"]),
        gcc_flags=tuple(cpu["gcc_flags"]),
        ram_bytes=ram["total_bytes"],
        arena_bytes=ram["arena_bytes"],
        stack_bytes=ram["stack_bytes"],
        heap_bytes=ram["heap_bytes"],
        link_bytes=ram["link_bytes"],
        link_buffers=ram["link_buffers"],
        links=ram.get("links", 1),
        flash=Flash(**{**flash, "slot_offsets": tuple(flash["slot_offsets"])}),
        time=Time(**facts["time"]),
        wcet=Wcet(**facts["wcet"]),
        firmware=facts["firmware"],
        emulator=facts["emulator"],
    )
