"""The C of device/store and device/link as a shared library, over a NOR flash model, for tests."""

import ctypes
import hashlib
import subprocess
from ctypes import POINTER, Structure, byref, c_char_p, c_int, c_size_t, c_uint8, c_uint16, c_uint32
from functools import cache
from pathlib import Path
from typing import Any

from host.boards import BUILD, ROOT
from protocol import errors

DEVICE = ROOT / "device"
STRICT = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-Wconversion")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")
STORE_SOURCES = ("slot.c", "journal.c", "crc32.c", "telemetry.c", "sha256.c", "sha512.c")

EMPTY, RECEIVING, STAGED, PENDING, TRIED, CONFIRMED, BAD = range(7)
PROVEN = 1  # TAC_SLOT_PROVEN
STATES = ("EMPTY", "RECEIVING", "STAGED", "PENDING", "TRIED", "CONFIRMED", "BAD")
CUT_BEFORE, CUT_PREFIX, CUT_BITS, CUT_LATE, CUT_AFTER = range(5)
CUTS = (CUT_BEFORE, CUT_PREFIX, CUT_BITS, CUT_LATE, CUT_AFTER)

OK, ERR_ARGUMENT, ERR_SPACE, ERR_STATE, ERR_FLASH, ERR_CORRUPT, ERR_NOT_FOUND = range(0, -7, -1)
ERR_PKG_SIGNATURE, ERR_PKG_DIGEST, ERR_PKG_COUNTER, ERR_PKG_TRIAL = -33, -35, -38, -42
ERR_PKG_KEYSET_OLD = -44


class Flash(Structure):
    """tac_flash_t; made by the model, opaque here."""


class SlotInfo(Structure):
    """tac_slot_info_t."""

    _fields_ = [
        ("state", c_uint8),
        ("reason", c_uint8),
        ("length", c_uint32),
        ("received", c_uint32),
        ("sequence", c_uint32),
        ("sha256", c_uint8 * 32),
    ]


class Layout(Structure):
    """tac_store_layout_t."""

    _fields_ = [
        ("journal_offset", c_uint32),
        ("slot_offset", c_uint32 * 2),
        ("slot_bytes", c_uint32),
    ]


class Floors(Structure):
    """tac_floors_t."""

    _fields_ = [("counter", c_uint32), ("key_version", c_uint32)]


class Field(Structure):
    """tac_fe_t."""

    _fields_ = [("word", c_uint32 * 8)]


class Sha256(Structure):
    """tac_sha256_t."""

    _fields_ = [("state", c_uint32 * 8), ("bytes", ctypes.c_uint64), ("block", c_uint8 * 64)]


class Store(Structure):
    """tac_store_t."""

    _fields_ = [
        ("flash", ctypes.c_void_p),
        ("layout", Layout),
        ("slots", SlotInfo * 2),
        ("floors", Floors),
        ("sequence", c_uint32),
        ("journal_sector", c_uint32),
        ("journal_fill", c_uint32),
        ("finished", c_uint8 * 2),
        ("tail_slot", c_uint8),
        ("tail", c_uint8 * 256),
        ("hash", Sha256),
        ("hashed", c_uint32),
        ("hash_slot", c_uint8),
    ]


class Console(Structure):
    """tac_console_t."""

    _fields_ = [
        ("message", ctypes.c_void_p),
        ("capacity", c_uint32),
        ("limit", c_uint32),
        ("fill", c_uint32),
        ("expected", c_uint32),
        ("taken", c_uint32),
        ("quad", c_uint32),
        ("state", c_uint8),
        ("in_frame", c_uint8),
        ("chars", c_uint8),
        ("pads", c_uint8),
        ("crc", c_uint16),
        ("frames", c_uint32),
        ("errors_crc", c_uint32),
        ("errors_format", c_uint32),
        ("errors_size", c_uint32),
        ("message_bytes", c_uint32),
    ]


