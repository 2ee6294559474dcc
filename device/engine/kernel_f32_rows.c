// SPDX-License-Identifier: MIT
// float32 element by element and row by row: F32_BINARY, F32_UNARY, F32_CLAMP, F32_MEAN,
// F32_SOFTMAX. No libm: exp and tanh are the polynomials of Moshier's Cephes library, within 2
// units in the last place, so that every board computes the same bits.
#include "engine/kernel.h"

// e^x: x = n ln 2 + r, |r| <= ln 2 / 2, a polynomial in r, n into the exponent. NaN stays NaN.
static float exponential(float x) {
    x = x < -87.0f ? -87.0f : x > 88.0f ? 88.0f : x;
    const float biased = x * 1.44269504f + 12582912.0f; // rounds, as in tac_round_f32()
    const float n = biased - 12582912.0f;
    const float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    uint32_t bits;
    memcpy(&bits, &biased, sizeof bits);
    bits = (bits - 0x4B400000u + 127u) << 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

static float sigmoid(float x) {
    return 1.0f / (1.0f + exponential(-x));
}

static float tangent(float x) {
    const float size = __builtin_fabsf(x);
    if (size >= 0.625f) {
        const float y = 1.0f - 2.0f / (exponential(2.0f * size) + 1.0f);
        return x < 0.0f ? -y : y;
    }
    const float z = x * x;
    float p = -5.70498872745e-3f;
    p = p * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    return p * z * x + x;
}

void tac_kernel_f32_binary(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    (void)image;
    const uint8_t *a = arena + op->in0, *b = arena + op->in1;
    uint8_t *out = arena + op->out;
    const uint32_t period = op->in_c ? op->in_c : op->count; // length of in1
    const float scale = op->scale;
    for (uint32_t i = 0, k = 0; i < op->count; i++, k++) {
        k = k == period ? 0 : k;
        const float x = tac_load_f32(a + 4 * i), y = tac_load_f32(b + 4 * k);
        float z;
        switch (op->param0) {
        case 0:
            z = x + scale * y;
            break;
        case 1:
            z = x - scale * y;
            break;
        case 2:
            z = x * y;
            break;
        default:
            z = x / y;
            break;
        }
        tac_store_f32(out + 4 * i, z);
    }
}

void tac_kernel_f32_unary(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    (void)image;
    const uint8_t *in = arena + op->in0;
    uint8_t *out = arena + op->out;
    for (uint32_t i = 0; i < op->count; i++) {
        const float x = tac_load_f32(in + 4 * i);
        tac_store_f32(out + 4 * i, op->param0 ? tangent(x) : sigmoid(x));
    }
}

void tac_kernel_f32_clamp(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    const float *bounds = (const float *)(const void *)(image + op->weights);
    const uint8_t *in = arena + op->in0;
    uint8_t *out = arena + op->out;
    for (uint32_t i = 0; i < op->count; i++) {
        const float x = tac_load_f32(in + 4 * i);
        tac_store_f32(out + 4 * i, x < bounds[0] ? bounds[0] : x > bounds[1] ? bounds[1] : x);
    }
}

void tac_kernel_f32_mean(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    (void)image;
    const uint8_t *in = arena + op->in0;
    uint8_t *out = arena + op->out;
    for (uint32_t done = 0; done < op->count; done += op->in_c) {
        float sum = 0.0f;
        for (uint32_t i = 0; i < op->in_c; i++, in += 4) {
            sum += tac_load_f32(in);
        }
        tac_store_f32(out, sum / op->scale);
        out += 4;
    }
}

void tac_kernel_f32_softmax(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    (void)image;
    const uint32_t columns = op->in_c;
    const uint8_t *in = arena + op->in0;
    uint8_t *out = arena + op->out;
    for (uint32_t done = 0; done < op->count; done += columns) {
        float most = tac_load_f32(in), sum = 0.0f;
        for (uint32_t i = 1; i < columns; i++) {
            const float x = tac_load_f32(in + 4 * i);
            most = x > most ? x : most;
        }
        for (uint32_t i = 0; i < columns; i++) {
            const float e = exponential(tac_load_f32(in + 4 * i) - most);
            sum += e;
            tac_store_f32(out + 4 * i, e);
        }
        for (uint32_t i = 0; i < columns; i++) {
            tac_store_f32(out + 4 * i, tac_load_f32(out + 4 * i) / sum);
        }
        in += 4 * columns;
        out += 4 * columns;
    }
}
