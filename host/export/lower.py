"""nn.Module -> torch.export -> PT2E int8 -> edge program -> Cortex-M dialect with int8 I/O.

The order of the imports, the channels-last inputs and `check_guards=False` are not free:
contiguous NCHW examples leave every convolution in float without an error.
"""

import contextlib
import copy
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.export.graph_signature import InputKind

from host.export.quiet import quiet
from host.export.support import (
    SUPPORTED,
    ExportError,
    check_supported,
    count_operators,
    last_frame,
    operator_name,
    unsupported,
)

with quiet():
    from executorch.backends.cortex_m.passes.cortex_m_pass_manager import CortexMPassManager

    # isort: split
    from executorch.backends.cortex_m.edge_compile_config import cortex_m_edge_compile_config
    from executorch.backends.cortex_m.passes.aten_to_cortex_m_pass import AtenToCortexMPass
    from executorch.backends.cortex_m.passes.passes_utils import is_channels_last
    from executorch.backends.cortex_m.quantizer.quantizer import CortexMQuantizer
    from executorch.backends.cortex_m.target_config import CortexMTargetConfig
    from executorch.backends.transforms.utils import delete_constant_placeholder
    from executorch.exir import to_edge
    from executorch.exir.passes.quantize_io_pass import QuantizeInputs, QuantizeOutputs
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.utils import _fuse_conv_bn_

FLOAT_RECIPE = "none: float32 throughout, batch norms folded into convolutions"
RECIPE = "CortexMQuantizer defaults: int8 activations, histogram observers, int8 weights"
TARGET = "cortex-m4"  # biases stay biases there, which is what the engine's kernels read


@dataclass(frozen=True, slots=True, eq=False)
class Lowered:
    """A lowered model. Quantization as (scale, zero point), None for a border of float32.

    pte_bytes: of ExecuTorch's own file.
    """

    converted: torch.nn.Module
    program: Any
    input_quantization: tuple[float, int] | None
    output_quantization: (
        tuple[float, int] | None
    )  # as early_quantization, which is that of output 1
    early_quantization: tuple[float, int] | None
    pte_bytes: int
    coverage: dict[str, int]


def as_input(values: npt.NDArray[Any], shape: tuple[int, ...]) -> torch.Tensor:
    """Windows in memory order [n, ...] as a model input [n, *shape[1:]], channels last if 4-D."""
    flat = torch.from_numpy(np.ascontiguousarray(values)).reshape(len(values), -1)
    if len(shape) != 4:
        return flat.reshape(len(values), *shape[1:])
    _, channels, height, width = shape
    logical = flat.reshape(-1, height, width, channels).permute(0, 3, 1, 2)
    # A fresh tensor: .to(channels_last) keeps ambiguous strides when C is 1.
    fresh = torch.empty(logical.shape, dtype=flat.dtype, memory_format=torch.channels_last)
    return fresh.copy_(logical)


def as_memory(tensor: torch.Tensor) -> npt.NDArray[Any]:
    """A tensor [n, ...] as the device holds it: [n, elements], channels last if 4-D."""
    ordered = tensor.permute(0, 2, 3, 1) if tensor.dim() == 4 else tensor
    array: npt.NDArray[Any] = ordered.contiguous().reshape(len(tensor), -1).numpy()
    return array


def lies_channels_last(tensor: torch.Tensor) -> bool:
    """Whether the lowering orders a tensor's four paddings as N H W C instead of N C H W."""
    return bool(is_channels_last(tensor))


def lower(
    name: str,
    module: torch.nn.Module,
    shape: tuple[int, ...],
    calibration: npt.NDArray[np.float32],
    outputs: int = 1,
) -> Lowered:
    """Quantize and lower one model. Raises UnsupportedOperatorError or ExportError."""
    batches = [as_input(batch[None], shape) for batch in calibration]
    _check_border(name, module, batches[0], outputs)
    with quiet(), torch.no_grad():
        try:
            converted = _quantized(module, batches)
        except Exception as error:
            raise _refused(name, "torch.export and quantization", error) from error
        return _lowered(name, converted, batches[0], outputs)


def lower_float(
    name: str, module: torch.nn.Module, shape: tuple[int, ...], outputs: int = 1
) -> Lowered:
    """Lower one model as it is, in float32 from input to output. Raises ExportError."""
    example = as_input(np.zeros((1, int(np.prod(shape))), np.float32), shape)
    _check_border(name, module, example, outputs)
    with quiet(), torch.no_grad():
        try:
            captured = _captured(module, example).module(check_guards=False)
            _fuse_conv_bn_(captured)
            edge = _edge(captured, example)
        except Exception as error:
            raise _refused(name, "torch.export", error) from error
        program = _transformed(name, edge, TARGET)
        return Lowered(
            converted=captured,
            program=program,
            input_quantization=None,
            output_quantization=None,
            early_quantization=None,
            pte_bytes=_pte_bytes(edge, program),
            coverage=count_operators(program.graph),
        )


def lower_tensors(
    name: str,
    module: torch.nn.Module,
    inputs: Sequence[Any],
    calibration: Sequence[Sequence[Any]] = (),
    target: str = TARGET,
    quantizer: Any = None,
) -> Any:
    """Quantize and lower any module with its example inputs; gives the program.

    The border stays as the module has it: float32 tensors, quantized and dequantized by the
    program's own operators. Raises ExportError; what no device runs is for the compiler to refuse.
    """
    with quiet(), torch.no_grad():
        try:
            prepared = prepare_pt2e(
                _captured(module, *inputs).module(check_guards=False),
                quantizer or CortexMQuantizer(),
            )
            for batch in calibration or [inputs]:
                prepared(*copy.deepcopy(tuple(batch)))
            converted = convert_pt2e(prepared)
        except Exception as error:
            raise _refused(name, "torch.export and quantization", error) from error
        return _transformed(name, _edge(converted, *inputs), target)


