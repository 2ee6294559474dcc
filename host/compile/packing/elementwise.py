"""ADD and the pools: nothing to pack, but conditions to prove. kernel_packed_add.c, kernel_pool.c."""

from dataclasses import replace

from host.compile.graph import Op
from host.compile.packing import cost
from host.compile.packing.refusal import NotPackedError
from host.compile.packing.requantize import Form, check_scaling

LEFT_SHIFT = 20
SIDE_SHIFT_MAX = 30
HALF = 1 << 30
TAPS_MAX = 178  # TAC_PACKED_POOL_TAPS_MAX
SCALES = (2.0**-60, 2.0**60)  # no float of the sum leaves the normal range


def pack_add(op: Op) -> Op:
    """ADD with the exact short rounding. Raises NotPackedError with the condition that fails."""
    f = op.fields
    if f.param0 != LEFT_SHIFT:
        raise NotPackedError(f"a left shift of {f.param0}")
    for mult, shift in ((f.mult0, f.shift0), (f.mult1, f.shift1)):
        if mult < 0:
            raise NotPackedError(f"a negative multiplier, {mult}")
        if not 0 <= -shift <= SIDE_SHIFT_MAX or (shift == 0 and mult != HALF):
            raise NotPackedError(f"an operand scaled by {mult} * 2^{shift - 31}")
    check_scaling(Form.LIN, f.mult2, f.shift2)
    half = 0 in (f.shift0, f.shift1)
    kernel = "dsp add " + ("halves" if f.shift0 == f.shift1 == 0 else "half" if half else "any")
    return replace(op, layout=1, kernel=kernel, instructions=cost.addition(f, half))


def pack_average(op: Op) -> Op:
    """AVGPOOL2D on integers. Raises NotPackedError with the condition that fails."""
    f = op.fields
    if f.in_c % 4:
        raise NotPackedError(f"{f.in_c} channels, no multiple of 4")
    if f.k_h * f.k_w > TAPS_MAX:
        raise NotPackedError(f"{f.k_h * f.k_w} taps, more than {TAPS_MAX}")
    if not SCALES[0] <= f.scale <= SCALES[1]:
        raise NotPackedError(f"a scale of {f.scale}")
    return replace(op, layout=1, kernel="dsp average")


def pack_maximum(op: Op) -> Op:
    """MAXPOOL2D four channels at a time. Raises NotPackedError with the condition that fails."""
    f = op.fields
    if f.in_c % 4:
        raise NotPackedError(f"{f.in_c} channels, no multiple of 4")
    return replace(op, layout=1, kernel="dsp maximum", instructions=cost.maximum(f))
