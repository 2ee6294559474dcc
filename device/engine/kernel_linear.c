// SPDX-License-Identifier: MIT
// LINEAR: fully connected, weights [out_c, in_c], four outputs at a time.
#include "engine/kernel.h"

void tac_kernel_linear(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    const int32_t *bias = tac_table(image, op->bias);
    const int32_t mult = op->mult0, shift = op->shift0;
    const int32_t add = op->in0_add, out_add = op->out_add;
    const int32_t low = op->act_min, high = op->act_max;
    const uint32_t in_c = op->in_c, out_c = op->out_c;
    const int8_t *x = (const int8_t *)(arena + op->in0) + op->row_begin * in_c;
    int8_t *out = (int8_t *)(arena + op->out) + op->row_begin * out_c;
    for (uint32_t row = op->row_begin; row < op->row_end; row++) {
        const int8_t *w = tac_weights(op, image);
        uint32_t c = 0;
        for (; c + 4 <= out_c; c += 4) {
            uint32_t acc[4] = {0, 0, 0, 0};
            if (bias) {
                memcpy(acc, bias + c, sizeof acc);
            }
            tac_dot4(acc, x, add, w, in_c, in_c);
            for (uint32_t i = 0; i < 4; i++) {
                int32_t y = tac_requantize((int32_t)acc[i], mult, shift);
                out[c + i] = (int8_t)tac_clamp(tac_wrapping_add(y, out_add), low, high);
            }
            w += 4 * in_c;
        }
        for (; c < out_c; c++) {
            uint32_t acc = tac_dot1(bias ? (uint32_t)bias[c] : 0, x, add, w, in_c);
            int32_t y = tac_requantize((int32_t)acc, mult, shift);
            out[c] = (int8_t)tac_clamp(tac_wrapping_add(y, out_add), low, high);
            w += in_c;
        }
        x += in_c;
        out += out_c;
    }
}
