// SPDX-License-Identifier: MIT
// LINEAR packed for Armv7E-M DSP (engine/packed.h): four outputs, two pairs, at a time.
//
// A row's first taps, TAC_PACKED_LINEAR_WIDE at most, are widened to halfwords on the stack (1.75
// instructions a tap), all others anew for each four outputs. One step does 8 taps = 32 MACs: four
// words of activations and eight of weights, eight SXTB16, sixteen SMLAD; 27 instructions, 0.84 a
// MAC, or 32, 1.0 a MAC, from bytes; the loop 3 every 32 taps. Cortex-M4 cycles: 39 or 41 a step,
// 1.22 or 1.28 a MAC. An output costs about 9 more.
//
// Step: a row, four outputs. It reads the row's bytes from the first one that is not widened on,
// the row's first step all bytes; then it stores. Conditions: what packed.h proves for the weights.
#include "engine/packed.h"

enum { UNROLL = 4, STEP_BYTES = 27 * 4 };

// The asm reads it by position; all words but the last lie on its stack as here.
typedef struct gemv {
    const int32_t *x; // halfwords (0,2)(1,3) of each 4 taps
    uint32_t skip;    // bytes of code to jump over in the first turn; then the entry
    const int32_t *x_end;
    const int8_t *bytes, *bytes_end; // taps after these, a multiple of 32
    uint32_t form;                   // enum tac_form; then where outputs are finished
    const int32_t *w_end;
    uint32_t places[2];              // of the outputs of both pairs
    int32_t mult, low_add, high_add; // constants of b and of a
    uint32_t low_shift, high_shift;
    int8_t *out;
    int32_t low, high; // clamp
    const int32_t *w;  // the stream
} gemv_t;

