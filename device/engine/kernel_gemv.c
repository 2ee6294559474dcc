// SPDX-License-Identifier: MIT
// LINEAR packed for Armv7E-M DSP (engine/packed.h): four outputs, two pairs, at a time.
//
// One step does 8 taps = 32 MACs: four words of activations and eight of weights in three LDM,
// eight SXTB16, sixteen SMLAD; 27 instructions, 0.84 a MAC, and the loop 3 every 32 taps. Cortex-M4
// cycles: 39 a step, 1.22 a MAC. An output costs about 11 more. Each row of the input is widened to
// halfwords in scratch first (1 instruction a tap); then all loads of the row are done, and its
// stores begin. Conditions: what packed.h proves for the weights.
#include "engine/packed.h"

enum { UNROLL = 4, STEP_BYTES = 27 * 4 };

typedef struct gemv {
    const int32_t *x, *x_end; // halfwords (0,2)(1,3) of each 4 taps
    const int32_t *w, *w_end; // the stream
    uint32_t skip;            // bytes of code to jump over in the first turn of the unrolled loop
    int8_t *out;
    int32_t mult, low_add, high_add; // constants of b and of a
    uint32_t low_shift, high_shift;
    int32_t low, high; // clamp
} gemv_t;

// Accumulators of two pairs: 256 * a + b, then b.
typedef struct sums {
    int32_t s0, b0, s1, b1;
} sums_t;

static inline const int32_t *accumulate(sums_t *sums, const gemv_t *g, const int32_t *w) {
#if TAC_DSP
    // All 14 registers are taken: r7, which gcc does not give away, and the end of the loop lie on
    // the stack meanwhile.
    register const int32_t *x __asm__("r0") = g->x, *weights __asm__("r1") = w;
    register const int32_t *end __asm__("r3") = g->x_end;
    register uint32_t skip __asm__("r2") = g->skip;
    register int32_t s0 __asm__("r10") = sums->s0, b0 __asm__("r11") = sums->b0;
    register int32_t s1 __asm__("r12") = sums->s1, b1 __asm__("lr") = sums->b1;
#define TAC_GEMV_PAIR(s, b)                                                                        \
    "ldmia.w %[w]!, {r6, r7, r8, r9}\n\t"                                                          \
    "smlad %[" s "], r2, r6, %[" s "]\n\t"                                                         \
    "smlad %[" s "], r3, r7, %[" s "]\n\t"                                                         \
    "smlad %[" s "], r4, r8, %[" s "]\n\t"                                                         \
    "smlad %[" s "], r5, r9, %[" s "]\n\t"                                                         \
    "sxtb16.w r6, r6\n\t"                                                                          \
    "sxtb16.w r7, r7\n\t"                                                                          \
    "sxtb16.w r8, r8\n\t"                                                                          \
    "sxtb16.w r9, r9\n\t"                                                                          \
    "smlad %[" b "], r2, r6, %[" b "]\n\t"                                                         \
    "smlad %[" b "], r3, r7, %[" b "]\n\t"                                                         \
    "smlad %[" b "], r4, r8, %[" b "]\n\t"                                                         \
    "smlad %[" b "], r5, r9, %[" b "]\n\t"
    __asm__ volatile("push.n {r3, r7}\n\t"
                     "add.n pc, r2\n\t"
                     "nop.n\n"
                     "1:\n\t"
                     ".rept 4\n\t"
                     "ldmia.w %[x]!, {r2, r3, r4, r5}\n\t" TAC_GEMV_PAIR("s0", "b0")
                         TAC_GEMV_PAIR("s1", "b1") ".endr\n\t"
                                                   "ldr.w r2, [sp]\n\t"
                                                   "cmp %[x], r2\n\t"
                                                   "bne 1b\n\t"
                                                   "pop.n {r3, r7}"
                     : [x] "+r"(x), [w] "+r"(weights), [s0] "+r"(s0), [b0] "+r"(b0), [s1] "+r"(s1),
                       [b1] "+r"(b1), "+r"(skip), "+r"(end)
                     :
                     : "r4", "r5", "r6", "r8", "r9", "cc", "memory");
#undef TAC_GEMV_PAIR
    w = weights;
#else
    const int32_t *x = g->x, *end = g->x_end;
    int32_t s0 = sums->s0, b0 = sums->b0, s1 = sums->s1, b1 = sums->b1;
    for (; x != end; x += 4, w += 8) {
        for (int i = 0; i < 4; i++) {
            s0 = tac_smlad(x[i], w[i], s0);
            b0 = tac_smlad(x[i], (int32_t)tac_sxtb16((uint32_t)w[i]), b0);
            s1 = tac_smlad(x[i], w[4 + i], s1);
            b1 = tac_smlad(x[i], (int32_t)tac_sxtb16((uint32_t)w[4 + i]), b1);
        }
    }
#endif
    sums->s0 = s0, sums->b0 = b0, sums->s1 = s1, sums->b1 = b1;
    return w;
}

