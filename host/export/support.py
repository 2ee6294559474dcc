"""Which operators of the int8 dialect a device can run, and how to say that one cannot.

Nothing falls back to float silently: every operator of a lowered program is looked up here.
"""

import re
from collections import Counter
from pathlib import Path
from typing import Any

from host.boards import ROOT
from host.errors import ExitCode, TactusError

# Dialect operator -> kind of the plan image, "" for those that only rename or reshape memory.
SUPPORTED: dict[str, str] = {
    "cortex_m.quantized_conv2d.default": "conv2d",
    "cortex_m.quantized_conv2d_nhwc.default": "conv2d",
    "cortex_m.quantized_depthwise_conv2d.default": "dwconv2d",
    "cortex_m.quantized_depthwise_conv2d_nhwc.default": "dwconv2d",
    "cortex_m.quantized_transpose_conv2d.default": "tconv2d",
    "cortex_m.quantized_transpose_conv2d_nhwc.default": "tconv2d",
    "cortex_m.quantized_linear.default": "linear",
    "cortex_m.quantized_batch_matmul.default": "matmul",
    "cortex_m.quantized_add.default": "add",
    "cortex_m.quantized_mul.default": "mul",
    "cortex_m.quantized_div.default": "div",
    "cortex_m.minimum.default": "minimum",
    "cortex_m.maximum.default": "maximum",
    "cortex_m.quantized_max_pool2d.default": "maxpool2d",
    "cortex_m.quantized_max_pool2d_nhwc.default": "maxpool2d",
    "cortex_m.quantized_avg_pool2d.default": "avgpool2d",
    "cortex_m.quantized_avg_pool2d_nhwc.default": "avgpool2d",
    "cortex_m.softmax.default": "softmax",
    "cortex_m.quantized_activation.default": "lut",
    "cortex_m.pad.default": "pad",
    "cortex_m.quantize_per_tensor.default": "quantize",
    "cortex_m.dequantize_per_tensor.default": "dequantize",
    "aten.clamp.default": "clamp",
    "aten.view_copy.default": "",
    "aten.squeeze_copy.dims": "",
    "aten.squeeze_copy.dim": "",
    "aten.unsqueeze_copy.default": "",
    "aten.permute_copy.default": "",
    "cortex_m.transpose.default": "",
    "aten.expand_copy.default": "strided",
    "aten.slice_copy.Tensor": "strided",
    "aten.select_copy.int": "strided",
    "aten.cat.default": "strided",
    "dim_order_ops._clone_dim_order.default": "",
    "dim_order_ops._to_dim_order_copy.default": "",
    "aten.split_with_sizes_copy.default": "strided",
    "aten.max_pool2d_with_indices.default": "maxpool2d",
    "getitem": "",
}

# What kernels run in float32. In a model that should be int8 it is a defect of the model or of its
# quantization, and refused; programs that are lowered as they are may have it.
FLOAT: dict[str, str] = {
    "aten.add.Tensor": "f32_binary",
    "aten.sub.Tensor": "f32_binary",
    "aten.mul.Tensor": "f32_binary",
    "aten.div.Tensor": "f32_binary",
    "aten.sigmoid.default": "f32_unary",
    "aten.tanh.default": "f32_unary",
    "aten.relu.default": "f32_clamp",
    "aten.hardtanh.default": "f32_clamp",
    "aten.convolution.default": "f32_conv2d",
    "aten.avg_pool2d.default": "f32_conv2d",
    "aten.linear.default": "f32_conv2d",
    "aten.bmm.default": "f32_matmul",
    "aten.mean.dim": "f32_mean",
    "aten._softmax.default": "f32_softmax",
    "aten.as_strided_copy.default": "",
}

_HINTS = {
    "convolution": "quantize it as a 4-D convolution (use Conv2d with a [n, C, 1, W] input)",
    "batch_norm": "put the BatchNorm right behind a convolution, which absorbs it",
    "max_pool2d": "use MaxPool2d in int8, without dilation and return_indices",
}


_AS_FLOAT = 'or give the task precision = "float32"'


class ExportError(TactusError):
    """torch.export, quantization or the Cortex-M lowering refused a model."""

    exit_code = ExitCode.FAILURE


