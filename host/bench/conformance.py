"""ExecuTorch's own Cortex-M test cases, taken from the installed wheel, as cases of ours.

Each case goes module -> int8 program -> plan image -> engine; the reference is the execution of the
same lowered program with ExecuTorch's Python operators, and every byte must agree. Nothing here
decides which cases pass.
"""

import copy
import importlib
import pkgutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from unittest import mock

import torch

from host.boards import Board
from host.compile.compile import plan_program
from host.compile.result import PlannedProgram
from host.export.lower import TARGET, lower_direct, lower_tensors
from host.export.quiet import quiet
from host.export.reference import constants, run_program
from host.export.support import short_name

PACKAGES = ("executorch.backends.cortex_m.test.ops", "executorch.backends.cortex_m.test.models")

# Modules of the wheel that need more than the wheel, for models that no MCU holds.
ABSENT = ("test_mobilenet_v2", "test_mobilenet_v3", "test_wav2letter", "test_yolo11")

VARIATIONS = 2  # inputs beside the wheel's own example

Answers = Sequence[Sequence[bytes]]
"""The outputs of each run of a compiled case."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One case of the wheel: `name` is package/module[/group]/key."""

    name: str
    module: torch.nn.Module
    example_inputs: Any
    target: str = TARGET
    quantizer: Any = None  # the wheel's default
    direct: bool = False  # the module calls operators of the dialect itself

    def inputs(self) -> tuple[Any, ...]:
        """Fresh example inputs, the same in each call."""
        torch.manual_seed(0)
        given = self.example_inputs
        return tuple(given() if callable(given) else copy.deepcopy(given))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a case: "passed", "failed" or "unsupported", and why."""

    outcome: str
    reason: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Compiled:
    """A case compiled for a board: inputs of each run, and the outputs that the reference gives."""

    planned: PlannedProgram
    inputs: tuple[tuple[bytes, ...], ...]
    expected: tuple[tuple[bytes, ...], ...]


def collect() -> tuple[Case, ...]:
    """All cases of the installed wheel, sorted by name."""
    with quiet():
        return tuple(sorted(_collect(), key=lambda case: case.name))


def _collect() -> Iterator[Case]:
    for package in PACKAGES:
        folder = importlib.import_module(package)
        for entry in pkgutil.iter_modules(folder.__path__):
            if not entry.name.startswith("test_") or entry.name in ABSENT:
                continue
            torch.manual_seed(0)  # modules draw weights and data while they are imported
            module = importlib.import_module(f"{package}.{entry.name}")
            prefix = f"{package.rpartition('.')[2]}/{entry.name.removeprefix('test_')}"
            for group, cases in vars(module).items():
                if isinstance(cases, dict):
                    yield from _group(prefix, group, cases)
            yield from _wide(prefix, module)
            yield from _direct(prefix, module)


def _group(prefix: str, group: str, cases: dict[Any, Any]) -> Iterator[Case]:
    label = group.removesuffix("test_cases").removesuffix("variants").strip("_")
    for key, case in cases.items():
        target = TARGET
        if hasattr(case, "target_config"):
            target = case.target_config.target_string
            case = case.case
        if hasattr(case, "get_example_inputs"):
            name = "/".join(part for part in (prefix, label, str(key)) if part)
            yield Case(name, case.model, case.example_inputs, target)


def _wide(prefix: str, module: ModuleType) -> Iterator[Case]:
    """The cases that the wheel runs a second time, with int16 activations."""
    stage = getattr(module, "_CortexMInt16Quantize", None)
    if stage is not None:
        for key, case in module.test_cases.items():
            name = f"{prefix}/int16/{key}"
            yield Case(name, case.model, case.example_inputs, quantizer=stage().quantizer)


def _direct(prefix: str, module: ModuleType) -> Iterator[Case]:
    """The cases that are functions which hand a module of one operator to run_on_fvp()."""
    if not hasattr(module, "run_on_fvp"):
        return
    found: list[tuple[torch.nn.Module, torch.Tensor, int]] = []

    def note(model: torch.nn.Module, x: torch.Tensor, *rest: Any, **_: Any) -> None:
        found.append((model, x, rest[2]))  # target, target_config, scratch_count

    for name, function in list(vars(module).items()):
        if name.startswith("test_"):
            with mock.patch.object(module, "run_on_fvp", note):
                function(None)
            model, x, scratch = found.pop()
            scratches = [torch.empty(0, dtype=torch.uint8)] * scratch
            key = name.removeprefix("test_").removesuffix("_runs_on_fvp")
            yield Case(f"{prefix}/{key}", model, (x, *scratches), direct=True)


def compiled(case: Case, boards: Sequence[Board]) -> list[Compiled]:
    """Export a case, compile it for each board and run the reference. Raises TactusError."""
    program = _lowered(case)
    plans = [plan_program(case.name, program, board) for board in boards]
    given, expected = [], []
    for inputs in _variations(case):
        with quiet():
            expected.append(tuple(map(memory_bytes, run_program(program, copy.deepcopy(inputs)))))
        given.append(tuple(_border_bytes(program, plans[0], inputs)))
    return [Compiled(planned, tuple(given), tuple(expected)) for planned in plans]


def compare(one: Compiled, answers: Answers) -> Verdict:
    """Whether a compiled case gave what the reference gives."""
    for outputs, expected in zip(answers, one.expected, strict=True):
        for index, (got, want) in enumerate(zip(outputs, expected, strict=True)):
            if bytes(got) != want:
                differing = sum(a != b for a, b in zip(got, want, strict=False))
                return Verdict("failed", f"output {index}: {differing} of {len(want)} bytes differ")
    return Verdict("passed")


def _lowered(case: Case) -> Any:
    if case.direct:
        return lower_direct(case.module, case.inputs())
    return lower_tensors(
        case.name, case.module, case.inputs(), target=case.target, quantizer=case.quantizer
    )


def _variations(case: Case) -> Iterator[tuple[Any, ...]]:
    """The example inputs, then random ones of a somewhat wider range, so that clamps are met."""
    examples = case.inputs()
    yield examples
    generator = torch.Generator().manual_seed(1)
    for _ in range(VARIATIONS):
        yield tuple(_varied(value, generator) for value in examples)


def _varied(value: Any, generator: torch.Generator) -> Any:
    if not torch.is_tensor(value) or not value.numel():
        return value
    if value.dtype == torch.int8:
        return torch.randint(-128, 128, value.shape, dtype=torch.int8, generator=generator)
    if not value.is_floating_point():
        return value
    low, high = float(value.min()), float(value.max())
    margin = 0.25 * (high - low) + 1e-3
    noise = torch.rand(value.shape, generator=generator) * (high - low + 2 * margin) + low - margin
    return torch.empty_like(value).copy_(noise)


def memory_bytes(tensor: torch.Tensor) -> bytes:
    """A tensor as it crosses a device's border: maps [N, C, H, W] lie as N H W C."""
    ordered = tensor.permute(0, 2, 3, 1) if tensor.dim() == 4 else tensor
    data: bytes = ordered.contiguous().numpy().tobytes()
    return data


def _border_bytes(program: Any, planned: PlannedProgram, inputs: Sequence[Any]) -> list[bytes]:
    held = constants(program)
    placeholders = [
        node for node in program.graph.nodes if node.op == "placeholder" and node.name not in held
    ]
    by_name = {short_name(node): value for node, value in zip(placeholders, inputs, strict=True)}
    return [memory_bytes(by_name[name]) for name in planned.inputs]
