"""export_model: one model spec -> ExportedModel, which compiles, runs and explains itself."""

import hashlib
import importlib.metadata
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from host.compile.result import TensorInfo
from host.export.lower import (
    FLOAT_RECIPE,
    RECIPE,
    TARGET,
    Lowered,
    as_input,
    as_memory,
    lower,
    lower_float,
)
from host.export.quiet import quiet
from host.export.reference import run_reference, trace_reference
from host.export.spec import ModelSpec

_VERSIONED = ("torch", "torchao", "executorch", "tosa-tools", "numpy")


@dataclass(frozen=True, slots=True, eq=False)
class ExportedModel:
    """A lowered model, in int8 or in float32. Windows and outputs are in device memory order.

    They go as bytes, int8 [n, bytes], whatever the tensors hold: their TensorInfo tells what.
    """

    spec: ModelSpec
    lowered: Lowered
    input_info: TensorInfo
    output_info: TensorInfo
    early_info: TensorInfo | None  # of output 1, the early answer, where there is one
    evidence: dict[str, Any]

    @property
    def name(self) -> str:
        """The model's name."""
        return self.spec.name

    @property
    def program(self) -> Any:
        """The ExportedProgram in the Cortex-M dialect, int8 or float32 in and out."""
        return self.lowered.program

    @property
    def pte_bytes(self) -> int:
        """Size of ExecuTorch's own file of the same program, dead constants removed."""
        return self.lowered.pte_bytes

    @property
    def coverage(self) -> dict[str, int]:
        """Dialect operator -> count."""
        return self.lowered.coverage

    def quantize(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.int8]:
        """Windows [n, window, channels] -> int8 [n, input bytes], as PyTorch quantizes."""
        info = self.input_info
        if info.dtype == "float32":
            return values.reshape(len(values), -1).astype("<f4").view(np.int8)
        quantized = torch.ops.quantized_decomposed.quantize_per_tensor(
            torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)),
            info.scale,
            info.zero_point,
            -128,
            127,
            torch.int8,
        )
        flat: npt.NDArray[np.int8] = quantized.reshape(len(values), -1).numpy()
        return flat

    def evaluation_inputs(self) -> npt.NDArray[np.int8]:
        """All windows of the record, quantized: int8 [windows, input bytes]."""
        return self.quantize(self.spec.record.values())

    def reference(self, inputs: npt.NDArray[np.int8], output: int = 0) -> npt.NDArray[np.int8]:
        """Reference execution: int8 [n, input bytes] -> int8 [n, output bytes]. output 1: early."""
        with quiet():
            given = inputs.view(self.input_info.numpy_type)
            return run_reference(self.program, given, self.input_info.shape, output).view(np.int8)

    def trace(self, window: npt.NDArray[np.int8]) -> dict[str, npt.NDArray[Any]]:
        """Result of each operator of the program for one window, by op name."""
        with quiet():
            given = window.view(self.input_info.numpy_type)
            return trace_reference(self.program, given, self.input_info.shape)

    def float_accuracy(self, early: bool = False) -> float:
        """Share of windows that the float model labels right, at its last or its early exit."""
        values = self.spec.record.values()
        with torch.no_grad():
            outputs = self.spec.module(as_input(values, self.spec.input_shape))
        if self.spec.early_exit:
            outputs = outputs[0 if early else 1]
        return self._share_right(as_memory(outputs))

    def quantized_accuracy(self, early: bool = False) -> float:
        """Share of windows that PyTorch's converted int8 model labels right, at one of its exits."""
        values = self.spec.record.values()
        parts = []
        with torch.no_grad(), quiet():
            for window in values:
                outputs = self.lowered.converted(as_input(window[None], self.spec.input_shape))
                if self.early_info:
                    outputs = outputs[1 if early else 0]
                parts.append(as_memory(outputs))
        return self._share_right(np.concatenate(parts))

    def _share_right(self, scores: npt.NDArray[Any]) -> float:
        return float((scores.argmax(axis=1) == self.spec.truth).mean())


class _Exits(torch.nn.Module):  # type: ignore[misc]
    """A model with an early exit, its final answer first, and the early one only where it is wanted."""

    def __init__(self, module: torch.nn.Module, early: bool) -> None:
        super().__init__()
        self.module = module
        self.early = early

    def forward(self, x: torch.Tensor) -> Any:
        answers = self.module(x)
        if not isinstance(answers, tuple) or len(answers) != 2:
            return (answers,)  # what is wrong with it is told where the border is checked
        early, final = answers
        return (final, early) if self.early else final


def export_model(spec: ModelSpec, floating: bool = False, early_exit: bool = True) -> ExportedModel:
    """Lower a model, quantized or, with `floating`, as it is.

    early_exit: keep the early answer of a model that names one; without it only the final one is left.
    Raises UnsupportedOperatorError or ExportError.
    """
    early = spec.early_exit and early_exit
    outputs = 2 if early else 1
    module = spec.module
    if spec.early_exit:
        module = _Exits(module, early).eval()
    if floating:
        lowered = lower_float(spec.name, module, spec.input_shape, outputs)
    else:
        lowered = lower(spec.name, module, spec.input_shape, spec.calibration, outputs)
    input_info = _info(spec.input_shape, lowered.input_quantization)
    output = next(node for node in lowered.program.graph.nodes if node.op == "output")
    output_shape = tuple(int(size) for size in output.args[0][0].meta["val"].shape)
    output_info = _info(output_shape, lowered.output_quantization)
    early_info = _info(output_shape, lowered.early_quantization) if early else None
    evidence = {
        "versions": {name: importlib.metadata.version(name) for name in _VERSIONED},
        "recipe": FLOAT_RECIPE if floating else RECIPE,
        "target": TARGET,
        "calibration": {
            "windows": len(spec.calibration),
            "sha256": hashlib.sha256(spec.calibration.tobytes()).hexdigest(),
        },
        "coverage": lowered.coverage,
        "pte_bytes": lowered.pte_bytes,
        "input": {"scale": input_info.scale, "zero_point": input_info.zero_point},
        "output": {"scale": output_info.scale, "zero_point": output_info.zero_point},
    }
    if early_info:
        evidence["early"] = {"scale": early_info.scale, "zero_point": early_info.zero_point}
    return ExportedModel(
        spec=spec,
        lowered=lowered,
        input_info=input_info,
        output_info=output_info,
        early_info=early_info,
        evidence=evidence,
    )


def _info(shape: tuple[int, ...], quantization: tuple[float, int] | None) -> TensorInfo:
    elements = int(np.prod(shape))
    if quantization is None:
        return TensorInfo(shape, "float32", 1.0, 0, 4 * elements)
    scale, zero_point = quantization
    return TensorInfo(shape, "int8", scale, zero_point, elements)