static inline int8_t clamp(const gemv_t *g, enum tac_form form, int32_t y) {
    return (int8_t)(form == TAC_FORM_CLAMP ? tac_clamp(y, g->low, g->high) : tac_ssat8(y));
}

// Both outputs of a pair; a first: where b has no partner, a is nothing, at the same place.
static inline void finish(const gemv_t *g, enum tac_form form, int32_t s, int32_t b,
                          uint32_t head) {
    int32_t a256 = (int32_t)((uint32_t)s - (uint32_t)b), y;
    if (form == TAC_FORM_RELU) {
        y = tac_smmla(a256, g->mult, g->high_add);
    } else {
        y = tac_packed_away(tac_smmlar(a256 >> 7, g->mult, g->high_add), a256);
    }
    g->out[head >> 16] = clamp(g, form, y >> g->high_shift);
    y = tac_smmlar((int32_t)((uint32_t)b << 1), g->mult, g->low_add);
    if (form != TAC_FORM_RELU) {
        y = tac_packed_away(y, b);
    }
    g->out[head & 0xFFFF] = clamp(g, form, y >> g->low_shift);
}

static inline __attribute__((always_inline)) void gemv(const gemv_t *g, enum tac_form form) {
    const int32_t *w = g->w;
    do {
        const uint32_t first = (uint32_t)w[0], second = (uint32_t)w[1];
        sums_t sums = {w[2], w[3], w[4], w[5]};
        w = accumulate(&sums, g, w + TAC_PACKED_LINEAR_HEAD);
        const gemv_t k = *g; // all of it before the first store, which could be anywhere for gcc
        finish(&k, form, sums.s0, sums.b0, first);
        finish(&k, form, sums.s1, sums.b1, second);
    } while (w != g->w_end);
}

__attribute__((noinline)) static void gemv_lin(const gemv_t *g) {
    gemv(g, TAC_FORM_LIN);
}
__attribute__((noinline)) static void gemv_relu(const gemv_t *g) {
    gemv(g, TAC_FORM_RELU);
}
__attribute__((noinline)) static void gemv_clamp(const gemv_t *g) {
    gemv(g, TAC_FORM_CLAMP);
}

// Halfwords of a row in the order of the weights; what is missing to a multiple of 8 counts for
// nothing, since its weights are zero.
static void widen(int32_t *to, const int8_t *x, uint32_t count) {
    for (; count >= 4; count -= 4, x += 4, to += 2) {
        const uint32_t word = tac_load32(x);
        to[0] = (int32_t)tac_sxtb16(word);
        to[1] = (int32_t)tac_sxtb16_odd(word);
    }
    if (count > 0) {
        uint32_t word = 0;
        for (uint32_t i = 0; i < count; i++) {
            word |= (uint32_t)(uint8_t)x[i] << 8 * i;
        }
        to[0] = (int32_t)tac_sxtb16(word);
        to[1] = (int32_t)tac_sxtb16_odd(word);
    }
}

void tac_packed_linear(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    const uint32_t in_c = op->in_c, taps = (in_c + 7) & ~7u, steps = taps / 8;
    const enum tac_form form = tac_packed_form(op);
    const uint32_t shift = (uint32_t)-op->shift0;
    const int32_t add = (1 << (shift - 1)) + op->out_add * (1 << shift);
    int32_t *halves = (int32_t *)(void *)(arena + op->scratch);
    const int32_t *stream = tac_table(image, op->weights);
    const int8_t *x = (const int8_t *)(arena + op->in0) + op->row_begin * in_c;
    gemv_t g = {
        .x = halves,
        .x_end = halves + taps / 2,
        .w = stream,
        .w_end = stream + op->count * (TAC_PACKED_LINEAR_HEAD + taps),
        .skip = (UNROLL - 1 - (steps - 1) % UNROLL) * STEP_BYTES,
        .out = (int8_t *)(arena + op->out) + op->row_begin * (uint32_t)op->out_c,
        .mult = op->mult0,
        .low_add = add,
        .high_add = form == TAC_FORM_RELU ? 64 + add * 128 : add,
        .low_shift = shift,
        .high_shift = form == TAC_FORM_RELU ? shift + 7 : shift,
        .low = op->act_min,
        .high = op->act_max,
    };
    void (*const product)(const gemv_t *) = form == TAC_FORM_LIN    ? gemv_lin
                                            : form == TAC_FORM_RELU ? gemv_relu
                                                                    : gemv_clamp;
    memset(halves + taps / 2 - 4, 0, 16);
    for (uint32_t row = op->row_begin; row < op->row_end; row++) {
        widen(halves, x, in_c);
        product(&g);
        x += in_c;
        g.out += op->out_c;
    }
}
