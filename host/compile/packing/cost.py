"""Instructions of the packed kernels on a Cortex-M4, never fewer than they take; for declared times.

Every term counts a loop of the kernel's source at its worst: all windows of a convolution on the
border, each clamp taken. tests/emulated/test_packed_on_m4.py holds the emulated counts against them.
"""

from host.compile.graph import Fields
from host.compile.packing.requantize import Form

CALL = 400  # from the dispatcher to the first group, and back
_OUTPUT = {Form.LIN: 10, Form.RELU: 8, Form.CLAMP: 18}  # requantize, clamp, store


def convolution(f: Fields, taps: int, pairs: int, form: Form) -> int:
    """kernel_gemm.c: groups of three pixels, or of two; at least one more a row tile."""
    groups = -(-(f.row_end - f.row_begin) * f.out_w // 3) + 1
    steps = taps // 4
    product = pairs * (17 * steps + steps // 4 + 6 * _OUTPUT[form] + 15)
    if f.in_c % 4:
        columns = 3 * (150 + 3 * taps + f.k_h * (40 + 2 * f.k_w * f.in_c))
        columns += 3 * f.k_h * f.k_w * 20 if f.dil_w > 1 else 0
    elif f.k_h == f.k_w == 1:
        columns = 150
    else:
        columns = f.k_h * (60 + f.k_w * 90)
    return CALL + groups * (120 + columns + 3 * taps + 30 + product)


def linear(f: Fields, wide: int, quads: int, form: Form) -> int:
    """kernel_gemv.c: two pairs at a time; the first `wide` taps of a row are widened once."""
    steps, byte_steps = -(-wide // 8), (f.in_c - wide) // 8
    quad = 27 * steps + 32 * byte_steps + steps + byte_steps + 4 * (_OUTPUT[form] + 3) + 30
    return CALL + (f.row_end - f.row_begin) * (80 + 16 * steps + quads * quad)


def depthwise(f: Fields, blocks: int, tile: int, form: Form) -> int:
    """kernel_dwconv3x3.c: rows or pairs of rows, tiles of columns, blocks of four channels."""
    pair = f.stride_h == f.stride_w == 1
    rows = f.row_end - f.row_begin
    steps = -(-rows // 2) + 1 if pair else rows
    tiles = -(-f.out_w // tile)
    columns = (tile - 1) * f.stride_w + 3
    turn = (31 if pair else 23) + (2 if pair else 1) * (0 if form is Form.RELU else 11)
    block = 4 * (tile * turn + 26) + 29 * columns + 100
    outside = min(steps, 4) if max(f.pad_t, _overhang(f)) <= 2 else steps  # steps with such rows
    blanks = outside * tiles * blocks * 3 * 4 * (4 * columns + 10)
    return CALL + steps * tiles * (250 + 12 * columns + blocks * block) + blanks


def _overhang(f: Fields) -> int:
    """Rows that the last window reaches below the input."""
    return (f.out_h - 1) * f.stride_h + f.k_h - f.pad_t - f.in_h


def addition(f: Fields, half: bool) -> int:
    """kernel_packed_add.c: element by element, in runs of in_c where the second operand repeats."""
    runs = f.count // f.in_c if f.in_c else 1
    return CALL + runs * 60 + f.count * (23 if half else 30)


def maximum(f: Fields) -> int:
    """kernel_pool.c: windows of four channels."""
    block = 16 + f.k_h * (8 + 7 * f.k_w)
    return CALL + (f.row_end - f.row_begin) * f.out_w * (90 + f.in_c // 4 * block)