class Cobs(Structure):
    """tac_cobs_t."""

    _fields_ = [
        ("message", ctypes.c_void_p),
        ("capacity", c_uint32),
        ("limit", c_uint32),
        ("taken", c_uint32),
        ("crc", c_uint16),
        ("code", c_uint8),
        ("left", c_uint8),
        ("frames", c_uint32),
        ("errors_crc", c_uint32),
        ("errors_format", c_uint32),
        ("errors_size", c_uint32),
        ("message_bytes", c_uint32),
    ]


WRITE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, POINTER(c_uint8), c_size_t)


def build_library(
    name: str, sources: list[Path], plain: list[Path], include: list[Path], sanitize: bool = False
) -> ctypes.CDLL:
    """Compile `sources` with all warnings as errors (`plain` ones without), load the result.

    Kept under build/tests/ by a hash of sources, headers and flags.
    """
    flags = ["-O1", "-fPIC", "-shared", *(SANITIZERS if sanitize else ())]
    flags += [f"-I{path}" for path in (DEVICE, *include)]
    digest = hashlib.sha256(" ".join(flags).encode())
    headers = [*sorted(DEVICE.glob("*/*.h")), DEVICE / "tac_error.h"]
    for path in [*sources, *plain, *headers, ROOT / "tests" / "nor_flash.h"]:
        digest.update(path.read_bytes())
    folder = BUILD / "tests"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}-{digest.hexdigest()[:16]}.so"
    if not target.exists():
        objects = []
        for path in [*sources, *plain]:
            obj = target.with_name(f"{target.stem}-{path.stem}.o")
            warnings = STRICT if path in sources else ("-std=c11", "-w")
            compile_flags = [flag for flag in flags if flag != "-shared"]
            subprocess.run(
                ["gcc", *warnings, *compile_flags, "-c", str(path), "-o", str(obj)], check=True
            )
            objects.append(obj)
        fresh = target.with_suffix(".new")
        subprocess.run(["gcc", *flags, *map(str, objects), "-o", str(fresh)], check=True)
        fresh.rename(target)
        for obj in objects:
            obj.unlink()
    return ctypes.CDLL(str(target))


@cache
def store_library(sanitize: bool = False) -> ctypes.CDLL:
    """Store (without Ed25519), link and the flash model."""
    sources = [DEVICE / "store" / name for name in STORE_SOURCES]
    sources += [DEVICE / "link" / name for name in ("console.c", "cobs.c")]
    sources += [ROOT / "tests" / "nor_flash.c"]
    name = "store-sanitized" if sanitize else "store"
    library = build_library(name, sources, [], [ROOT / "tests"], sanitize)
    library.nor_new.restype = ctypes.c_void_p
    library.nor_new.argtypes = [c_uint32, c_uint32, c_uint32, ctypes.c_uint64]
    library.nor_flash.restype = ctypes.c_void_p
    for function, arguments in {
        "nor_free": [],
        "nor_flash": [],
        "nor_cut": [c_uint32, c_uint32],
        "nor_power_on": [],
        "nor_stick": [c_uint32],
        "nor_guard": [c_uint32, c_uint32],
        "nor_load": [c_uint32, c_char_p, c_uint32],
        "nor_read": [c_uint32, c_char_p, c_uint32],
        "nor_fact": [c_uint32],
        "nor_wear": [c_uint32],
        "nor_copy": [ctypes.c_void_p],
    }.items():
        getattr(library, function).argtypes = [ctypes.c_void_p, *arguments]
    library.nor_fact.restype = library.nor_wear.restype = c_uint32
    library.tac_store_open.argtypes = [POINTER(Store), ctypes.c_void_p, POINTER(Layout)]
    library.tac_store_data.restype = ctypes.c_void_p
    library.tac_crc16.restype = c_uint16
    library.tac_crc16.argtypes = [c_uint16, c_char_p, c_size_t]
    for name, state in (("console", Console), ("cobs", Cobs)):
        getattr(library, f"tac_{name}_init").argtypes = [POINTER(state), ctypes.c_void_p, c_size_t]
        feed = getattr(library, f"tac_{name}_feed")
        feed.argtypes = [POINTER(state), c_char_p, c_size_t]
        feed.restype = c_size_t
        getattr(library, f"tac_{name}_release").argtypes = [POINTER(state)]
        send = getattr(library, f"tac_{name}_send")
        send.argtypes = [c_char_p, c_size_t, WRITE, ctypes.c_void_p]
    return library


