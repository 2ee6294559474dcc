"""MicroPython firmware of a board: the unpatched upstream tree, our board folder, our user C module."""

import hashlib
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from host.boards import ROOT, Board
from host.errors import TactusError, UsageError
from host.flash import system
from host.flash.board_header import write_board_header
from host.flash.lock import locked
from host.flash.sources import CACHE, MICROPYTHON_VERSION, micropython_dir
from host.package.keys_roots import RootKeys
from host.progress import Progress, silent

JOBS = 2
RELEASE_EPOCH = (
    "1744675200"  # 2025-04-15, MicroPython 1.25.0: the same sources give the same banner
)
_STAMP = "inputs.sha256"
_PROGRAM = {"qemu": "firmware.elf", "unix": "tactus-micropython"}


class FirmwareBuildError(TactusError):
    """The compiler or linker refused; the cause holds its last error line."""


def firmware_path(board: Board) -> Path:
    """Where build_firmware() puts the result, built or not."""
    return board.firmware_dir / _PROGRAM[_port(board)]


def build_firmware(
    board: Board, trust: RootKeys, trust_name: str, progress: Progress = silent
) -> Path:
    """Build what is out of date and return the firmware (ELF for `qemu`, executable for `unix`).

    `trust`: the root keys whose key sets the board accepts.
    The log is build/firmware/<board>/build.log. Raises FirmwareBuildError, MissingError, UsageError.
    """
    port = _port(board)
    system.require(
        *(system.ARM_FIRMWARE if port == "qemu" else system.UNIX_FIRMWARE), progress=progress
    )
    micropython = micropython_dir(progress)
    folder, result = board.firmware_dir, firmware_path(board)
    with locked(folder):
        write_board_header(board, trust, trust_name, folder)
        configuration = _digest(_configuration(board), str(micropython))
        inputs = _digest(_sources(board, folder), configuration)
        if result.is_file() and _read(folder / _STAMP) == inputs:
            return result
        make_dir = folder / "make"
        if (
            _read(make_dir / _STAMP) != configuration
        ):  # changed macros leave stale generated headers behind
            shutil.rmtree(make_dir, ignore_errors=True)
        make_dir.mkdir(parents=True, exist_ok=True)
        (make_dir / _STAMP).write_text(configuration)
        with (folder / "build.log").open("w") as log:
            progress(f"building mpy-cross {MICROPYTHON_VERSION}", None)
            mpy_cross = _build_mpy_cross(micropython, log.name)
            progress(f"building the firmware of {board.name}", None)
            variables = _variables(board, micropython, mpy_cross)
            _make(micropython / "ports" / port, variables, log.name)
        _replace(make_dir / _PROGRAM[port], result)
        (folder / _STAMP).write_text(inputs)
    return result


def firmware_sizes(board: Board) -> dict[str, int]:
    """Section sizes of a built firmware in bytes: text, data, bss."""
    tool = "arm-none-eabi-size" if _port(board) == "qemu" else "size"
    done = subprocess.run(
        [tool, str(firmware_path(board))], capture_output=True, text=True, check=True
    )
    text, data, bss = done.stdout.splitlines()[1].split()[:3]
    return {"text": int(text), "data": int(data), "bss": int(bss)}


def _port(board: Board) -> str:
    port = board.firmware.get("port", "")
    if board.firmware.get("kind") != "micropython" or port not in _PROGRAM:
        raise UsageError(
            f"board {board.name} has no MicroPython firmware",
            f'choose a board whose board.toml has [firmware] kind = "micropython", port in {sorted(_PROGRAM)}',
        )
    return str(port)


def _configuration(board: Board) -> Iterable[Path]:
    """Files whose change calls for a fresh build directory."""
    yield ROOT / "device/bindings/micropython/micropython.mk"
    for pattern in ("*.h", "*.mk", "*.ld", "manifest.py", "board.toml"):
        yield from sorted(board.folder.glob(pattern))


