// SPDX-License-Identifier: MIT
// MUL, DIV, MINIMUM, MAXIMUM: two operands, element by element; the second one may be a short
// vector that repeats. An element is read before it is written, so in place is allowed.
#include "engine/kernel.h"

// One run: `count` elements of both operands. Each family member has one.
typedef void run_t(const tac_op_t *op, const int8_t *a, const int8_t *b, int8_t *out,
                   uint32_t count);

static inline void repeat(run_t *run, const tac_op_t *op, uint8_t *arena) {
    const int8_t *a = (const int8_t *)(arena + op->in0);
    const int8_t *b = (const int8_t *)(arena + op->in1);
    int8_t *out = (int8_t *)(arena + op->out);
    const uint32_t count = op->in_c ? op->in_c : op->count; // length of in1
    for (uint32_t done = 0; done < op->count; done += count) {
        run(op, a + done, b, out + done, count);
    }
}

static void mul_run(const tac_op_t *op, const int8_t *a, const int8_t *b, int8_t *out,
                    uint32_t count) {
    const int32_t a_add = op->in0_add, b_add = op->in1_add, out_add = op->out_add;
    const int32_t mult = op->mult0, shift = op->shift0;
    const int32_t low = op->act_min, high = op->act_max;
    for (uint32_t i = 0; i < count; i++) {
        int32_t product = (a[i] + a_add) * (b[i] + b_add);
        int32_t sum = tac_wrapping_add(tac_requantize(product, mult, shift), out_add);
        out[i] = (int8_t)tac_clamp(sum, low, high);
    }
}

static void div_run(const tac_op_t *op, const int8_t *a, const int8_t *b, int8_t *out,
                    uint32_t count) {
    const int32_t a_add = op->in0_add, b_add = op->in1_add, out_add = op->out_add;
    const int32_t low = op->act_min, high = op->act_max;
    const float scale = op->scale;
    for (uint32_t i = 0; i < count; i++) {
        int32_t divisor = b[i] + b_add;
        float quotient = divisor ? (float)(a[i] + a_add) / (float)divisor : 0.0f;
        out[i] = tac_round_f32(quotient * scale, out_add, low, high);
    }
}

static void minimum_run(const tac_op_t *op, const int8_t *a, const int8_t *b, int8_t *out,
                        uint32_t count) {
    (void)op;
    for (uint32_t i = 0; i < count; i++) {
        out[i] = a[i] < b[i] ? a[i] : b[i];
    }
}

static void maximum_run(const tac_op_t *op, const int8_t *a, const int8_t *b, int8_t *out,
                        uint32_t count) {
    (void)op;
    for (uint32_t i = 0; i < count; i++) {
        out[i] = a[i] > b[i] ? a[i] : b[i];
    }
}

void tac_kernel_mul(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    (void)image;
    repeat(mul_run, op, arena);
}

void tac_kernel_div(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    (void)image;
    repeat(div_run, op, arena);
}

void tac_kernel_minimum(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    (void)image;
    repeat(minimum_run, op, arena);
}

void tac_kernel_maximum(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    (void)image;
    repeat(maximum_run, op, arena);
}
