// SPDX-License-Identifier: MIT
// MATMUL: two activations, the right one transposed, so that both are read along their rows.
// One MAC: two loads, two additions, one multiply-accumulate.
#include "engine/kernel.h"

static uint32_t dot(const int8_t *x, int32_t x_add, const int8_t *y, int32_t y_add,
                    uint32_t count) {
    uint32_t acc = 0;
#pragma GCC unroll 4
    for (uint32_t k = 0; k < count; k++) {
        acc += (uint32_t)((x[k] + x_add) * (y[k] + y_add));
    }
    return acc;
}

void tac_kernel_matmul(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    (void)image;
    const int32_t mult = op->mult0, shift = op->shift0, out_add = op->out_add;
    const int32_t low = op->act_min, high = op->act_max;
    const uint32_t inner = op->in_c, columns = op->out_c;
    const int8_t *x = (const int8_t *)(arena + op->in0) + op->row_begin * inner;
    int8_t *out = (int8_t *)(arena + op->out) + op->row_begin * columns;
    for (uint32_t row = op->row_begin; row < op->row_end; row++) {
        const int8_t *y = (const int8_t *)(arena + op->in1);
        for (uint32_t column = 0; column < columns; column++) {
            int32_t acc = (int32_t)dot(x, op->in0_add, y, op->in1_add, inner);
            int32_t z = tac_requantize(acc, mult, shift);
            *out++ = (int8_t)tac_clamp(tac_wrapping_add(z, out_add), low, high);
            y += inner;
        }
        x += inner;
    }
}