class UnsupportedOperatorError(ExportError):
    """An operator that no kernel of the device runs; `operator` is its dialect name."""

    def __init__(self, operator: str, source: str, why: str, remedy: str) -> None:
        self.operator = operator
        self.source = source
        super().__init__(f"operator {operator} (from {source}): {why}", remedy)


def operator_name(target: Any) -> str:
    """`cortex_m.quantized_add.default` for the target of an edge node."""
    schema = getattr(target, "_schema", None)
    if schema is None:
        return str(getattr(target, "__name__", target))
    name = str(schema.name).replace("::", ".")
    return f"{name}.{schema.overload_name or 'default'}"


_NOISE = re.compile(r"^(cortex_m|aten|dim_order_ops_)_|quantized_|_default|_per_tensor")


def short_name(node: Any) -> str:
    """`conv2d_1` for the node cortex_m_quantized_conv2d_default_1; unique in its graph."""
    name = str(node.name)
    return f"input_{name}" if node.op == "placeholder" else _NOISE.sub("", name)


def is_compute(node: Any) -> bool:
    """Whether a graph node stands for work (scratch allocations do not)."""
    return node.op == "call_function" and operator_name(node.target) != "alloc"


NO_LINE = "a line that the export did not record"
_MODULE_NOISE = re.compile(r"L\['self'\]\.?|_modules|[\[\]'\"]")
_FRAME = re.compile(r'File "([^"]+)", line (\d+)')


def source_line(node: Any) -> str:
    """Where in the model's Python a node comes from: `path:line: code`, best effort."""
    found = last_frame(node.meta.get("stack_trace") or "")
    if found:
        return found
    modules = [str(path) for path, _ in (node.meta.get("nn_module_stack") or {}).values()]
    path = _MODULE_NOISE.sub("", modules[-1]) if modules else ""
    return f"module {path}" if path else NO_LINE


def last_frame(trace: str) -> str:
    """The innermost frame of a printed traceback that is the user's: `path:line: code` or ""."""
    lines = trace.splitlines()
    found = ""
    for index, line in enumerate(lines):
        frame = _FRAME.search(line)
        if frame is None or "site-packages" in frame[1] or frame[1].startswith("<"):
            continue
        path = Path(frame[1])
        if path.is_relative_to(ROOT / "host" / "export"):
            continue
        shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
        code = lines[index + 1].strip() if index + 1 < len(lines) else ""
        found = f"{shown}:{frame[2]}: {code}".rstrip(": ")
    return found


def unsupported(node: Any, why: str, remedy: str = "") -> UnsupportedOperatorError:
    """The error for one node; a remedy of its own, or what is known to help for its kind."""
    name = operator_name(node.target)
    if not remedy and "modules.rnn" in str(node.meta.get("nn_module_stack")):
        remedy = (
            "use convolutions over time or linear layers; recurrent cells have no kernel in int8, "
            + _AS_FLOAT
        )
    if not remedy:
        remedy = next((hint for word, hint in _HINTS.items() if word in name), "")
    if not remedy and name in FLOAT:
        remedy = f"put it between quantized operators, {_AS_FLOAT}"
    if not remedy:
        both = (sorted({kind for kind in table.values() if kind}) for table in (SUPPORTED, FLOAT))
        whole, real = (", ".join(kinds) for kinds in both)
        remedy = f"express it with what devices run: {whole}; with precision float32: {real}"
    return UnsupportedOperatorError(name, source_line(node), why, remedy)


def check_supported(graph: Any) -> dict[str, int]:
    """Coverage of a lowered int8 graph: operator -> count. Raises UnsupportedOperatorError."""
    for node in graph.nodes:
        if not is_compute(node) or operator_name(node.target) in SUPPORTED:
            continue
        float_work = "float32" in str(getattr(node.meta.get("val"), "dtype", ""))
        why = "stayed in float32" if float_work else "has no kernel on any board"
        raise unsupported(node, why + ', and fallback = "forbid"')
    return count_operators(graph)


def count_operators(graph: Any) -> dict[str, int]:
    """Operator -> count of a lowered graph."""
    names = [operator_name(node.target) for node in graph.nodes if is_compute(node)]
    return dict(sorted(Counter(names).items()))
