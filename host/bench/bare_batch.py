"""Many models in one run of a bare-metal emulator: boards/<name>/bench/conformance.c with the engine."""

import struct
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from host.bench.bare_metal import BenchError, Kernels, bench_folder, emulation, program
from host.boards import Board
from host.flash import system

_TRIALS_AT, _ALIGN = 0x21000000, 16  # as in conformance.c
_ROOM_BYTES = 15 << 20  # of the machine's 16 MB there
ARENA_BYTES = 3 << 20  # largest arena that fits its 4 MB of RAM
_TIMEOUT_S = 600
_IO_AT, _IO_COUNTS_AT = 16, 20  # of the plan image, device/engine/plan.h


@dataclass(frozen=True, slots=True)
class Trial:
    """A plan image and the inputs of each run of it."""

    image: bytes
    runs: tuple[tuple[bytes, ...], ...]

    @property
    def content(self) -> bytes:
        """As conformance.c reads it."""
        inputs = b"".join(b"".join(run) for run in self.runs)
        head = struct.pack("<4I", len(self.image), len(inputs), len(self.runs), 0)
        return head + self.image + inputs + bytes(-len(inputs) % _ALIGN)

    @property
    def output_sizes(self) -> list[int]:
        """Bytes of each output of a run."""
        (at,) = struct.unpack_from("<I", self.image, _IO_AT)
        inputs, outputs = struct.unpack_from("<HH", self.image, _IO_COUNTS_AT)
        table = struct.iter_unpack("<II", self.image[at : at + 8 * (inputs + outputs)])
        return [size for _, size in table][inputs:]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a trial gave: the outputs of each run, or why there are none."""

    runs: tuple[tuple[bytes, ...], ...] = ()
    failure: str = ""


def run_trials(board: Board, trials: Sequence[Trial]) -> list[Answer]:
    """Run the trials on a board's emulated core, an answer each.

    A trial that faults the core, or does not end, costs the batch nothing but another start of the
    emulator. Raises BenchError where nothing runs at all.
    """
    bench_folder(board)
    system.require(*system.ARM_FIRMWARE, *system.EMULATOR)
    elf = program(board, "conformance", Kernels())
    answers: list[Answer] = []
    while len(answers) < len(trials):
        batch = list(_fitting(trials[len(answers) :]))
        answers += _run(board, elf, batch)
    return answers


def _fitting(trials: Sequence[Trial]) -> Iterator[Trial]:
    """As many as the memory holds, but one at least."""
    room = _ROOM_BYTES
    for index, trial in enumerate(trials):
        room -= len(trial.content)
        if room < 0 and index:
            return
        yield trial


def _run(board: Board, elf: Path, trials: Sequence[Trial]) -> list[Answer]:
    """Answers to the first trials: all of them, or up to and with one that ended the run."""
    with tempfile.TemporaryDirectory(prefix="tactus-bench-") as scratch:
        blob = struct.pack("<4I", len(trials), 0, 0, 0) + b"".join(one.content for one in trials)
        (Path(scratch) / "trials.bin").write_bytes(blob)
        command = emulation(board, elf, {"trials.bin": _TRIALS_AT})
        try:
            done = subprocess.run(
                command,
                cwd=scratch,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                check=False,
            )
            said = done.stderr.strip().splitlines() if done.returncode else []
        except subprocess.TimeoutExpired:
            said = [f"no end within {_TIMEOUT_S} s"]
        written = Path(scratch) / "answers.bin"
        if not written.is_file():
            raise BenchError(
                f"the emulator ran nothing: {(said or ['it said nothing'])[-1]}",
                "compare with QEMU 7.2, which this was made with",
            )
        answers = list(_answers(trials, written.read_bytes()))
    if len(answers) < len(trials):
        answers.append(Answer(failure=f"the run ended there: {(said or ['without a word'])[-1]}"))
    return answers


def _answers(trials: Sequence[Trial], content: bytes) -> Iterator[Answer]:
    """Those of `content` that are complete."""
    at = 0
    for trial in trials:
        if at + 4 > len(content):
            return
        (refused,) = struct.unpack_from("<I", content, at)
        at += 4
        runs = []
        for _ in trial.runs if refused == 0 else ():
            outputs = []
            for size in trial.output_sizes:
                outputs.append(content[at : at + size])
                at += size
            runs.append(tuple(outputs))
        if at + 4 > len(content):
            return
        (broken,) = struct.unpack_from("<I", content, at)
        at += 4
        if refused:
            yield Answer(failure=f"the plan was refused with code -{refused}")
        elif broken:
            yield Answer(failure=f"{broken} bytes around the arena changed")
        else:
            yield Answer(tuple(runs))