def _sources(board: Board, folder: Path) -> Iterable[Path]:
    yield folder / "tac_board.h"
    yield from sorted(board.folder.glob("*.[ch]"))
    yield from sorted(board.folder.glob("*.py"))
    yield from sorted((ROOT / "device").rglob("*.[ch]"))
    yield from sorted((ROOT / "device" / "tactus").rglob("*.py"))
    yield from sorted((ROOT / "protocol").rglob("*.py"))


def _digest(paths: Iterable[Path], salt: str) -> str:
    total = hashlib.sha256(salt.encode())
    for path in paths:
        total.update(f"{path.relative_to(ROOT)}\0".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _read(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def _variables(board: Board, micropython: Path, mpy_cross: Path) -> list[str]:
    port = _port(board)
    port_c = ROOT / "device/port/posix.c" if port == "unix" else board.folder / "port.c"
    variables = {
        "BUILD": board.firmware_dir / "make",
        "USER_C_MODULES": ROOT / "device/bindings",
        "MICROPY_MPYCROSS": mpy_cross,
        "MICROPY_MPYCROSS_DEPENDENCY": "",
        "MICROPY_MANIFEST_TACTUS_ROOT": ROOT,
        "MPY_LIB_DIR": micropython
        / "lib",  # asked only for a README.md: nothing of micropython-lib is used
        "TACTUS_ROOT": ROOT,
        "TACTUS_GENERATED": board.firmware_dir,
        "TACTUS_PORT_C": port_c,
        "TACTUS_GCC_FLAGS": " ".join(board.gcc_flags),
        "TACTUS_RAM_BYTES": board.ram_bytes,
        "TACTUS_HEAP_BYTES": board.heap_bytes,
        "TACTUS_STACK_BYTES": board.stack_bytes,
    }
    if port == "unix":
        variables |= {"VARIANT_DIR": board.folder, "VARIANT": board.name, "PROG": _PROGRAM[port]}
    else:
        variables |= {"BOARD": board.name, "BOARD_DIR": board.folder}
    return [f"{name}={value}" for name, value in variables.items()]


def _build_mpy_cross(micropython: Path, log: str) -> Path:
    build = CACHE / f"mpy-cross-{hashlib.sha256(str(micropython).encode()).hexdigest()[:8]}"
    with locked(build):
        _make(micropython / "mpy-cross", [f"BUILD={build}", "PROG=mpy-cross"], log)
    return build / "mpy-cross"


def _make(folder: Path, variables: list[str], log_path: str) -> None:
    environment = {
        **os.environ,
        "SOURCE_DATE_EPOCH": RELEASE_EPOCH,
        "MICROPY_GIT_TAG": f"v{MICROPYTHON_VERSION}",  # else it describes whatever git tree encloses it
        "MICROPY_GIT_HASH": "release",
        "LC_ALL": "C",
    }
    command = ["make", "-C", str(folder), f"-j{JOBS}", *variables]
    with Path(log_path).open("a") as log:
        log.write(f"{shlex.join(command)}\n")
        log.flush()
        done = subprocess.run(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
            check=False,
        )
    if done.returncode != 0:
        raise FirmwareBuildError(
            f"{folder.name} did not build: {_last_error(Path(log_path))}",
            f"the whole log is {log_path}",
        )


def _last_error(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    marks = (
        " error:",
        "undefined reference",
        "Error:",
        "overflowed",
        "ld: ",
        "CompileError",
        "SyntaxError",
    )
    errors = [
        line for line in lines if any(mark in line for mark in marks) and "collect2" not in line
    ]
    return (errors or lines or ["no output"])[-1]


def _replace(source: Path, target: Path) -> None:
    """Put a copy in place in one step: a running board keeps the file it was started with."""
    fresh = target.with_name(target.name + ".new")
    shutil.copy2(source, fresh)
    fresh.replace(target)