@cache
def ed25519_library() -> ctypes.CDLL:
    """The signature check and its field."""
    sources = [DEVICE / "store" / name for name in ("ed25519.c", "field25519.c", "sha512.c")]
    library = build_library("ed25519", sources, [], [])
    library.tac_ed25519_check.argtypes = [c_char_p, c_char_p, c_char_p, c_size_t]
    library.tac_ed25519_check.restype = c_int
    return library


class Board:
    """A flash part with a journal and two slots, and the store on it between two resets."""

    def __init__(
        self,
        sector_bytes: int,
        write_bytes: int,
        slot_bytes: int,
        seed: int = 1,
        sanitize: bool = False,
    ) -> None:
        self.library = store_library(sanitize)
        # A sector in front of, between and behind the regions: writes outside show.
        journal = sector_bytes
        slot0 = journal + 3 * sector_bytes
        slot1 = slot0 + slot_bytes + sector_bytes
        self.layout = Layout(journal, (c_uint32 * 2)(slot0, slot1), slot_bytes)
        self.sector_bytes = sector_bytes
        self.bytes = slot1 + slot_bytes + sector_bytes
        self.nor = self.library.nor_new(self.bytes, sector_bytes, write_bytes, seed)
        self.store = Store()

    def __del__(self) -> None:
        self.library.nor_free(self.nor)

    def copy_from(self, other: "Board") -> None:
        """Take over the flash content of a board with the same geometry."""
        self.library.nor_copy(self.nor, other.nor)

    def open(self) -> int:
        """Power on and read the journal."""
        self.library.nor_power_on(self.nor)
        flash = self.library.nor_flash(self.nor)
        return int(self.library.tac_store_open(byref(self.store), flash, byref(self.layout)))

    def cut(self, operation: int, kind: int) -> None:
        """Lose power at the n-th flash operation from now."""
        self.library.nor_cut(self.nor, operation, kind)

    @property
    def operations(self) -> int:
        return int(self.library.nor_fact(self.nor, 0))

    @property
    def dead(self) -> bool:
        return bool(self.library.nor_fact(self.nor, 1))

    @property
    def violations(self) -> int:
        return int(self.library.nor_fact(self.nor, 2))

    def wear(self, sector: int) -> int:
        """Erases of one sector."""
        return int(self.library.nor_wear(self.nor, sector))

    def guard_slot(self, slot: int) -> None:
        """Count flash operations that touch this slot from now on."""
        self.library.nor_guard(self.nor, self.layout.slot_offset[slot], self.layout.slot_bytes)

    @property
    def guarded_operations(self) -> int:
        return int(self.library.nor_fact(self.nor, 3))

    def load(self, offset: int, data: bytes) -> None:
        """Put any content into flash."""
        self.library.nor_load(self.nor, offset, data, len(data))

    def read(self, offset: int, size: int) -> bytes:
        buffer = ctypes.create_string_buffer(size)
        self.library.nor_read(self.nor, offset, buffer, size)
        return buffer.raw

    def data(self, slot: int, size: int) -> bytes:
        return self.read(self.layout.slot_offset[slot], size)

    # The store's own functions, one to one.
    def select(self, reason: int = errors.PKG_TRIAL) -> int:
        return int(self.library.tac_store_select(byref(self.store), reason))

    def begin(self, slot: int, length: int, sha: bytes) -> int:
        return int(self.library.tac_store_begin(byref(self.store), slot, length, sha))

    def write(self, slot: int, offset: int, data: bytes) -> int:
        return int(self.library.tac_store_write(byref(self.store), slot, offset, data, len(data)))

    def finish(self, slot: int, most_bytes: int = 1000) -> int:
        """All calls of it."""
        rc = 1
        while rc == 1:
            rc = int(self.library.tac_store_finish(byref(self.store), slot, most_bytes))
        return rc

    def mark(self, slot: int, state: int, reason: int = 0, counter: int = 0, keys: int = 0) -> int:
        floors = Floors(counter, keys)
        return int(
            self.library.tac_store_mark(byref(self.store), slot, state, reason, byref(floors))
        )

    def erase(self, slot: int) -> int:
        return int(self.library.tac_store_erase(byref(self.store), slot))

    def slot(self, index: int) -> SlotInfo:
        info: SlotInfo = self.store.slots[index]
        return info

    def state(self, index: int) -> int:
        return int(self.store.slots[index].state)

    @property
    def counter(self) -> int:
        return int(self.store.floors.counter)

    @property
    def key_version(self) -> int:
        return int(self.store.floors.key_version)

    def upload(self, slot: int, package: bytes, chunk: int) -> int:
        """Begin (or resume), send, finish, mark STAGED. The first code that is not good, or 0."""
        code = self.begin(slot, len(package), hashlib.sha256(package).digest())
        if code < 0:
            return code
        offset = code
        while offset < len(package):
            part = package[offset : offset + chunk]
            code = self.write(slot, offset, part)
            if code < 0:
                return code
            offset += len(part)
        return self.finish(slot) or self.mark(slot, STAGED)

    def install(self, slot: int, package: bytes, counter: int, chunk: int = 1024) -> int:
        """Upload, try and confirm. The first code that is not good, or 0."""
        return (
            self.upload(slot, package, chunk)
            or self.mark(slot, PENDING)
            or self.mark(slot, TRIED)
            or self.mark(slot, CONFIRMED, 0, counter)
        )