def lower_direct(module: torch.nn.Module, inputs: Sequence[Any]) -> Any:
    """The program of a module that calls operators of the int8 dialect itself."""
    with quiet(), torch.no_grad():
        return _edge(module, *inputs).exported_program()


_BORDER = {1: "one tensor", 2: "a pair of tensors (early, final)"}


def _check_border(name: str, module: torch.nn.Module, example: torch.Tensor, outputs: int) -> None:
    with torch.no_grad():
        try:
            given = module(example)
        except (TypeError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ExportError(
                f"model {name} does not run on an input {list(example.shape)}: {reason}",
                "make input_shape and forward(self, x) agree",
            ) from error
    if outputs == 1:
        given = (given,)
    good = isinstance(given, tuple) and len(given) == outputs
    if not good or any(not isinstance(one, torch.Tensor) or len(one) != 1 for one in given):
        raise ExportError(
            f"model {name} does not return {_BORDER[outputs]} of batch 1",
            "a package runs models of one input and one answer, or with early_exit=True two",
        )
    if outputs > 1 and given[0].shape != given[1].shape:
        shapes = " and ".join(str(list(one.shape)) for one in given)
        raise ExportError(
            f"the answers of model {name} have different shapes, {shapes}",
            "end both exits in the same number of values: either may become the answer",
        )


def _quantized(module: torch.nn.Module, batches: list[torch.Tensor]) -> torch.nn.Module:
    captured = _captured(module, batches[0])
    prepared = prepare_pt2e(captured.module(check_guards=False), CortexMQuantizer())
    for batch in batches:
        prepared(batch)
    converted: torch.nn.Module = convert_pt2e(prepared)
    return converted


def _captured(module: torch.nn.Module, *examples: Any) -> Any:
    with contextlib.redirect_stderr(io.StringIO()):  # it prints graphs there when it fails
        return torch.export.export(module, examples, strict=True)


def _edge(converted: torch.nn.Module, *examples: Any) -> Any:
    return to_edge(_captured(converted, *examples), compile_config=cortex_m_edge_compile_config())


def _lowered(name: str, converted: torch.nn.Module, example: torch.Tensor, outputs: int) -> Lowered:
    edge = _edge(converted, example)
    inputs, ends = QuantizeInputs(edge, [0]), QuantizeOutputs(edge, list(range(outputs)))
    try:
        edge = edge.transform([inputs, ends])
    except (ValueError, AssertionError, AttributeError) as error:
        # The border is not quantized because an operator beside it is not: name that one.
        _lower_edge(name, _edge(converted, example))
        raise _refused(name, "int8 input and output", error) from error
    program, coverage = _lower_edge(name, edge)
    border = [inputs.quant_args[0], *(ends.dequant_args[index] for index in range(outputs))]
    found = [(_exact_f32(scale), int(zero)) for scale, zero, *_ in border]
    return Lowered(
        converted=converted,
        program=program,
        input_quantization=found[0],
        output_quantization=found[1],
        early_quantization=found[2] if outputs > 1 else None,
        pte_bytes=_pte_bytes(edge, program),
        coverage=coverage,
    )


def _pte_bytes(edge: Any, program: Any) -> int:
    edge._edge_programs["forward"] = copy.deepcopy(program)  # to_executorch() rewrites it
    return len(edge.to_executorch().buffer)


def _lower_edge(name: str, edge: Any) -> tuple[Any, dict[str, int]]:
    program = _transformed(name, edge, TARGET)
    return program, check_supported(program.graph)


def _transformed(name: str, edge: Any, target: str) -> Any:
    config = CortexMTargetConfig.from_target_string(target)
    manager = CortexMPassManager(edge.exported_program(), target_config=config)
    try:
        program = manager.transform()
    except Exception as error:
        _blame_operator(edge.exported_program().graph)
        raise _refused(name, "the Cortex-M lowering", error) from error
    _drop_dead_constants(program)
    return program


def _drop_dead_constants(program: Any) -> None:
    """Remove weights that the lowering replaced; ExecuTorch would serialize them all."""
    kept = {
        spec.arg.name
        for spec in program.graph_signature.input_specs
        if spec.kind is InputKind.USER_INPUT
    }
    for node in list(program.graph.nodes):
        if node.op == "placeholder" and not node.users and node.name not in kept:
            delete_constant_placeholder(program, node)
    program.graph_module.recompile()


def _blame_operator(graph: Any) -> None:
    """After a crash of the lowering: name an operator it has no rule for, if there is one."""
    for node in graph.nodes:
        name = operator_name(node.target)
        if node.op != "call_function" or not name.startswith("aten."):
            continue
        harmless = ("relu", "hardtanh", "max_pool2d", "full")
        if name in SUPPORTED or node.target in AtenToCortexMPass._DIALECT_SUBSTITUTIONS:
            continue
        if not any(word in name for word in harmless):
            raise unsupported(node, "ExecuTorch's Cortex-M lowering has no rule for it")


def _refused(name: str, stage: str, error: BaseException) -> ExportError:
    root = error
    while root.__cause__ is not None:
        root = root.__cause__
    reason = (str(root).strip() or type(root).__name__).splitlines()[0]
    where = last_frame(str(root))
    at = f" (at {where})" if where else ""
    return ExportError(
        f"model {name}: {stage} refused it: {type(root).__name__}: {reason}{at}",
        "simplify the model there; --verbose shows the whole traceback",
    )


def _exact_f32(scale: float) -> float:
    # The device gets the scale as 32 bits; observers make float32 scales, so nothing is lost.
    assert float(np.float32(scale)) == scale, f"scale {scale!r} is not a float32"
    return scale
