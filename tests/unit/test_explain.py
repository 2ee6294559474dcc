"""`build --explain`: every figure of every op, in full, on the narrowest terminal there is."""

from __future__ import annotations

import io
from dataclasses import asdict

import pytest
import torch
from rich.console import Console
from small_models import spec_of
from torch import nn

from host.boards import load_board
from host.compile.compile import compile_model
from host.compile.graph import Kind
from host.compile.result import SUMS_OF_PRODUCTS, CompiledModel, OpReport
from host.export.program import export_model
from host.monitor.op_tables import op_tables


class Small(nn.Module):
    """[1, 3, 8, 8]: one convolution that packs, a depthwise one that does not, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
        self.depth = nn.Conv2d(8, 8, (1, 5), groups=8)
        self.end = nn.Linear(8 * 8 * 4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(torch.flatten(self.depth(self.stem(x)), 1))


@pytest.fixture(scope="module")
def compiled() -> CompiledModel:
    torch.manual_seed(3)
    spec = spec_of(Small().eval(), (1, 3, 8, 8), 0)
    return compile_model(export_model(spec), load_board("qemu-m4"))


def text_of(ops: list[OpReport]) -> str:
    out = io.StringIO()
    Console(file=out, width=80).print(op_tables("small", [asdict(op) for op in ops]))
    return out.getvalue()


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line.strip()]


def test_macs_traffic_time_offset_and_kernel_of_each_op(compiled: CompiledModel) -> None:
    ops = {op.kind: op for op in compiled.ops}
    taps = {"conv2d": 8 * 8 * 8 * 27, "dwconv2d": 8 * 4 * 8 * 5, "linear": 256 * 4}
    weights = {"conv2d": 8 * 27, "dwconv2d": 8 * 5, "linear": 256 * 4}
    given = {"conv2d": 8 * 8 * 3, "dwconv2d": 8 * 8 * 8, "linear": 256}
    assert set(ops) == set(taps)
    text = rows(text_of(list(compiled.ops)))
    for kind, op in ops.items():
        assert op.units == taps[kind]
        # Tables of scalings, and what packing adds, come on top of tensors and weights.
        least = given[kind] + weights[kind]
        assert least <= op.bytes_read <= 2 * least + 200, kind
        assert op.bytes_written == {"conv2d": 512, "dwconv2d": 256, "linear": 4}[kind]
        named = f"{op.index} {op.name} {op.kernel}"  # a segment's note comes behind
        shape = "x".join(map(str, op.out_shape))
        figures = (op.units, op.bytes_read, op.bytes_written, op.wcet_us, op.out_offset)
        assert [str(op.index), kind, shape, *(f"{value:,}" for value in figures)] in text
        assert any(" ".join(row).startswith(named) for row in text)
    assert "dsp gemm" in ops["conv2d"].kernel
    assert "plain C (a 1x5 kernel" in ops["dwconv2d"].kernel
    moved = (
        sum(getattr(op, key) for op in compiled.ops) for key in ("bytes_read", "bytes_written")
    )
    sums = (sum(taps.values()), *moved, sum(op.steps * op.wcet_us for op in compiled.ops))
    assert ["total", *(f"{value:,}" for value in sums)] in text


def test_nothing_is_cut_off_in_80_columns() -> None:
    wide = OpReport(
        *(1023, "f32_matmul", "a_tensor_with_a_long_name_1", 98_765_432, 7_654_321),
        *((112, 112, 24), 65_520, "plain C (a kernel of 11x11 with dilation 3x3, no packing)"),
        *(456_789, 456_789),
    )
    text = text_of([wide])
    assert "\u2026" not in text
    for value in ("1023", "f32_matmul", "98,765,432", "7,654,321", "112x112x24", "65,520"):
        assert value in text
    assert text.count("456,789") == 4


def test_macs_are_counted_for_sums_of_products_only() -> None:
    assert {kind.name.lower() for kind in Kind} >= SUMS_OF_PRODUCTS
    text = rows(text_of([OpReport(0, "add", "sum", 640, 50, (640,), 16)]))
    assert ["0", "add", "640", "-", "0", "0", "50", "16"] in text