class _FrameDecoder:
    """A framing over a message buffer of exactly `capacity` bytes."""

    name: str
    state: type[Structure]

    def __init__(self, capacity: int, sanitize: bool = False) -> None:
        self.library = store_library(sanitize)
        # From the C allocator, so that a sanitizer sees the end of it.
        libc = ctypes.CDLL(None)
        libc.malloc.restype = ctypes.c_void_p
        libc.malloc.argtypes = [c_size_t]
        libc.free.argtypes = [ctypes.c_void_p]
        self._free = libc.free
        self.buffer = libc.malloc(capacity)
        self.decoder: Any = self.state()
        self.messages: list[bytes] = []  # all so far
        self._function("init")(byref(self.decoder), self.buffer, capacity)

    def _function(self, verb: str) -> Any:
        return getattr(self.library, f"tac_{self.name}_{verb}")

    def __del__(self) -> None:
        self._free(self.buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """Consume all of it; the messages it completed."""
        messages: list[bytes] = []
        while data:
            used = self._function("feed")(byref(self.decoder), data, len(data))
            if used == 0:
                raise AssertionError("the decoder takes nothing although no message waits")
            data = data[used:]
            if self.decoder.message_bytes:
                size = min(self.decoder.message_bytes, self.decoder.capacity)
                messages.append(ctypes.string_at(self.buffer, size))
                self._function("release")(byref(self.decoder))
        self.messages += messages
        return messages

    @property
    def counters(self) -> tuple[int, int, int, int]:
        """Good frames, CRC errors, format errors, size errors."""
        c = self.decoder
        return c.frames, c.errors_crc, c.errors_format, c.errors_size


class ConsoleDecoder(_FrameDecoder):
    """tac_console_t."""

    name, state = "console", Console


class CobsDecoder(_FrameDecoder):
    """tac_cobs_t."""

    name, state = "cobs", Cobs


def console_send(message: bytes) -> list[bytes]:
    """The lines tac_console_send writes."""
    lines: list[bytes] = []

    def take(_ctx: int, data: "ctypes._Pointer[c_uint8]", size: int) -> None:
        lines.append(ctypes.string_at(data, size))

    store_library().tac_console_send(message, len(message), WRITE(take), None)
    return lines


def cobs_send(message: bytes) -> list[bytes]:
    """The pieces tac_cobs_send writes."""
    pieces: list[bytes] = []

    def take(_ctx: int, data: "ctypes._Pointer[c_uint8]", size: int) -> None:
        pieces.append(ctypes.string_at(data, size))

    store_library().tac_cobs_send(message, len(message), WRITE(take), None)
    return pieces
