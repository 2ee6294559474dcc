"""Runs a lowered program with ExecuTorch's own reference operators: the bit-exact oracle."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from host.export.lower import as_input, as_memory
from host.export.support import operator_name, short_name

BATCH = 128  # windows per interpreter run
_DILATION_ARGUMENT = 5
_CONVOLUTIONS = (
    "cortex_m.quantized_conv2d.default",
    "cortex_m.quantized_depthwise_conv2d.default",
)


def constants(program: Any) -> dict[str, torch.Tensor]:
    """Placeholder name -> tensor, for all constants of an exported program."""
    signature = program.graph_signature
    found: dict[str, torch.Tensor] = {}
    tables = (
        signature.inputs_to_parameters,
        signature.inputs_to_buffers,
        signature.inputs_to_lifted_tensor_constants,
    )
    for table in tables:
        for placeholder, target in table.items():
            held = program.state_dict if target in program.state_dict else program.constants
            found[placeholder] = held[target].detach()
    return found


def user_outputs(program: Any) -> tuple[Any, ...]:
    """The nodes that the model returns; an exported program may also return updated buffers."""
    wanted = set(program.graph_signature.user_outputs)
    output = next(node for node in program.graph.nodes if node.op == "output")
    return tuple(node for node in output.args[0] if getattr(node, "name", None) in wanted)


def run_program(program: Any, inputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """The outputs of a program for one set of tensors, as the model takes and gives them."""
    held = constants(program)
    given = iter(inputs)
    arguments = [
        held[node.name] if node.name in held else next(given)
        for node in program.graph.nodes
        if node.op == "placeholder"
    ]
    returned = next(node for node in program.graph.nodes if node.op == "output").args[0]
    with torch.no_grad():
        outputs = _Undilated(program.graph_module).run(*arguments)
    return tuple(outputs[returned.index(node)] for node in user_outputs(program))


class _Undilated(torch.fx.Interpreter):  # type: ignore[misc]
    """Runs a program with the reference operators, dilated convolutions included."""

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        if operator_name(target) in _CONVOLUTIONS:
            args = _undilated(args)
        return super().call_function(target, args, kwargs)


class _Interpreter(_Undilated):
    """Runs the program, written for batch 1, on any batch; keeps each result if asked to."""

    def __init__(self, module: torch.fx.GraphModule, batch: int, keep: bool) -> None:
        super().__init__(module)
        self.batch = batch
        self.kept: dict[str, torch.Tensor] | None = {} if keep else None

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        name = operator_name(target)
        if name == "aten.view_copy.default":
            args = (args[0], [self.batch, *args[1][1:]])
        return super().call_function(target, args, kwargs)

    def run_node(self, n: torch.fx.Node) -> Any:
        result = super().run_node(n)
        if self.kept is not None and n.op == "call_function" and torch.is_tensor(result):
            self.kept[short_name(n)] = result
        return result


def _undilated(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same convolution with zeros between its taps: torch has no dilated int32 one."""
    dilation = [int(step) for step in args[_DILATION_ARGUMENT]]
    if dilation == [1, 1]:
        return args
    weight = args[1]  # rows and columns are axes 1 and 2 of both layouts
    first, height, width, last = weight.shape
    spread_shape = (first, (height - 1) * dilation[0] + 1, (width - 1) * dilation[1] + 1, last)
    spread = weight.new_zeros(spread_shape)
    spread[:, :: dilation[0], :: dilation[1]] = weight
    changed = list(args)
    changed[1], changed[_DILATION_ARGUMENT] = spread, [1, 1]
    return tuple(changed)


def _broadcasts(program: Any) -> bool:
    """Whether an addition repeats an operand; the reference does that for batch 1 only."""
    additions = (
        node
        for node in program.graph.nodes
        if operator_name(node.target) == "cortex_m.quantized_add.default"
    )
    return any(
        node.args[0].meta["val"].shape != node.args[4].meta["val"].shape for node in additions
    )


def _run(
    program: Any, inputs: npt.NDArray[Any], shape: tuple[int, ...], keep: bool
) -> tuple[Sequence[torch.Tensor], dict[str, torch.Tensor] | None]:
    held = constants(program)
    given = as_input(inputs, shape)
    arguments = [
        held.get(node.name, given) for node in program.graph.nodes if node.op == "placeholder"
    ]
    interpreter = _Interpreter(program.graph_module, len(inputs), keep)
    with torch.no_grad():
        outputs = interpreter.run(*arguments)
    return outputs, interpreter.kept


def run_reference(
    program: Any, inputs: npt.NDArray[Any], shape: tuple[int, ...], output: int = 0
) -> npt.NDArray[Any]:
    """int8 or float32 [n, inputs] -> that output of the same, [n, outputs]; in device memory order."""
    # A float program's reshapes keep no trace of the batch: it runs window by window.
    step = 1 if inputs.dtype != np.int8 or _broadcasts(program) else BATCH
    parts = [
        as_memory(_run(program, inputs[first : first + step], shape, keep=False)[0][output])
        for first in range(0, len(inputs), step)
    ]
    return np.concatenate(parts)


def trace_reference(
    program: Any, window: npt.NDArray[Any], shape: tuple[int, ...]
) -> dict[str, npt.NDArray[Any]]:
    """Each node's result for one window [input bytes], flat in device memory order, by op name."""
    _, kept = _run(program, window[None], shape, keep=True)
    assert kept is not None
    return {
        name: as_memory(result)[0]
        for name, result in kept.items()
        if result.dim() > 0 and len(result) == 1
    }
