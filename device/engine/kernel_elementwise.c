// SPDX-License-Identifier: MIT
// ADD, CLAMP, COPY, LUT: `count` elements, each read before it is written, so in place is allowed.
#include "engine/kernel.h"

static void add_run(const tac_op_t *op, const int8_t *a, const int8_t *b, int8_t *out,
                    uint32_t count) {
    const int32_t a_add = op->in0_add, b_add = op->in1_add, out_add = op->out_add;
    const int32_t a_mult = op->mult0, b_mult = op->mult1, out_mult = op->mult2;
    const int32_t a_shift = op->shift0, b_shift = op->shift1, out_shift = op->shift2;
    const int32_t low = op->act_min, high = op->act_max;
    const int32_t unit = 1 << op->param0;
    for (uint32_t i = 0; i < count; i++) {
        int32_t x = tac_requantize((a[i] + a_add) * unit, a_mult, a_shift);
        int32_t y = tac_requantize((b[i] + b_add) * unit, b_mult, b_shift);
        int32_t sum = (int32_t)((uint32_t)x + (uint32_t)y);
        int32_t z = tac_requantize(sum, out_mult, out_shift);
        out[i] = (int8_t)tac_clamp(tac_wrapping_add(z, out_add), low, high);
    }
}

void tac_kernel_add(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    (void)image;
    const int8_t *a = (const int8_t *)(arena + op->in0);
    const int8_t *b = (const int8_t *)(arena + op->in1);
    int8_t *out = (int8_t *)(arena + op->out);
    const uint32_t run = op->in_c ? op->in_c : op->count; // length of in1
    for (uint32_t done = 0; done < op->count; done += run) {
        add_run(op, a + done, b, out + done, run);
    }
}

void tac_kernel_clamp(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    (void)image;
    const int8_t *in = (const int8_t *)(arena + op->in0);
    int8_t *out = (int8_t *)(arena + op->out);
    const int32_t low = op->act_min, high = op->act_max;
    const uint32_t count = op->count;
    for (uint32_t i = 0; i < count; i++) {
        out[i] = (int8_t)tac_clamp(in[i], low, high);
    }
}

void tac_kernel_copy(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    (void)image;
    memmove(arena + op->out, arena + op->in0, op->count);
}

void tac_kernel_lut(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    const int8_t *table = tac_weights(op, image) + 128;
    const int8_t *in = (const int8_t *)(arena + op->in0);
    int8_t *out = (int8_t *)(arena + op->out);
    const uint32_t count = op->count;
    for (uint32_t i = 0; i < count; i++) {
        out[i] = table[in[i]];
    }
}
