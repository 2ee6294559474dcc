// SPDX-License-Identifier: MIT
// SOFTMAX over rows. The reference is torch.softmax in float32; exp() takes only 256 values here
// (distance from the row's maximum), so the compiler supplies them: no libm on the device, the same
// result on every board, and about 20 instructions an element where fixed-point exp() takes 280.
#include "engine/kernel.h"

// Distance from the maximum. The mask changes nothing unless a hostile plan lets the output overlap
// the row it is still reading, so that an element has grown above the maximum.
static inline uint32_t below(int32_t most, int8_t x) {
    return (uint32_t)(most - x) & 255;
}

static int32_t row_max(const int8_t *x, uint32_t count) {
    int32_t most = INT8_MIN;
    for (uint32_t i = 0; i < count; i++) {
        most = x[i] > most ? x[i] : most;
    }
    return most;
}

void tac_kernel_softmax(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    const float *table = (const float *)(const void *)(image + op->weights);
    const int8_t *x = (const int8_t *)(arena + op->in0);
    int8_t *out = (int8_t *)(arena + op->out);
    const uint32_t columns = op->in_c;
    const int32_t out_add = op->out_add;
    for (uint32_t done = 0; done < op->count; done += columns) {
        const int32_t most = row_max(x, columns);
        float sum = 0.0f;
        for (uint32_t i = 0; i < columns; i++) {
            sum += table[below(most, x[i])];
        }
        for (uint32_t i = 0; i < columns; i++) {
            float steps = table[below(most, x[i])] / sum * 256.0f;
            out[i] = tac_round_f32(steps, out_add, INT8_MIN, INT8_MAX);
        }
        x += columns;
        out += columns;
    }
}
