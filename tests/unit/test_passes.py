"""Each compiler pass by itself: what it removes, what it leaves, and that results stay exact."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.ao.quantization.fx import _decomposed as decomposed

from host.compile.graph import Constants, Fields, Graph, Kind, Op, Tensor
from host.compile.passes.drop_noops import drop_noops
from host.compile.passes.fold_pad import fold_pad
from host.compile.passes.fold_permute import fold_permute
from host.compile.passes.fold_requantize import fold_requantize
from host.compile.strides import rearranged

CONV = Fields(
    in_h=7, in_w=8, in_c=2, out_h=5, out_w=6, out_c=3, k_h=3, k_w=3, stride_h=1, stride_w=1,
    dil_h=1, dil_w=1, row_end=5, in0_add=-9, act_min=-128, act_max=127,
)  # fmt: skip
PAD = Fields(
    in_h=5, in_w=5, in_c=2, out_h=7, out_w=8, out_c=2, pad_t=1, pad_l=2, row_end=7, param0=9
)


def chain(*ops: Op, sizes: int = 8) -> Graph:
    names = {name for op in ops for name in (*op.inputs, op.output)}
    tensors = {name: Tensor(name, sizes, "int8") for name in sorted(names)}
    return Graph(tensors, ops, (ops[0].inputs[0],), (ops[-1].output,))


def op(
    kind: Kind, reads: str, writes: str, fields: Fields | None = None, weights: bytes = b""
) -> Op:
    return Op(writes, kind, (reads,), writes, "", fields or Fields(), Constants(weights=weights))


def kinds(graph: Graph) -> list[Kind]:
    return [item.kind for item in graph.ops]


def test_views_full_clamps_and_zero_pads_become_aliases() -> None:
    same = Fields(in_h=2, in_w=2, in_c=2, out_h=2, out_w=2, out_c=2, row_end=2)
    graph = drop_noops(
        chain(
            op(Kind.VIEW, "x", "a"),
            op(Kind.CLAMP, "a", "b", Fields(act_min=0, act_max=127, count=8)),
            op(Kind.CLAMP, "b", "c", Fields(act_min=-128, act_max=127, count=8)),
            op(Kind.PAD, "c", "d", same),
            op(Kind.LUT, "d", "e", weights=np.arange(-128, 128, dtype=np.int8).tobytes()),
            op(Kind.CLAMP, "e", "f", Fields(act_min=1, act_max=2, count=8)),
            op(Kind.VIEW, "f", "g"),
        )
    )
    assert [(item.kind, item.inputs, item.output) for item in graph.ops] == [
        (Kind.CLAMP, ("x",), "b"),
        (Kind.CLAMP, ("b",), "f"),
    ]
    assert graph.outputs == ("f",)
    assert set(graph.tensors) == {"x", "b", "f"}


def test_a_model_that_only_renames_its_input_copies_it() -> None:
    graph = drop_noops(chain(op(Kind.VIEW, "x", "y"), sizes=12))
    assert kinds(graph) == [Kind.COPY]
    assert (graph.ops[0].fields.count, graph.outputs) == (12, ("y",))


def test_padding_with_the_zero_point_folds_into_the_convolution() -> None:
    graph = fold_pad(chain(op(Kind.PAD, "x", "p", PAD), op(Kind.CONV2D, "p", "y", CONV)))
    (conv,) = graph.ops
    assert (conv.inputs, conv.fields.in_h, conv.fields.in_w) == (("x",), 5, 5)
    assert (conv.fields.pad_t, conv.fields.pad_l) == (1, 2)
    assert (conv.fields.out_h, conv.fields.out_w) == (5, 6)


@pytest.mark.parametrize(
    "pad",
    [
        Fields(in_h=5, in_w=5, in_c=2, out_h=7, out_w=8, out_c=2, pad_t=1, pad_l=2, param0=8),
        Fields(in_h=9, in_w=5, in_c=2, out_h=7, out_w=8, out_c=2, pad_t=-1, pad_l=2, param0=9),
        Fields(in_h=9, in_w=5, in_c=2, out_h=7, out_w=8, out_c=2, pad_t=0, pad_l=2, param0=9),
    ],
    ids=["another value", "crops above", "crops below"],
)
def test_padding_that_a_convolution_cannot_express_stays(pad: Fields) -> None:
    graph = chain(op(Kind.PAD, "x", "p", pad), op(Kind.CONV2D, "p", "y", CONV))
    assert fold_pad(graph) == graph


def test_padding_with_another_reader_stays_for_that_reader() -> None:
    both = chain(
        op(Kind.PAD, "x", "p", PAD),
        op(Kind.CONV2D, "p", "c", CONV),
        op(Kind.MAXPOOL2D, "p", "y"),
    )
    graph = fold_pad(both)
    assert kinds(graph) == [Kind.PAD, Kind.CONV2D, Kind.MAXPOOL2D]
    assert graph.ops[1].inputs == ("x",)


SHAPE = (2, 3, 2)


def permute(order: tuple[int, ...]) -> Op:
    """A PERMUTE from row-major SHAPE to another order of its axes."""
    table = rearranged(SHAPE, (0, 1, 2), order).table()
    return op(Kind.PERMUTE, "x", "p", Fields(count=12, param0=1), table)


@given(st.permutations(range(3)), st.integers(0, 2**32 - 1))
def test_a_linear_layer_takes_its_weights_in_the_order_of_the_map(
    order: list[int], seed: int
) -> None:
    random = np.random.default_rng(seed)
    weights = random.integers(-128, 128, (5, 12)).astype(np.int8)
    x = random.integers(-128, 128, 12).astype(np.int8)
    graph = fold_permute(
        chain(
            permute(tuple(order)),
            op(Kind.LINEAR, "p", "y", Fields(in_h=1, in_c=12, out_c=5), weights.tobytes()),
        )
    )
    (linear,) = graph.ops
    folded = np.frombuffer(linear.constants.weights, np.int8).reshape(5, 12)
    assert linear.inputs == ("x",)
    moved = x.reshape(SHAPE).transpose(order).reshape(-1)
    np.testing.assert_array_equal(
        folded.astype(int) @ x.astype(int), weights.astype(int) @ moved.astype(int)
    )


def test_a_reordering_that_no_linear_layer_takes_is_copied() -> None:
    reorder = permute((2, 0, 1))
    two_rows = op(Kind.LINEAR, "p", "y", Fields(in_h=2, in_c=6, out_c=5))
    for reader in (op(Kind.CLAMP, "p", "y"), two_rows):
        graph = fold_permute(chain(reorder, reader))
        assert kinds(graph) == [Kind.STRIDED, reader.kind]
    assert kinds(fold_permute(chain(reorder))) == [Kind.STRIDED]


@given(
    st.floats(2**-13, 8, width=32), st.floats(2**-13, 8, width=32),
    st.integers(-128, 127), st.integers(-128, 127),
)  # fmt: skip
def test_requantizing_through_float_is_the_table_torch_computes(
    scale_in: float, scale_out: float, zero_in: int, zero_out: int
) -> None:
    before = Fields(scale=scale_in, in0_add=-zero_in, count=8)
    after = Fields(
        scale=float(np.float32(1 / scale_out)), out_add=zero_out, act_min=-128, act_max=127, count=8
    )
    graph = fold_requantize(
        chain(op(Kind.DEQUANTIZE, "x", "f", before), op(Kind.QUANTIZE, "f", "y", after))
    )
    (lut,) = graph.ops
    assert (lut.kind, lut.inputs, set(graph.tensors)) == (Kind.LUT, ("x",), {"x", "y"})
    every = torch.arange(-128, 128).to(torch.int8)
    real = decomposed.dequantize_per_tensor(every, scale_in, zero_in, -128, 127, torch.int8)
    expected = decomposed.quantize_per_tensor(real, scale_out, zero_out, -128, 127, torch.int8)
    assert lut.constants.weights == expected.numpy().tobytes()


def test_a_float_tensor_with_another_reader_survives() -> None:
    graph = fold_requantize(
        chain(
            op(Kind.DEQUANTIZE, "x", "f", Fields(scale=1.0, count=8)),
            op(Kind.QUANTIZE, "f", "q", Fields(scale=1.0, act_min=-128, act_max=127, count=8)),
            op(Kind.COPY, "f", "y"),
        )
    )
    assert kinds(graph) == [Kind.DEQUANTIZE, Kind.LUT, Kind.COPY]
