// SPDX-License-Identifier: MIT
// PAD: constant padding or cropping of rows and columns.
#include "engine/kernel.h"

void tac_kernel_pad(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    (void)image;
    const int32_t in_w = op->in_w, out_w = op->out_w;
    const uint32_t pixel = op->in_c, in_row = op->in_w * pixel;
    // Output columns first..last-1 come from the input, `skip` columns into it.
    const int32_t first = tac_clamp(op->pad_l, 0, out_w);
    const int32_t last = tac_clamp(op->pad_l + in_w, first, out_w);
    const uint32_t skip = last > first ? (uint32_t)(first - op->pad_l) : 0;
    const uint32_t left = (uint32_t)first * pixel, middle = (uint32_t)(last - first) * pixel;
    const uint32_t right = (uint32_t)(out_w - last) * pixel;
    const uint32_t row = (uint32_t)out_w * pixel;
    uint8_t *out = arena + op->out + op->row_begin * row;
    for (int32_t oy = op->row_begin; oy < op->row_end; oy++) {
        int32_t iy = oy - op->pad_t;
        if (iy < 0 || iy >= op->in_h) {
            memset(out, op->param0, row);
        } else {
            const uint8_t *in = arena + op->in0 + (uint32_t)iy * in_row + skip * pixel;
            memset(out, op->param0, left);
            memmove(out + left, in, middle);
            memset(out + left + middle, op->param0, right);
        }
        out += row;
    }
}
