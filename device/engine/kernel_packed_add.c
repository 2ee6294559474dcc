// SPDX-License-Identifier: MIT
// ADD for Armv7E-M DSP (engine/packed.h): nothing is packed, the rounding is that of packed.h.
//
// With the left shift of 20 that the dialect writes, v = (x + add) << 20, and a side of multiplier
// m and right shift s >= 1 is (SMMLAR(2 * v, m, 2^(s-1)) + (v >> 31)) >> s: 4 instructions. A side
// of scale 1/2 (m = 2^30, s = 0), which the larger operand always has, is exactly x << 19 plus a
// constant that joins the other constants: 1 instruction. So an element costs 14 with such a side,
// 13 of them in RELU, 18 without, 4 more with a clamp; Cortex-M4 cycles: 16 and 21. In place as
// ADD. Conditions: left shift 20, shifts of the sides -30..0, of the output -21..-1, multipliers >=
// 0; a side of shift 0 has multiplier 2^30.
#include "engine/packed.h"

typedef struct side {
    int32_t add, mult, half; // add << 21
    uint32_t right;
} side_t;

typedef struct sum {
    int32_t mult, add;
    uint32_t right;
    int32_t low, high;
} sum_t;

static int is_half(int32_t mult, int32_t shift) {
    return mult == 1 << 30 && shift == 0;
}

static side_t side_of(int32_t add, int32_t mult, int32_t shift) {
    const uint32_t right = (uint32_t)-shift;
    side_t side = {add * (1 << 21), mult, shift < 0 ? 1 << (right - 1) : 0, right};
    return side;
}

static inline int32_t scaled(const side_t *side, int32_t x) {
    int32_t twice = side->add + x * (1 << 21);
    return (tac_smmlar(twice, side->mult, side->half) + (twice >> 31)) >> side->right;
}

static inline int8_t finish(const sum_t *sum, enum tac_form form, int32_t twice) {
    int32_t y = tac_smmlar(twice, sum->mult, sum->add);
    y = (form == TAC_FORM_RELU ? y : y + (twice >> 31)) >> sum->right;
    return (int8_t)(form == TAC_FORM_CLAMP ? tac_clamp(y, sum->low, sum->high) : tac_ssat8(y));
}

// out = x * 2^19 + side of y; add: twice what is to be added to that sum. Either of x, y may be
// out.
static inline __attribute__((always_inline)) void add_half(const sum_t *sum, int32_t add,
                                                           const side_t *side, enum tac_form form,
                                                           const int8_t *x, const int8_t *y,
                                                           int8_t *out, uint32_t count) {
    const side_t other = *side;
    const sum_t total = *sum;
    const int8_t *const end = x + count;
    for (uint32_t i = 0; i < (count & 3); i++) {
        int32_t once = scaled(&other, *y++) + *x++ * (1 << 19);
        *out++ = finish(&total, form, add + once * 2);
    }
    for (; x != end; x += 4, y += 4, out += 4) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            int32_t once = scaled(&other, y[i]) + x[i] * (1 << 19);
            out[i] = finish(&total, form, add + once * 2);
        }
    }
}

__attribute__((noinline)) static void add_half_lin(const sum_t *sum, int32_t add,
                                                   const side_t *side, const int8_t *x,
                                                   const int8_t *y, int8_t *out, uint32_t count) {
    add_half(sum, add, side, TAC_FORM_LIN, x, y, out, count);
}

__attribute__((noinline)) static void add_half_relu(const sum_t *sum, int32_t add,
                                                    const side_t *side, const int8_t *x,
                                                    const int8_t *y, int8_t *out, uint32_t count) {
    add_half(sum, add, side, TAC_FORM_RELU, x, y, out, count);
}

__attribute__((noinline)) static void add_half_clamp(const sum_t *sum, int32_t add,
                                                     const side_t *side, const int8_t *x,
                                                     const int8_t *y, int8_t *out, uint32_t count) {
    add_half(sum, add, side, TAC_FORM_CLAMP, x, y, out, count);
}

static void add_any(const sum_t *sum, const side_t *first, const side_t *second, const int8_t *x,
                    const int8_t *y, int8_t *out, uint32_t count) {
    const side_t a = *first, b = *second;
    const sum_t total = *sum;
    for (const int8_t *end = x + count; x != end; x++, y++, out++) {
        *out = finish(&total, TAC_FORM_CLAMP, 2 * (scaled(&a, *x) + scaled(&b, *y)));
    }
}

// Two operands of scale 1/2: of the same scale.
static void add_halves(const sum_t *sum, int32_t add, const int8_t *x, const int8_t *y, int8_t *out,
                       uint32_t count) {
    const sum_t total = *sum;
    for (const int8_t *end = x + count; x != end; x++, y++, out++) {
        *out = finish(&total, TAC_FORM_CLAMP, add + (*x + *y) * (1 << 20));
    }
}

void tac_packed_add(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    (void)image;
    const int8_t *a = (const int8_t *)(arena + op->in0);
    const int8_t *b = (const int8_t *)(arena + op->in1);
    int8_t *out = (int8_t *)(arena + op->out);
    const side_t first = side_of(op->in0_add, op->mult0, op->shift0);
    const side_t second = side_of(op->in1_add, op->mult1, op->shift1);
    const uint32_t right = (uint32_t)-op->shift2;
    const sum_t sum = {op->mult2, (1 << (right - 1)) + op->out_add * (1 << right), right,
                       op->act_min, op->act_max};
    const enum tac_form form = tac_packed_form(op);
    void (*const half)(const sum_t *, int32_t, const side_t *, const int8_t *, const int8_t *,
                       int8_t *, uint32_t) = form == TAC_FORM_LIN    ? add_half_lin
                                             : form == TAC_FORM_RELU ? add_half_relu
                                                                     : add_half_clamp;
    const uint32_t run = op->in_c ? op->in_c : op->count; // length of in1
    for (uint32_t done = 0; done < op->count; done += run) {
        if (is_half(op->mult0, op->shift0) && is_half(op->mult1, op->shift1)) {
            add_halves(&sum, (op->in0_add + op->in1_add) * (1 << 20), a + done, b, out + done, run);
        } else if (is_half(op->mult0, op->shift0)) {
            half(&sum, op->in0_add * (1 << 20), &second, a + done, b, out + done, run);
        } else if (is_half(op->mult1, op->shift1)) {
            half(&sum, op->in1_add * (1 << 20), &first, b, a + done, out + done, run);
        } else {
            add_any(&sum, &first, &second, a + done, b, out + done, run);
        }
    }
}
