"""`bench engine`: the four MLPerf Tiny models on the engine, against what two peers need for them."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from host.bench import bare_metal, native
from host.bench.profile import Section
from host.bench.workload import Workload, workload
from host.boards import load_board
from host.progress import Progress, silent

NAMES = ("ds_cnn", "resnet8", "mobilenet_v1_025", "deep_autoencoder")
HOST = "host"


@dataclass(frozen=True, slots=True)
class Figures:
    """The measured figures of a model; None where a board has no such figure.

    instructions: of one inference, input in place. cycles_modelled: host.bench.cortex_m4_timing.
    ram_bytes: arena and every other byte of state but the stack. load_instructions: check, bind and
    dispatch of the first op. engine_flash_bytes: .text + .rodata with this model's op kinds.
    parity_mismatches: inputs whose answer differs from the Python reference in any byte.
    """

    instructions: int | None
    cycles_modelled: int | None
    ram_bytes: int
    arena_bytes: int
    arena_lower_bound_bytes: int
    plan_optimal: bool
    package_bytes: int
    load_instructions: int | None
    engine_flash_bytes: int | None
    stack_bytes: int | None
    parity_mismatches: int


@dataclass(frozen=True, slots=True)
class ModelResult:
    """A model's figures; on an emulated core its ops; on this computer CPU times in us."""

    name: str
    workload: Workload
    figures: Figures
    ops: tuple[Section, ...] = ()
    timing: native.Timing | None = None


@dataclass(frozen=True, slots=True)
class EngineResult:
    """All models on one board."""

    board: str
    models: tuple[ModelResult, ...]
    engine_flash_all_ops_bytes: int | None

    def as_json(self) -> dict[str, Any]:
        """The object that `bench engine --json` prints."""
        return {
            "board": self.board,
            "models": {model.name: asdict(model.figures) for model in self.models},
            "engine_flash_all_ops_bytes": self.engine_flash_all_ops_bytes,
        }


def measure_engine(
    board_name: str, names: Sequence[str] | None = None, progress: Progress = silent
) -> EngineResult:
    """Measure NAMES, or some of them, on `host` or on a board with a bare-metal program.

    Raises BenchError, UsageError.
    """
    names = NAMES if names is None else names
    board = load_board(board_name)
    if board_name != HOST:
        bare_metal.bench_folder(board)
    results = []
    for index, name in enumerate(names):
        progress("compiling and measuring the models", index / len(names))
        work = workload(name, board)
        results.append(
            _on_this_computer(name, work)
            if board_name == HOST
            else _emulated(name, work, board_name)
        )
    flash = (
        None if board_name == HOST else bare_metal.engine_flash_bytes(board, bare_metal.Kernels())
    )
    return EngineResult(board_name, tuple(results), flash)


@cache
def baselines() -> dict[str, Any]:
    """What the peers need: host/bench/baselines.json, which says how it was measured."""
    text = (Path(__file__).parent / "baselines.json").read_text()
    found: dict[str, Any] = json.loads(text)
    return found


def _emulated(name: str, work: Workload, board_name: str) -> ModelResult:
    board, image = load_board(board_name), work.compiled.image
    kernels = bare_metal.Kernels.of(image)
    measured = bare_metal.measure(board, image, kernels, work.inputs)
    figures = _figures(
        work,
        measured.outputs,
        measured.state_bytes,
        instructions=measured.inference.instructions,
        cycles_modelled=measured.inference.cycles,
        load_instructions=measured.load_instructions,
        engine_flash_bytes=bare_metal.engine_flash_bytes(board, kernels),
        stack_bytes=measured.stack_bytes,
    )
    return ModelResult(name, work, figures, ops=measured.ops)


def _on_this_computer(name: str, work: Workload) -> ModelResult:
    engine = native.NativeEngine.built()
    model = native.NativeModel(engine, work.compiled.image)
    outputs = [model.answer(window) for window in work.inputs]
    figures = _figures(work, outputs, engine.state_bytes)
    return ModelResult(name, work, figures, timing=native.timing(name, model, work.inputs[0]))


def _figures(
    work: Workload,
    outputs: Sequence[bytes],
    state_bytes: int,
    instructions: int | None = None,
    cycles_modelled: int | None = None,
    load_instructions: int | None = None,
    engine_flash_bytes: int | None = None,
    stack_bytes: int | None = None,
) -> Figures:
    compiled = work.compiled
    pairs = zip(outputs, work.expected, strict=True)
    return Figures(
        instructions=instructions,
        cycles_modelled=cycles_modelled,
        ram_bytes=compiled.arena_bytes + state_bytes,
        arena_bytes=compiled.arena_bytes,
        arena_lower_bound_bytes=compiled.arena_lower_bound_bytes,
        plan_optimal=compiled.plan_optimal,
        package_bytes=work.package_bytes,
        load_instructions=load_instructions,
        engine_flash_bytes=engine_flash_bytes,
        stack_bytes=stack_bytes,
        parity_mismatches=sum(given != wanted.tobytes() for given, wanted in pairs),
    )
