"""What dispatching costs in instructions: every block of code that the firmware runs, counted by the emulator."""

import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from host.bench.bare_metal import bench_folder, block_counter
from host.bench.profile import Program
from host.bench.realtime_flash import Flash
from host.boards import Board
from host.schedule.admit import TaskTiming

_SECONDS = 4  # of the board's time, each run
_WALL_S = 300.0
_BEGIN, _END = "tac_sched_start", "tac_sched_stop"
_INPUT = "tac_board_quantize_i16"  # samples to int8: grows with the model's input
_STEP = "tac_exec_"  # of the engine, but not a kernel: leads from op to op
# From one to the other a kernel runs, and what it calls of the C library is its work.
_KERNEL, _KERNEL_END = "tac_exec_kernel", "clock_now"
_LIBRARY = ("memset", "memcpy", "memmove")
_OF_KERNELS = "library calls of kernels"


@dataclass(frozen=True, slots=True)
class DispatchCost:
    """Instructions outside kernels.

    per_op: what one op more in a job costs, executor and clock included. per_job: everything else but the conversion of
    the input, Python and idle loop included, by job, of the set where that is most. input_per_job: that conversion.
    overhead_shares: of the processor's time, all of these together, per set.
    """

    per_op: float
    per_job: float
    input_per_job: float
    overhead_shares: tuple[float, ...]


def dispatch_cost(
    board: Board, firmware: Path, flash: Flash, sets: Sequence[Sequence[TaskTiming]], folder: Path
) -> DispatchCost:
    """Run every set for a while, and before them two of its models alone, and count."""
    small, large = _fewest_and_most_ops(flash, sets[0])
    runs = [[small], [large], *sets]
    ops = [{task.name: _steps(flash, task) for task in timings} for timings in runs]
    program = Program.disassembled(firmware)
    places = {name: at for at, name in _functions(firmware)}
    out = folder / "blocks.txt"
    plugin = block_counter(bench_folder(board))
    listed = "".join(f",mark={places[name]:#x}" for name in (_BEGIN, _END, _KERNEL, _KERNEL_END))
    arguments = ["-plugin", f"file={plugin},out={out}{listed}"]
    counting = replace(board, emulator={**board.emulator, "arguments": arguments})
    jobs = []
    with flash.running(counting, firmware, folder) as repl:
        for timings in runs:
            rows = repl.value(f"run({flash.tasks(timings)!r}, {_SECONDS})", _WALL_S)
            jobs.append({task.name: row[1] for task, row in zip(timings, rows, strict=True)})
    with out.open() as lines:
        sections = _sections(lines, program, places)[1::2]  # each run is made twice
    kernels = _kernels(board)
    outside = [
        sum(count for name, count in section.items() if name not in kernels) for section in sections
    ]
    done = [sum(of.values()) for of in jobs]
    steps = [sum(of[name] * ops[i][name] for name in of) for i, of in enumerate(jobs)]
    dispatcher = _dispatcher(board)
    per_job_of = [
        sum(count for name, count in section.items() if name in dispatcher) / done[i]
        for i, section in enumerate(sections[:2])
    ]
    per_op = (per_job_of[1] - per_job_of[0]) / (ops[1][large.name] - ops[0][small.name])
    clock_ns = 1 << int(board.emulator["ns_per_instruction_shift"])
    inputs = [section[_INPUT] for section in sections]
    sets_at = range(2, len(runs))
    return DispatchCost(
        per_op=per_op,
        per_job=max((outside[i] - inputs[i] - per_op * steps[i]) / done[i] for i in sets_at),
        input_per_job=max(inputs[i] / done[i] for i in sets_at),
        overhead_shares=tuple(outside[i] * clock_ns / (_SECONDS * 1e9) for i in sets_at),
    )


def _steps(flash: Flash, task: TaskTiming) -> int:
    """Places in one job at which the dispatcher looks around."""
    return sum(op.steps for op in flash.model(task).compiled.ops)


def _fewest_and_most_ops(flash: Flash, timings: Sequence[TaskTiming]) -> list[TaskTiming]:
    ordered = sorted(timings, key=lambda task: _steps(flash, task))
    return [ordered[0], ordered[-1]]


def _sections(
    lines: Iterable[str], program: Program, places: Mapping[str, int]
) -> list[Counter[str]]:
    """Instructions by function of each run, from its start to its stop; like profile.read_sections()."""
    sections: list[Counter[str]] = []
    section: Counter[str] | None = None
    in_kernel = False
    for line in lines:
        words = line.split()
        if words[0] == "section":
            mark = int(words[1], 16)
            in_kernel = mark == places[_KERNEL]
            if mark == places[_BEGIN]:
                section = Counter()
                sections.append(section)
            elif mark == places[_END]:
                section = None
        elif section is not None:
            function = program.functions[program.index[int(words[0], 16)]]
            name = _OF_KERNELS if in_kernel and function in _LIBRARY else function
            section[name] += int(words[1]) * int(words[2])
    return sections


def _kernels(board: Board) -> frozenset[str]:
    """Functions of the engine that compute."""
    engine = {name for name in _defined(board, "engine") if not name.startswith(_STEP)}
    return frozenset({*engine, _OF_KERNELS})


def _dispatcher(board: Board) -> frozenset[str]:
    """Functions that lead from op to op: dispatcher, executor, clock."""
    steps = {name for name in _defined(board, "engine") if name.startswith(_STEP)}
    return frozenset({*_defined(board, "sched"), *steps, "clock_now", "tac_port_now_us"})


def _defined(board: Board, part: str) -> set[str]:
    objects = sorted((board.firmware_dir / "make").rglob(f"device/{part}/*.o"))
    return {name for path in objects for _, name in _functions(path)}


def _functions(path: Path) -> list[tuple[int, str]]:
    """(address, name) of the functions in an object or ELF file."""
    command = ["arm-none-eabi-nm", "--defined-only", str(path)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in text.splitlines()]
    return [(int(row[0], 16), row[2]) for row in rows if row[1] in "tT"]