#if TAC_DSP
// r0 activations, r1 stream, r2-r5 halfwords, r6-r9 weights, r10 and r11 sums 256 * a + b and b of
// the first pair, r12 and lr of the second.
__asm__(".syntax unified\n"
        ".thumb\n"
        // Adds 8 taps of a pair to its sums.
        ".macro TAC_GEMV_PAIR s, b\n"
        "ldmia.w r1!, {r6, r7, r8, r9}\n"
        "smlad \\s, r2, r6, \\s\n"
        "smlad \\s, r3, r7, \\s\n"
        "smlad \\s, r4, r8, \\s\n"
        "smlad \\s, r5, r9, \\s\n"
        "sxtb16.w r6, r6\n"
        "sxtb16.w r7, r7\n"
        "sxtb16.w r8, r8\n"
        "sxtb16.w r9, r9\n"
        "smlad \\b, r2, r6, \\b\n"
        "smlad \\b, r3, r7, \\b\n"
        "smlad \\b, r4, r8, \\b\n"
        "smlad \\b, r5, r9, \\b\n"
        ".endm\n"
        // r0 is free.
        ".macro TAC_GEMV_CLAMP form, y\n"
        ".ifc \\form, clamp\n"
        "ldr r0, [sp, #60]\n"
        "cmp \\y, r0\n"
        "it lt\n"
        "movlt \\y, r0\n"
        "ldr r0, [sp, #64]\n"
        "cmp \\y, r0\n"
        "it gt\n"
        "movgt \\y, r0\n"
        ".else\n"
        "ssat \\y, #8, \\y\n"
        ".endif\n"
        ".endm\n"
        // Stores both outputs of a pair, a first: where b has no partner, a is nothing, at the same
        // place. r4 mult, r5 and r6 constants, r7 and r8 shifts, r9 out; r0 is free.
        ".macro TAC_GEMV_PLACE form, s, b, places\n"
        "sub \\s, \\s, \\b\n"
        ".ifc \\form, relu\n"
        "smmla \\s, \\s, r4, r6\n"
        ".else\n"
        "asr \\s, \\s, #7\n"
        "smmlar r0, \\s, r4, r6\n"
        "add \\s, r0, \\s, asr #31\n"
        ".endif\n"
        "asr \\s, \\s, r8\n"
        "TAC_GEMV_CLAMP \\form, \\s\n"
        "lsr r0, \\places, #16\n"
        "lsl \\b, \\b, #1\n"
        "strb \\s, [r9, r0]\n"
        ".ifc \\form, relu\n"
        "smmlar \\b, \\b, r4, r5\n"
        ".else\n"
        "smmlar r0, \\b, r4, r5\n"
        "add \\b, r0, \\b, asr #31\n"
        ".endif\n"
        "asr \\b, \\b, r7\n"
        "uxth \\places, \\places\n"
        "TAC_GEMV_CLAMP \\form, \\b\n"
        "strb \\b, [r9, \\places]\n"
        ".endm\n"
        ".macro TAC_GEMV_FINISH form\n"
        "add r0, sp, #28\n"
        "ldm r0, {r2-r9}\n"
        "TAC_GEMV_PLACE \\form, r10, r11, r2\n"
        "TAC_GEMV_PLACE \\form, r12, lr, r3\n"
        "ldr r2, [sp, #24]\n"
        "cmp r1, r2\n"
        "bne.w 1b\n"
        "add sp, #68\n"
        "pop {r4-r11, pc}\n"
        ".endm\n"
        ".section .text.tac_gemv, \"ax\", %progbits\n"
        ".balign 4\n"
        ".type tac_gemv, %function\n"
        ".thumb_func\n"
        "tac_gemv:\n"
        "push {r4-r11, lr}\n"
        "sub sp, #68\n"
        "mov lr, sp\n"
        "ldm r0!, {r1-r9}\n"
        "adr r10, 2f\n"
        "add r2, r10\n"
        "add r2, #1\n"
        "adr.w r10, 5f + 1\n"
        "cmp r6, #1\n"
        "it eq\n"
        "adreq.w r10, 6f + 1\n"
        "it hi\n"
        "adrhi.w r10, 7f + 1\n"
        "mov r6, r10\n"
        "stm lr!, {r1-r9}\n"
        "ldm r0, {r1-r9}\n"
        "stm lr, {r1-r8}\n"
        "mov r1, r9\n"
        "1:\n"
        "ldm r1!, {r2, r3, r10-r12, lr}\n"
        "strd r2, r3, [sp, #28]\n"
        "ldm sp, {r0, pc}\n"
        ".balign 4\n"
        "2:\n"
        ".rept 4\n"
        "ldmia.w r0!, {r2, r3, r4, r5}\n"
        "TAC_GEMV_PAIR r10, r11\n"
        "TAC_GEMV_PAIR r12, lr\n"
        ".endr\n"
        "ldr r2, [sp, #8]\n"
        "cmp r0, r2\n"
        "bne 2b\n"
        "ldrd r0, r2, [sp, #12]\n"
        "cmp r0, r2\n"
        "it eq\n"
        "ldreq pc, [sp, #20]\n"
        "3:\n"
        ".rept 4\n"
        "ldr r2, [r0], #4\n"
        "ldr r4, [r0], #4\n"
        "sxtb16 r3, r2, ror #8\n"
        "sxtb16 r2, r2\n"
        "sxtb16 r5, r4, ror #8\n"
        "sxtb16 r4, r4\n"
        "TAC_GEMV_PAIR r10, r11\n"
        "TAC_GEMV_PAIR r12, lr\n"
        ".endr\n"
        "ldr r2, [sp, #16]\n"
        "cmp r0, r2\n"
        "bne 3b\n"
        "ldr pc, [sp, #20]\n"
        "5:\n"
        "TAC_GEMV_FINISH lin\n"
        "6:\n"
        "TAC_GEMV_FINISH relu\n"
        "7:\n"
        "TAC_GEMV_FINISH clamp\n"
        ".size tac_gemv, .-tac_gemv\n"
        ".text\n");
void tac_gemv(const gemv_t *g);
#else
static int8_t clamp(const gemv_t *g, int32_t y) {
    return (int8_t)(g->form == TAC_FORM_CLAMP ? tac_clamp(y, g->low, g->high) : tac_ssat8(y));
}

static void finish(const gemv_t *g, int32_t s, int32_t b, uint32_t places) {
    int32_t a256 = (int32_t)((uint32_t)s - (uint32_t)b), y;
    if (g->form == TAC_FORM_RELU) {
        y = tac_smmla(a256, g->mult, g->high_add);
    } else {
        y = tac_packed_away(tac_smmlar(a256 >> 7, g->mult, g->high_add), a256);
    }
    g->out[places >> 16] = clamp(g, y >> g->high_shift);
    y = tac_smmlar((int32_t)((uint32_t)b << 1), g->mult, g->low_add);
    if (g->form != TAC_FORM_RELU) {
        y = tac_packed_away(y, b);
    }
    g->out[places & 0xFFFF] = clamp(g, y >> g->low_shift);
}

