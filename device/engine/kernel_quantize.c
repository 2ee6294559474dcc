// SPDX-License-Identifier: MIT
// QUANTIZE, DEQUANTIZE and the quantization of sensor counts. float32, one rounding an operation.
#include "engine/kernel.h"
#include "engine/quantize.h"

void tac_kernel_quantize(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    (void)image;
    const uint8_t *in = arena + op->in0;
    int8_t *out = (int8_t *)(arena + op->out);
    const float scale = op->scale;
    const int32_t out_add = op->out_add, low = op->act_min, high = op->act_max;
    const uint32_t count = op->count;
    for (uint32_t i = 0; i < count; i++) {
        out[i] = tac_round_f32(tac_load_f32(in + 4 * i) * scale, out_add, low, high);
    }
}

void tac_kernel_dequantize(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    (void)image;
    const int8_t *in = (const int8_t *)(arena + op->in0);
    uint8_t *out = arena + op->out;
    const float scale = op->scale;
    const int32_t add = op->in0_add;
    const uint32_t count = op->count;
    for (uint32_t i = 0; i < count; i++) {
        tac_store_f32(out + 4 * i, (float)(in[i] + add) * scale);
    }
}

void tac_quantize_i16(const int16_t *samples, uint32_t count, float lsb, float inv_scale,
                      int32_t zero_point, int8_t *out) {
    for (uint32_t i = 0; i < count; i++) {
        float value = (float)samples[i] * lsb;
        out[i] = tac_round_f32(value * inv_scale, zero_point, INT8_MIN, INT8_MAX);
    }
}
