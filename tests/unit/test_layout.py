"""Where memory lies is the compiler's decision: what becomes a renaming, and what has to be copied."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from host.bench.conformance import Verdict
from host.bench.parity import read_table, runner, table
from host.compile.graph import Constants, Fields, Kind, Op, Part
from host.compile.importer import import_program
from host.compile.passes import run_passes
from host.compile.records import split_records
from host.compile.strides import natural, rearranged, row_major, same_memory
from host.errors import UsageError
from host.export.lower import lower_tensors


class Function(nn.Module):
    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.fc = nn.Linear(4 * 5 * 6, 2)
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self, self.conv(x))


def kinds(function: Callable[..., torch.Tensor]) -> list[str]:
    x = torch.empty(1, 3, 5, 6, memory_format=torch.channels_last).copy_(torch.randn(1, 3, 5, 6))
    graph = run_passes(import_program(lower_tensors("layout", Function(function).eval(), (x,))))
    named = [op.kind.name for op in graph.ops]
    assert named[0] == "QUANTIZE" and named[-1] == "DEQUANTIZE"
    return named[1:-1]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda _, y: y.permute(0, 2, 3, 1).permute(0, 3, 1, 2), ["CONV2D"]),
        (lambda m, y: m.fc(y.flatten(1)), ["CONV2D", "LINEAR"]),
        (lambda m, y: m.fc(y.permute(0, 2, 3, 1).flatten(1)), ["CONV2D", "LINEAR"]),
        (lambda m, y: m.fc(y.transpose(2, 3).flatten(1)), ["CONV2D", "LINEAR"]),
        (lambda _, y: y.unsqueeze(0).squeeze(0), ["CONV2D"]),
        (lambda _, y: torch.relu(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), ["CONV2D", "CLAMP"]),
        (lambda _, y: torch.minimum(y, torch.tensor(0.5)), ["CONV2D", "CLAMP"]),
    ],
)
def test_views_and_permutations_cost_nothing_where_memory_allows(
    function: Callable[..., torch.Tensor], expected: list[str]
) -> None:
    assert kinds(function) == expected


def test_axes_of_extent_one_do_not_matter() -> None:
    assert natural((1, 8, 1, 1)) == (0, 2, 3, 1)
    assert same_memory((1, 8, 1, 1), (0, 2, 3, 1), row_major((1, 8, 1, 1)))
    assert not same_memory((1, 8, 2, 1), (0, 2, 3, 1), (0, 1, 2, 3))
    assert rearranged((1, 8, 1, 1), (0, 2, 3, 1), (0, 1, 2, 3)).joined().extents == (8,)


def test_a_batch_becomes_a_record_for_each_image() -> None:
    fields = Fields(in_h=2, in_w=3, in_c=4, out_h=1, out_w=2, out_c=5)
    records = split_records([Op("c", Kind.CONV2D, ("x",), "c", "", fields, batch=3)])
    assert [record.input_offsets for record in records] == [(0,), (24,), (48,)]
    assert [record.output_offset for record in records] == [0, 10, 20]
    product = Fields(in_h=2, in_c=3, out_h=2, out_c=4)
    records = split_records([Op("m", Kind.F32_MATMUL, ("x", "y"), "m", "", product, batch=2)])
    assert [record.input_offsets for record in records] == [(0, 0), (24, 48)]
    assert records[1].output_offset == 32


def test_each_part_of_a_concatenation_becomes_a_record() -> None:
    parts = (Part(0, 0, 0, 6, b"a"), Part(1, 4, 6, 2, b"b"))
    cat = Op("c", Kind.STRIDED, ("x", "y"), "c", "", Fields(count=8, param0=1), parts=parts)
    first, second = split_records([cat])
    assert (first.inputs, first.fields.count, first.constants) == (("x",), 6, Constants(b"a"))
    assert (second.inputs, second.input_offsets, second.output_offset) == (("y",), (4,), 6)


def test_the_coverage_table_reads_back() -> None:
    verdicts = {
        "ops/a/one": Verdict("passed"),
        "ops/a/two": Verdict("unsupported", "no | kernel"),
        "ops/b/fallback/one": Verdict("passed"),
    }
    text = table(verdicts, 2)
    assert "2 of 3 cases pass" in text
    assert read_table(text) == {"ops/a/one": True, "ops/a/two": False, "ops/b/fallback/one": True}
    with pytest.raises(UsageError, match="unix has no bare-metal"):
        runner("unix")
