"""LINEAR for kernel_gemv.c: quads of output channels, two pairs each."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from host.compile.graph import Constants, Op
from host.compile.packing import cost
from host.compile.packing.pairs import channels_of, pair_up, words_of
from host.compile.packing.requantize import check_scaling, form_of

WIDE_MAX = 128  # TAC_PACKED_LINEAR_WIDE


def pack_linear(op: Op) -> Op:
    """The op with a packed stream. Raises NotPackedError with the condition that fails."""
    f = op.fields
    form = form_of(f)
    check_scaling(form, f.mult0, f.shift0)
    weights = np.frombuffer(op.constants.weights, np.int8).reshape(f.out_c, f.in_c)
    bias = np.frombuffer(op.constants.bias, "<i4") if op.constants.bias else None
    wide = wide_of(f.in_c)
    weights = np.insert(weights, [wide] * (-f.in_c % 8), 0, axis=1)
    channels = channels_of(weights, bias, f.in0_add)
    taps = weights.shape[1]
    pairs = list(pair_up(channels))
    if len(pairs) % 2:
        pairs.append(pairs[-1])  # computed twice: the same bytes at the same place
    stream: list[npt.NDArray[np.int32]] = []
    for at in range(0, len(pairs), 2):
        quad = pairs[at : at + 2]
        heads = [p.lower | (p.lower if p.upper is None else p.upper) << 16 for p in quad]
        words = [words_of(channels, pair, taps) for pair in quad]
        stream.append(np.array(heads, np.uint32).view(np.int32))
        for both, bias_low, _ in words:
            stream.append(np.array([both, bias_low], np.int32))
        blocks = np.stack([w.reshape(-1, 4) for _, _, w in words], axis=1)
        stream.append(blocks.reshape(-1))
    return replace(
        op,
        fields=replace(f, count=len(pairs) // 2),
        constants=Constants(weights=np.concatenate(stream).astype("<i4").tobytes()),
        layout=1,
        kernel=f"dsp gemv {form.value}",
        instructions=cost.linear(f, wide, len(pairs) // 2, form),
    )


def wide_of(in_c: int) -> int:
    """First taps of a row that are widened once: tac_packed_linear_wide()."""
    return in_c if in_c <= WIDE_MAX else in_c - -(-(in_c - WIDE_MAX) // 32) * 32


def places_of(op: Op) -> npt.NDArray[np.int64]:
    """[quads, 4]: the output channels of each step of a packed op, in the order of its stream."""
    f = op.fields
    stream = np.frombuffer(op.constants.weights, "<u4").reshape(f.count, -1)
    heads = stream[:, :2].astype(np.int64)
    return np.concatenate([heads & 0xFFFF, heads >> 16], axis=1)