// Adds 8 taps of both pairs to {256 * a + b, b, 256 * a + b, b}.
static void accumulate(int32_t sums[4], const int32_t x[4], const int32_t *w) {
    for (int i = 0; i < 8; i++) {
        int32_t *pair = sums + i / 4 * 2;
        pair[0] = tac_smlad(x[i % 4], w[i], pair[0]);
        pair[1] = tac_smlad(x[i % 4], (int32_t)tac_sxtb16((uint32_t)w[i]), pair[1]);
    }
}

static void tac_gemv(const gemv_t *g) {
    const int32_t *w = g->w;
    do {
        const uint32_t first = (uint32_t)w[0], second = (uint32_t)w[1];
        int32_t sums[4] = {w[2], w[3], w[4], w[5]};
        w += TAC_PACKED_LINEAR_HEAD;
        for (const int32_t *x = g->x; x != g->x_end; x += 4, w += 8) {
            accumulate(sums, x, w);
        }
        for (const int8_t *x = g->bytes; x != g->bytes_end; x += 8, w += 8) {
            const uint32_t low = tac_load32(x), high = tac_load32(x + 4);
            const int32_t halves[4] = {(int32_t)tac_sxtb16(low), (int32_t)tac_sxtb16_odd(low),
                                       (int32_t)tac_sxtb16(high), (int32_t)tac_sxtb16_odd(high)};
            accumulate(sums, halves, w);
        }
        finish(g, sums[0], sums[1], first);
        finish(g, sums[2], sums[3], second);
    } while (w != g->w_end);
}
#endif

// Halfwords of a row in the order of the weights; what is missing to a multiple of 8 counts for
// nothing, since its weights are zero.
static void widen(int32_t *to, const int8_t *x, uint32_t count) {
    for (const int8_t *end = x + (count & ~3u); x != end; x += 4, to += 2) {
        const uint32_t word = tac_load32(x);
        to[0] = (int32_t)tac_sxtb16(word);
        to[1] = (int32_t)tac_sxtb16_odd(word);
    }
    if (count & 3) {
        uint32_t word = 0;
        for (uint32_t i = 0; i < (count & 3); i++) {
            word |= (uint32_t)(uint8_t)x[i] << 8 * i;
        }
        to[0] = (int32_t)tac_sxtb16(word);
        to[1] = (int32_t)tac_sxtb16_odd(word);
    }
}

void tac_packed_linear(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    int32_t halves[TAC_PACKED_LINEAR_WIDE / 2];
    const uint32_t in_c = op->in_c, wide = tac_packed_linear_wide(in_c);
    const uint32_t taps = (wide + 7) & ~7u, steps = taps / 8;
    const enum tac_form form = tac_packed_form(op);
    const uint32_t shift = (uint32_t)-op->shift0;
    const int32_t add = (1 << (shift - 1)) + op->out_add * (1 << shift);
    const int32_t *stream = tac_table(image, op->weights);
    const int8_t *x = (const int8_t *)(arena + op->in0) + op->row_begin * in_c;
    gemv_t g = {
        .x = halves,
        .skip = (UNROLL - 1 - (steps - 1) % UNROLL) * STEP_BYTES,
        .x_end = halves + taps / 2,
        .form = form,
        .w_end = stream + op->count * (TAC_PACKED_LINEAR_HEAD + taps + in_c - wide),
        .mult = op->mult0,
        .low_add = add,
        .high_add = form == TAC_FORM_RELU ? 64 + add * 128 : add,
        .low_shift = shift,
        .high_shift = form == TAC_FORM_RELU ? shift + 7 : shift,
        .out = (int8_t *)(arena + op->out) + op->row_begin * (uint32_t)op->out_c,
        .low = op->act_min,
        .high = op->act_max,
        .w = stream,
    };
    memset(halves + taps / 2 - 4, 0, 16);
    for (uint32_t row = op->row_begin; row < op->row_end; row++) {
        widen(halves, x, wide);
        g.bytes = x + wide;
        x += in_c;
        g.bytes_end = x;
        tac_gemv(&g);
        g.out += op->out_c;
    }
}
