"""DWCONV2D: 3x3 for kernel_dwconv3x3.c; one input channel (a stem) is an ordinary convolution."""

from dataclasses import replace

import numpy as np

from host.compile.graph import Constants, Fields, Kind, Op
from host.compile.packing import cost
from host.compile.packing.convolution import pack_convolution
from host.compile.packing.pairs import LOWER_LIMIT
from host.compile.packing.refusal import NotPackedError
from host.compile.packing.requantize import Form, check_scaling, form_of, rounding

COLUMNS_MAX = 34  # TAC_PACKED_DW_COLUMNS
COLUMNS_STRIDED_MAX = 15  # TAC_PACKED_DW_COLUMNS_STRIDED


def pack_depthwise(op: Op) -> Op:
    """The op with a packed stream. Raises NotPackedError with the condition that fails."""
    f = op.fields
    if f.in_c == 1:
        return _as_convolution(op)
    if f.in_c != f.out_c:
        raise NotPackedError(f"a channel multiplier of {f.out_c // f.in_c}")
    if (f.k_h, f.k_w) != (3, 3) or (f.dil_h, f.dil_w) != (1, 1):
        raise NotPackedError(f"a {f.k_h}x{f.k_w} kernel, dilation {f.dil_h}x{f.dil_w}")
    if f.out_c < 4:
        raise NotPackedError(f"{f.out_c} channels, fewer than 4")
    weights = np.frombuffer(op.constants.weights, np.int8).reshape(3, 3, f.out_c)
    wide = weights.astype(np.int64)
    bias = f.in0_add * wide.sum(axis=(0, 1))
    if op.constants.bias:
        bias = bias + np.frombuffer(op.constants.bias, "<i4")
    bound = int((np.abs(bias) + 128 * np.abs(wide).sum(axis=(0, 1))).max())
    if bound >= LOWER_LIMIT:
        raise NotPackedError(f"an accumulator of up to {bound}")
    mult = np.frombuffer(op.constants.mult, "<i4")
    shift = np.frombuffer(op.constants.shift, "<i4")
    form = form_of(f)
    records = []
    for channel in range(f.out_c):
        check_scaling(form, int(mult[channel]), int(shift[channel]))
        by_column = weights[(0, 1, 1, 2), :, channel].T
        scale = rounding(form, f.out_add, int(mult[channel]), int(shift[channel]), False)
        numbers = [2 * int(bias[channel]), scale.multiplier, scale.constant]
        taps = np.ascontiguousarray(by_column).reshape(-1).tobytes()
        records.append(taps + np.array(numbers, "<i4").tobytes())
    starts = [*range(0, f.out_c - 3, 4)]
    if f.out_c % 4:
        starts.append(f.out_c - 4)
    stream = b"".join(record for start in starts for record in records[start : start + 4])
    return replace(
        op,
        fields=replace(f, count=len(starts)),
        constants=Constants(weights=stream),
        layout=1,
        scratch_bytes=scratch_bytes(f),
        kernel=f"dsp dw3x3 {'relu' if form is Form.RELU else 'clamp'}",
        instructions=cost.depthwise(f, len(starts), tile_of(f), form),
    )


def scratch_bytes(f: Fields) -> int:
    """tac_packed_scratch_bytes(): four planes of two words a column, for a tile of outputs."""
    return 32 * ((tile_of(f) - 1) * f.stride_w + 3)


def tile_of(f: Fields) -> int:
    """Output columns computed at a time: tac_packed_dw_tile()."""
    columns = COLUMNS_MAX if f.stride_w == 1 else COLUMNS_STRIDED_MAX
    most = (columns - 3) // f.stride_w + 1
    tiles = -(-f.out_w // most)
    return -(-f.out_w // tiles)


def _as_convolution(op: Op) -> Op:
    """Weights [1, KH, KW, OC] become OHWI."""
    weights = np.frombuffer(op.constants.weights, np.int8).reshape(-1, op.fields.out_c)
    turned = np.ascontiguousarray(weights.T).tobytes()
    constants = replace(op.constants, weights=turned)
    return pack_convolution(replace(op, kind=Kind.CONV2D, constants=constants))
