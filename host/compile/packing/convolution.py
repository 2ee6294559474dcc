"""CONV2D for kernel_gemm.c: pairs of output channels, interleaved with all their parameters."""

from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from host.compile.graph import Constants, Fields, Op
from host.compile.packing import cost
from host.compile.packing.pairs import channels_of, pair_up, words_of
from host.compile.packing.refusal import NotPackedError
from host.compile.packing.requantize import (
    Form,
    check_scaling,
    form_of,
    fused,
    fused_fits,
    rounding,
)

CHANNELS_MAX = 2048  # TAC_PACKED_CHANNELS_MAX


def pack_convolution(op: Op) -> Op:
    """The op with a packed stream. Raises NotPackedError with the condition that fails."""
    f = op.fields
    if f.param0:
        raise NotPackedError(f"{f.param0} groups")
    if f.out_c > CHANNELS_MAX:
        raise NotPackedError(f"{f.out_c} output channels, more than {CHANNELS_MAX}")
    weights = np.frombuffer(op.constants.weights, np.int8).reshape(f.out_c, -1)
    bias = np.frombuffer(op.constants.bias, "<i4") if op.constants.bias else None
    mult = np.frombuffer(op.constants.mult, "<i4")
    shift = np.frombuffer(op.constants.shift, "<i4")
    form = form_of(f)
    for m, s in zip(mult, shift, strict=True):
        check_scaling(form, int(m), int(s))
    channels = channels_of(weights, bias, f.in0_add)
    scale = partial(rounding, form, f.out_add)
    if form is Form.RELU:
        scale = partial(fused, f.out_add)
        if not all(map(fused_fits, shift.tolist(), channels.bound.tolist())):
            form, f = Form.LIN, replace(f, param0=1)
            scale = partial(rounding, form, f.out_add)
    taps = padded_taps(f)
    pairs = pair_up(channels)
    stream: list[npt.NDArray[np.int32]] = []
    for pair in pairs:
        upper = pair.lower if pair.upper is None else pair.upper
        low, high = (
            scale(int(mult[c]), int(shift[c]), is_upper)
            for c, is_upper in ((pair.lower, False), (upper, True))
        )
        both, bias_low, words = words_of(channels, pair, taps)
        places = pair.lower | low.shift << 11 | upper << 16 | high.shift << 27
        stream.append(np.array([both, bias_low], np.int32))
        stream.append(words)
        tail = [low.multiplier, low.constant, high.multiplier, high.constant]
        stream.append(np.array(tail, np.int32))
        stream.append(np.array([places], np.uint32).view(np.int32))
    packed = np.concatenate(stream).astype("<i4").tobytes()
    return replace(
        op,
        fields=replace(f, count=len(pairs)),
        constants=Constants(weights=packed),
        layout=1,
        scratch_bytes=scratch_bytes(f),
        kernel=f"dsp gemm {form.value}",
        instructions=cost.convolution(f, taps, len(pairs), form),
    )


def padded_taps(f: Fields) -> int:
    """Taps of one output, rounded up to 4: tac_packed_taps()."""
    return -(-f.k_h * f.k_w * f.in_c // 4) * 4


def has_border(f: Fields) -> bool:
    """Whether some window reaches past the input: tac_packed_border()."""
    return (
        f.pad_t > 0
        or f.pad_l > 0
        or (f.out_h - 1) * f.stride_h + (f.k_h - 1) * f.dil_h - f.pad_t >= f.in_h
        or (f.out_w - 1) * f.stride_w + (f.k_w - 1) * f.dil_w - f.pad_l >= f.in_w
    )


def scratch_bytes(f: Fields) -> int:
    """tac_packed_scratch_bytes()."""
    taps = padded_taps(f)
    if f.in_c % 4:
        return 7 * taps
    return 6 * taps + (f.in_c if has_border(f) else 0)
