"""`_tactus` for this Python: the same C as the boards', as an extension module."""

import hashlib
import subprocess
import sysconfig
from pathlib import Path

from host.boards import ROOT, Board
from host.flash import system
from host.flash.board_header import write_board_header
from host.flash.firmware import FirmwareBuildError
from host.flash.lock import locked
from host.package.keys_roots import RootKeys
from host.progress import Progress, silent

MODULE_FILE = "_tactus.abi3.so"
_STRICT = ("-Wall", "-Wextra", "-Werror", "-Wconversion")
_FLAGS = ("-std=c11", "-O3", "-g1", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off")
_FOLDERS = ("engine", "sched", "store", "link")


def extension_path(board: Board) -> Path:
    """Where build_extension() puts the result, built or not. Its folder belongs on PYTHONPATH."""
    return board.firmware_dir / MODULE_FILE


def build_extension(
    board: Board, trust: RootKeys, trust_name: str, progress: Progress = silent
) -> Path:
    """Compile what is out of date and return build/firmware/<board>/_tactus.abi3.so.

    `trust`: the root keys whose key sets the board accepts.
    Raises FirmwareBuildError with the last compiler error line, MissingError when gcc or Python.h is not there.
    """
    system.require(*system.CPYTHON_EXTENSION, progress=progress)
    folder, result = board.firmware_dir, extension_path(board)
    with locked(folder):
        write_board_header(board, trust, trust_name, folder)
        objects = folder / "objects"
        objects.mkdir(parents=True, exist_ok=True)
        include = [f"-I{ROOT / 'device'}", f"-I{folder}"]
        python = f"-I{sysconfig.get_paths()['include']}"
        sources = [
            path for name in _FOLDERS for path in sorted((ROOT / "device" / name).glob("*.c"))
        ]
        bindings = sorted((ROOT / "device/bindings").glob("board_*.c"))
        sources += [*bindings, ROOT / "device/port/posix.c"]
        wrappers = sorted((ROOT / "device/bindings/cpython").glob("*.c"))
        headers = _digest([*sorted((ROOT / "device").rglob("*.h")), folder / "tac_board.h"])
        built = [
            _compile(source, objects, [*_FLAGS, *_STRICT, *include], headers, progress)
            for source in sources
        ]
        built += [
            _compile(source, objects, [*_FLAGS, *_STRICT, *include, python], headers, progress)
            for source in wrappers
        ]
        stamp = objects / "linked.sha256"
        inputs = _digest(built)
        if not result.is_file() or not stamp.is_file() or stamp.read_text() != inputs:
            fresh = result.with_name(result.name + ".new")
            _run(["gcc", "-shared", "-o", str(fresh), *map(str, built), "-lm"], folder)
            fresh.replace(result)
            stamp.write_text(inputs)
    return result


def _compile(
    source: Path, objects: Path, flags: list[str], headers: str, progress: Progress
) -> Path:
    """Compile one file unless its text, its flags and all headers are those of the object that is there."""
    output = objects / f"{source.parent.name}-{source.stem}.o"
    stamp = output.with_suffix(".sha256")
    inputs = hashlib.sha256(repr((flags, headers)).encode() + source.read_bytes()).hexdigest()
    if not output.is_file() or not stamp.is_file() or stamp.read_text() != inputs:
        progress("compiling the engine for this Python", None)
        _run(["gcc", *flags, "-c", str(source), "-o", str(output)], objects.parent)
        stamp.write_text(inputs)
    return output


def _digest(paths: list[Path]) -> str:
    total = hashlib.sha256()
    for path in paths:
        total.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        log = folder / "build.log"
        log.write_text(" ".join(command) + "\n" + done.stdout + done.stderr)
        lines = (done.stdout + done.stderr).strip().splitlines() or ["no output"]
        errors = [line for line in lines if "error" in line or "undefined reference" in line]
        raise FirmwareBuildError(
            f"_tactus did not compile: {(errors or lines)[-1]}", f"the whole log is {log}"
        )
