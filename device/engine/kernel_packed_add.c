// SPDX-License-Identifier: MIT
// ADD for Armv7E-M DSP (engine/packed.h): nothing is packed, the rounding is that of packed.h.
//
// With the left shift of 20 that the dialect writes, v = (x + add) << 20, and a side of multiplier m
// and right shift s >= 1 is (SMMLAR(2 * v, m, 2^(s-1)) + (v >> 31)) >> s: 4 instructions. A side of
// scale 1/2 (m = 2^30, s = 0), which the larger operand always has, is exactly x << 19 plus a constant
// that joins the other constants: 1 instruction. So an element costs 13 with such a side, 18 without,
// 4 more with a clamp; Cortex-M4 cycles: 16 and 21. In place as ADD.
// Conditions: left shift 20, shifts of the sides -30..0, of the output -21..-1, multipliers >= 0; a
// side of shift 0 has multiplier 2^30.
#include "engine/packed.h"

typedef struct side {
    int32_t add, mult, half; // add: 2 * add << left shift
    uint32_t left, right;    // left: shift of x, doubled
} side_t;

typedef struct sum {
    int32_t mult, add;
    uint32_t right;
    int32_t low, high;
} sum_t;

static int is_half(int32_t mult, int32_t shift) {
    return mult == 1 << 30 && shift == 0;
}

// A side of scale 1/2 is also one of shift 1 with twice the value: both roundings are exact.
static side_t side_of(int32_t add, int32_t mult, int32_t shift) {
    const uint32_t right = shift == 0 ? 1 : (uint32_t)-shift;
    const uint32_t left = shift == 0 ? 22 : 21;
    side_t side = {add * (1 << left), mult, 1 << (right - 1), left, right};
    return side;
}

static inline int32_t scaled(const side_t *side, int32_t x) {
    int32_t twice = x * (1 << side->left) + side->add;
    return (tac_smmlar(twice, side->mult, side->half) + (twice >> 31)) >> side->right;
}

static inline int8_t finish(const sum_t *sum, int32_t twice) {
    int32_t y = (tac_smmlar(twice, sum->mult, sum->add) + (twice >> 31)) >> sum->right;
    return (int8_t)tac_clamp(y, sum->low, sum->high);
}

// out = half scale of x + side of y.
static void add_half(const sum_t *sum, int32_t add, const side_t *side, const int8_t *x,
                     const int8_t *y, int8_t *out, uint32_t count) {
    const side_t other = *side;
    const sum_t total = *sum;
    for (const int8_t *end = x + count; x != end;) {
        int32_t twice = scaled(&other, *y++) + *x++ * (1 << 19);
        *out++ = finish(&total, (int32_t)((uint32_t)twice << 1) + add);
    }
}

static void add_any(const sum_t *sum, const side_t *first, const side_t *second, const int8_t *x,
                    const int8_t *y, int8_t *out, uint32_t count) {
    const side_t a = *first, b = *second;
    const sum_t total = *sum;
    for (const int8_t *end = x + count; x != end;) {
        int32_t once = scaled(&a, *x++) + scaled(&b, *y++);
        *out++ = finish(&total, (int32_t)((uint32_t)once << 1));
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
    const uint32_t run = op->in_c ? op->in_c : op->count; // length of in1
    for (uint32_t done = 0; done < op->count; done += run) {
        if (is_half(op->mult0, op->shift0)) {
            add_half(&sum, op->in0_add * (1 << 20), &second, a + done, b, out + done, run);
        } else if (is_half(op->mult1, op->shift1)) {
            add_half(&sum, op->in1_add * (1 << 20), &first, b, a + done, out + done, run);
        } else {
            add_any(&sum, &first, &second, a + done, b, out + done, run);
        }
    }
}
