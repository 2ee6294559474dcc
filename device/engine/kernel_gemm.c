// SPDX-License-Identifier: MIT
// CONV2D packed for Armv7E-M DSP (engine/packed.h): im2col of three pixels, then a matrix product
// of 2 channels x 3 pixels at a time, or 2 x 2.
//
// One step of the inner loop does 4 taps: two words of weights and six of activations in three LDM,
// two SXTB16, twelve SMLAD: 17 instructions for 24 MACs, 0.71 a MAC; of two pixels 13 for 16, 0.81;
// the loop 2 every 64 (16) taps. Cortex-M4 cycles: 25 and 21 a step. An output costs 7.5 more
// (RELU), 10 (LIN), 16 (CLAMP); im2col 19 instructions for 24 values where in_c is a multiple of 4
// and the windows lie inside; 45 a pixel of a 3x3 stem over three colours.
//
// A group is three pixels in row-major order, from the last one backwards with TAC_OP_REVERSE; the
// last four or two pixels are groups of two, a last one alone is computed twice. All loads of a
// group come before its first store, and it stores its own bytes only.
// Conditions: one group of channels, at most 2048 outputs, and what packed.h proves; any kernel,
// stride, dilation, padding.
#include "engine/packed.h"

enum { UNROLL_3 = 16, STEP_BYTES_3 = 17 * 4, UNROLL_2 = 4, STEP_BYTES_2 = 13 * 4 };

// What the product of one group needs; the asm reads it by position, and all but the last word lie
// on its stack as here.
typedef struct gemm {
    const int32_t *x, *x_end; // three columns, interleaved: 2 values of each in turn
    uint32_t entry;           // address in the unrolled loop where its first turn begins
    uint32_t finish;          // address of the code that makes outputs of sums
    int32_t second, third;    // bytes from the first pixel of the group to the others
    int8_t *out;              // first pixel
    const int32_t *w_end;
    int32_t low, high;
    const int32_t *w; // the stream
} gemm_t;

#if TAC_DSP
// r0 columns, r1 stream, r2-r4 and r5-r6 operands, r7 end of the columns, then places and shifts,
// r8-r10 sums 256 * a + b of three pixels, r11, r12, lr sums b.
__asm__(".syntax unified\n"
        ".thumb\n"
        // r2 is free.
        ".macro TAC_GEMM_CLAMP form, y\n"
        ".ifc \\form, clamp\n"
        "ldr r2, [sp, #32]\n"
        "cmp \\y, r2\n"
        "it lt\n"
        "movlt \\y, r2\n"
        "ldr r2, [sp, #36]\n"
        "cmp \\y, r2\n"
        "it gt\n"
        "movgt \\y, r2\n"
        ".else\n"
        ".ifc \\form, relu\n"
        "ssat \\y, #8, \\y, asr #12\n" // TAC_PACKED_RELU_SHIFT
        ".else\n"
        "ssat \\y, #8, \\y\n"
        ".endif\n"
        ".endif\n"
        ".endm\n"
        // \s becomes output a: r5 mult, r6 constant, r4 shift; r2 is free.
        ".macro TAC_GEMM_UPPER form, s, b\n"
        "sub \\s, \\s, \\b\n"
        ".ifc \\form, relu\n"
        "asr \\s, \\s, r4\n"
        "smmla \\s, \\s, r5, r6\n"
        ".else\n"
        "asr \\s, \\s, #7\n"
        "smmlar r2, \\s, r5, r6\n"
        "add r2, r2, \\s, asr #31\n"
        "asr \\s, r2, r4\n"
        ".endif\n"
        "TAC_GEMM_CLAMP \\form, \\s\n"
        ".endm\n"
        // \b becomes output b: r0 mult, r3 constant, r4 shift; r2 is free.
        ".macro TAC_GEMM_LOWER form, b\n"
        ".ifc \\form, relu\n"
        "lsl \\b, \\b, r4\n"
        "smmla \\b, \\b, r0, r3\n"
        ".else\n"
        "lsl \\b, \\b, #1\n"
        "smmlar r2, \\b, r0, r3\n"
        "add r2, r2, \\b, asr #31\n"
        "asr \\b, r2, r4\n"
        ".endif\n"
        "TAC_GEMM_CLAMP \\form, \\b\n"
        ".endm\n"
        // One step of 2 taps: r5 or r6 weights; r2-r4 columns.
        ".macro TAC_GEMM_TAPS pixels, w\n"
        "ldmia.w r0!, {r2, r3, r4}\n"
        "smlad r8, r2, \\w, r8\n"
        "smlad r9, r3, \\w, r9\n"
        ".if \\pixels == 3\n"
        "smlad r10, r4, \\w, r10\n"
        ".endif\n"
        "sxtb16.w \\w, \\w\n"
        "smlad r11, r2, \\w, r11\n"
        "smlad r12, r3, \\w, r12\n"
        ".if \\pixels == 3\n"
        "smlad lr, r4, \\w, lr\n"
        ".endif\n"
        ".endm\n"
        ".macro TAC_GEMM_FINISH pixels, form\n"
        ".thumb_func\n"
        "tac_gemm\\pixels\\()_\\form:\n"
        "ldm r1!, {r0, r3, r5-r7}\n" // mult and constant of b, of a, places and shifts
        "lsr r4, r7, #27\n"
        "TAC_GEMM_UPPER \\form, r8, r11\n"
        "TAC_GEMM_UPPER \\form, r9, r12\n"
        ".if \\pixels == 3\n"
        "TAC_GEMM_UPPER \\form, r10, lr\n"
        ".endif\n"
        "ubfx r4, r7, #11, #5\n"
        "TAC_GEMM_LOWER \\form, r11\n"
        "TAC_GEMM_LOWER \\form, r12\n"
        ".if \\pixels == 3\n"
        "TAC_GEMM_LOWER \\form, lr\n"
        ".endif\n"
        "ldrd r2, r3, [sp, #16]\n"
        "ldrd r5, r6, [sp, #24]\n"
        "ubfx r4, r7, #16, #11\n"
        "ubfx r0, r7, #0, #11\n"
        "add r4, r5\n"
        "add r0, r5\n"
        "strb r8, [r4]\n"
        "strb r9, [r4, r2]\n"
        ".if \\pixels == 3\n"
        "strb r10, [r4, r3]\n"
        ".endif\n"
        "strb r11, [r0]\n"
        "strb r12, [r0, r2]\n"
        ".if \\pixels == 3\n"
        "strb lr, [r0, r3]\n"
        ".endif\n"
        "cmp r1, r6\n"
        "bne.w tac_gemm\\pixels\\()_pair\n"
        "add sp, #40\n"
        "pop {r4-r11, pc}\n"
        ".endm\n"
        ".macro TAC_GEMM pixels, unroll\n"
        ".balign 4\n"
        ".type tac_gemm\\pixels, %function\n"
        ".thumb_func\n"
        "tac_gemm\\pixels:\n"
        "push {r4-r11, lr}\n"
        "sub sp, #40\n"
        "ldm r0!, {r1-r10}\n"
        "stm sp, {r1-r10}\n"
        "ldr r1, [r0]\n"
        "tac_gemm\\pixels\\()_pair:\n"
        "ldm r1!, {r8, r11}\n"
        "mov r9, r8\n"
        "mov r12, r11\n"
        ".if \\pixels == 3\n"
        "mov r10, r8\n"
        "mov lr, r11\n"
        ".endif\n"
        "ldm sp, {r0, r7, pc}\n"
        ".balign 4\n"
        ".thumb_func\n"
        "tac_gemm\\pixels\\()_step:\n"
        ".rept \\unroll\n"
        "ldmia.w r1!, {r5, r6}\n"
        "TAC_GEMM_TAPS \\pixels, r5\n"
        "TAC_GEMM_TAPS \\pixels, r6\n"
        ".endr\n"
        "cmp r0, r7\n"
        "bne tac_gemm\\pixels\\()_step\n"
        "ldr pc, [sp, #12]\n"
        "TAC_GEMM_FINISH \\pixels, lin\n"
        "TAC_GEMM_FINISH \\pixels, relu\n"
        "TAC_GEMM_FINISH \\pixels, clamp\n"
        ".size tac_gemm\\pixels, .-tac_gemm\\pixels\n"
        ".endm\n"
        ".section .text.tac_gemm, \"ax\", %progbits\n"
        "TAC_GEMM 3, 16\n"
        "TAC_GEMM 2, 4\n"
        // r0 columns, r1-r3 bytes; on the stack: bytes of a row, rows, bytes from row to row.
        ".section .text.tac_gemm_expand, \"ax\", %progbits\n"
        ".balign 4\n"
        ".type tac_gemm_expand, %function\n"
        ".thumb_func\n"
        "tac_gemm_expand:\n"
        "push {r4-r11, lr}\n"
        "1:\n"
        "ldr lr, [sp, #36]\n"
        "tst lr, #4\n"
        "add lr, r1\n"
        "beq 2f\n"
        "ldr r7, [r1], #4\n"
        "ldr r8, [r2], #4\n"
        "ldr r9, [r3], #4\n"
        "sxtb16 r4, r7\n"
        "sxtb16 r5, r8\n"
        "sxtb16 r6, r9\n"
        "sxtb16 r7, r7, ror #8\n"
        "sxtb16 r8, r8, ror #8\n"
        "sxtb16 r9, r9, ror #8\n"
        "stm r0!, {r4-r9}\n"
        "cmp r1, lr\n"
        "beq 3f\n"
        "2:\n"
        "ldm r1!, {r7, r10}\n"
        "ldm r2!, {r8, r11}\n"
        "ldm r3!, {r9, r12}\n"
        "sxtb16 r4, r7\n"
        "sxtb16 r5, r8\n"
        "sxtb16 r6, r9\n"
        "sxtb16 r7, r7, ror #8\n"
        "sxtb16 r8, r8, ror #8\n"
        "sxtb16 r9, r9, ror #8\n"
        "stm r0!, {r4-r9}\n"
        "sxtb16 r4, r10\n"
        "sxtb16 r5, r11\n"
        "sxtb16 r6, r12\n"
        "sxtb16 r10, r10, ror #8\n"
        "sxtb16 r11, r11, ror #8\n"
        "sxtb16 r12, r12, ror #8\n"
        "stm r0!, {r4-r6, r10-r12}\n"
        "cmp r1, lr\n"
        "bne 2b\n"
        "3:\n"
        "ldrd r4, r5, [sp, #40]\n"
        "add r1, r5\n"
        "add r2, r5\n"
        "add r3, r5\n"
        "subs r4, #1\n"
        "str r4, [sp, #40]\n"
        "bne 1b\n"
        "pop {r4-r11, pc}\n"
        ".size tac_gemm_expand, .-tac_gemm_expand\n"
        ".text\n");
void tac_gemm3(const gemm_t *g), tac_gemm2(const gemm_t *g);
extern const uint8_t tac_gemm3_step[], tac_gemm3_lin[], tac_gemm3_relu[], tac_gemm3_clamp[];
extern const uint8_t tac_gemm2_step[], tac_gemm2_lin[], tac_gemm2_relu[], tac_gemm2_clamp[];

// Interleaves three columns of bytes as halfwords: `rows` runs of `bytes`, a multiple of 4, `skip`
// bytes apart, in memory at a multiple of 4. Gives the address behind them.
int32_t *tac_gemm_expand(int32_t *to, const int8_t *x0, const int8_t *x1, const int8_t *x2,
                         uint32_t bytes, uint32_t rows, uint32_t skip);

// Makes g ready for groups of three pixels, or of two.
static void bind(gemm_t *g, uint32_t pixels, uint32_t steps, enum tac_form form) {
    const uint8_t *const finish[2][3] = {{tac_gemm2_lin, tac_gemm2_relu, tac_gemm2_clamp},
                                         {tac_gemm3_lin, tac_gemm3_relu, tac_gemm3_clamp}};
    g->finish = (uint32_t)finish[pixels == 3][form] | 1u;
    const uint32_t entry =
        pixels == 3
            ? (uint32_t)tac_gemm3_step + (UNROLL_3 - 1 - (steps - 1) % UNROLL_3) * STEP_BYTES_3
            : (uint32_t)tac_gemm2_step + (UNROLL_2 - 1 - (steps - 1) % UNROLL_2) * STEP_BYTES_2;
    g->entry = entry | 1u;
}
#else
static int8_t clamp(const gemm_t *g, int32_t y) {
    return (int8_t)(g->finish == TAC_FORM_CLAMP ? tac_clamp(y, g->low, g->high) : tac_ssat8(y));
}

static int8_t finish_a(const gemm_t *g, int32_t s, int32_t b, const int32_t *to, uint32_t shift) {
    int32_t a256 = (int32_t)((uint32_t)s - (uint32_t)b);
    if (g->finish == TAC_FORM_RELU) {
        return clamp(g, tac_smmla(a256 >> shift, to[2], to[3]) >> TAC_PACKED_RELU_SHIFT);
    }
    return clamp(g, tac_packed_away(tac_smmlar(a256 >> 7, to[2], to[3]), a256) >> shift);
}

static int8_t finish_b(const gemm_t *g, int32_t b, const int32_t *to, uint32_t shift) {
    if (g->finish == TAC_FORM_RELU) {
        const int32_t left = (int32_t)((uint32_t)b << shift);
        return clamp(g, tac_smmla(left, to[0], to[1]) >> TAC_PACKED_RELU_SHIFT);
    }
    int32_t y = tac_smmlar((int32_t)((uint32_t)b << 1), to[0], to[1]);
    return clamp(g, tac_packed_away(y, b) >> shift);
}

static void gemm_in_c(const gemm_t *g, int pixels) {
    const int32_t pixel[3] = {0, g->second, g->third};
    for (const int32_t *w = g->w; w != g->w_end; w += TAC_PACKED_CONV_TAIL) {
        int32_t s[3] = {w[0], w[0], w[0]}, b[3] = {w[1], w[1], w[1]};
        w += TAC_PACKED_CONV_HEAD;
        for (const int32_t *x = g->x; x != g->x_end; x += 3, w++) {
            const int32_t low = (int32_t)tac_sxtb16((uint32_t)*w);
            for (int i = 0; i < pixels; i++) {
                s[i] = tac_smlad(x[i], *w, s[i]);
                b[i] = tac_smlad(x[i], low, b[i]);
            }
        }
        const uint32_t places = (uint32_t)w[4];
        for (int i = 0; i < pixels; i++) { // a first: without a partner it is nothing, in b's place
            int8_t *out = g->out + pixel[i];
            out[places >> 16 & 2047] = finish_a(g, s[i], b[i], w, places >> 27);
            out[places & 2047] = finish_b(g, b[i], w, places >> 11 & 31);
        }
    }
}
static void tac_gemm3(const gemm_t *g) {
    gemm_in_c(g, 3);
}
static void tac_gemm2(const gemm_t *g) {
    gemm_in_c(g, 2);
}

static int32_t *tac_gemm_expand(int32_t *to, const int8_t *x0, const int8_t *x1, const int8_t *x2,
                                uint32_t bytes, uint32_t rows, uint32_t skip) {
    for (; rows > 0; rows--, x0 += skip, x1 += skip, x2 += skip) {
        for (const int8_t *end = x0 + bytes; x0 != end; x0 += 4, x1 += 4, x2 += 4, to += 6) {
            const uint32_t a = tac_load32(x0), b = tac_load32(x1), c = tac_load32(x2);
            to[0] = (int32_t)tac_sxtb16(a);
            to[1] = (int32_t)tac_sxtb16(b);
            to[2] = (int32_t)tac_sxtb16(c);
            to[3] = (int32_t)tac_sxtb16_odd(a);
            to[4] = (int32_t)tac_sxtb16_odd(b);
            to[5] = (int32_t)tac_sxtb16_odd(c);
        }
    }
    return to;
}

static void bind(gemm_t *g, uint32_t pixels, uint32_t steps, enum tac_form form) {
    (void)pixels, (void)steps;
    g->finish = form;
}
#endif

// The input and the windows of a group in it.
typedef struct windows {
    const int8_t *in;
    int8_t *bytes;                    // in_c zero points, or one column of bytes
    uint32_t taps;                    // of a column, rounded up to 4
    uint32_t row, pitch;              // bytes of a kernel row, and from one to the next
    uint32_t tops, lefts;             // windows that lie inside begin above these
    int32_t top[3], left[3], from[3]; // from = offset of the first tap in the input
} windows_t;

static int inside(const windows_t *win, uint32_t i) {
    return (uint32_t)win->top[i] < win->tops && (uint32_t)win->left[i] < win->lefts;
}

// Columns straight from the tensor: taps of a kernel row in one piece where all three lie inside.
static __attribute__((noinline)) void columns_on_border(const tac_op_t *op, const windows_t *win,
                                                        int32_t *to) {
    const int32_t in_w = op->in_w, in_h = op->in_h, in_c = op->in_c, k_w = op->k_w;
    int32_t begin = 0, end = op->dil_w == 1 ? k_w : 0; // of that piece
    for (uint32_t i = 0; i < 3; i++) {
        begin = -win->left[i] > begin ? -win->left[i] : begin;
        end = in_w - win->left[i] < end ? in_w - win->left[i] : end;
    }
    for (int32_t ky = 0; ky < op->k_h; ky++) {
        int rows[3], all = end > begin;
        const int8_t *at[3];
        for (uint32_t i = 0; i < 3; i++) {
            rows[i] = (uint32_t)(win->top[i] + ky * op->dil_h) < (uint32_t)in_h;
            all = all && rows[i];
            at[i] = win->in + (win->from[i] + ky * (int32_t)win->pitch);
        }
        for (int32_t kx = 0; kx < k_w;) {
            const int32_t x = kx * op->dil_w, offset = x * in_c;
            if (all && kx == begin) {
                to = tac_gemm_expand(to, at[0] + offset, at[1] + offset, at[2] + offset,
                                     (uint32_t)((end - begin) * in_c), 1, 0);
                kx = end;
                continue;
            }
            const int8_t *tap[3];
            for (uint32_t i = 0; i < 3; i++) {
                const int taken = rows[i] && (uint32_t)(win->left[i] + x) < (uint32_t)in_w;
                tap[i] = taken ? at[i] + offset : win->bytes;
            }
            to = tac_gemm_expand(to, tap[0], tap[1], tap[2], (uint32_t)in_c, 1, 0);
            kx++;
        }
    }
}

static inline void copy_bytes(int8_t *to, const int8_t *from, uint32_t count) {
    for (; count >= 4; count -= 4, to += 4, from += 4) {
        tac_store32(to, tac_load32(from));
    }
    for (; count > 0; count--) {
        *to++ = *from++;
    }
}

// One column of bytes, on a ground of zero points where it is not all inside.
static __attribute__((noinline, optimize("Os"))) void gather(const tac_op_t *op,
                                                             const windows_t *win, uint32_t i) {
    const uint32_t in_c = op->in_c, dil_w = op->dil_w;
    const tac_taps_t rows = tac_clip_taps(win->top[i], op->k_h, op->dil_h, op->in_h);
    const tac_taps_t cols = tac_clip_taps(win->left[i], op->k_w, dil_w, op->in_w);
    const uint32_t taps = cols.end - cols.begin;
    int8_t *to = win->bytes;
    if (taps < op->k_w || rows.end - rows.begin < op->k_h) {
        const uint32_t zeros = (uint8_t)-op->in0_add * 0x01010101u;
        for (uint32_t at = 0; at < win->taps; at += 4) {
            tac_store32(to + at, zeros);
        }
        if (taps == 0) {
            return;
        }
    }
    to += rows.begin * win->row + cols.begin * in_c;
    const int8_t *from =
        win->in + (win->from[i] + (int32_t)(rows.begin * win->pitch + cols.begin * dil_w * in_c));
    for (uint32_t ky = rows.begin; ky < rows.end; ky++) {
        if (dil_w == 1) {
            copy_bytes(to, from, taps * in_c);
        } else {
            for (uint32_t kx = 0; kx < taps; kx++) {
                copy_bytes(to + kx * in_c, from + kx * dil_w * in_c, in_c);
            }
        }
        to += win->row;
        from += win->pitch;
    }
}

// Four bytes of a column as halfwords at to[0] and to[3].
static inline void spread(int32_t *to, uint32_t word) {
    to[0] = (int32_t)tac_sxtb16(word);
    to[3] = (int32_t)tac_sxtb16_odd(word);
}

// A column of 3x3 taps over three colours; the last byte is the one before, for a weight of zero.
static inline void column_of_colours(int32_t *to, const int8_t *at, uint32_t pitch) {
    const int8_t *next = at + pitch, *last = next + pitch;
    spread(to, tac_load32(at));
    spread(to + 6, tac_load32(at + 4));
    spread(to + 12, (uint8_t)at[8] | (tac_load32(next - 1) & ~0xFFu));
    spread(to + 18, tac_load32(next + 3));
    spread(to + 24, tac_load32(next + 5) >> 16 | tac_load32(last) << 16);
    spread(to + 30, tac_load32(last + 2));
    spread(to + 36, tac_load32(last + 5) >> 8);
}

// A column of a stem, four taps a row over one channel: a word a row, moved where its window
// reaches past an end of the row.
static void column_of_four(const tac_op_t *op, const windows_t *win, uint32_t i, int32_t *to) {
    const int8_t *at = win->in + win->from[i];
    if (inside(win, i)) {
        for (uint32_t ky = op->k_h; ky > 0; ky--, at += win->pitch, to += 6) {
            spread(to, tac_load32(at));
        }
        return;
    }
    const int32_t past = win->left[i] - tac_clamp(win->left[i], 0, op->in_w - 4); // taps
    const uint32_t left = past < 0 ? 8 * (uint32_t)-past : 0;
    const uint32_t right = past > 0 ? 8 * (uint32_t)past : 0;
    const uint32_t in_h = left < 32 && right < 32 ? op->in_h : 0;
    const uint32_t zeros = (uint8_t)-op->in0_add * 0x01010101u;
    const uint32_t ground = zeros & ~(0xFFFFFFFFu << (left & 31) >> (right & 31));
    uint32_t y = (uint32_t)win->top[i];
    at -= past;
    for (uint32_t ky = op->k_h; ky > 0; ky--, y += op->dil_h, at += win->pitch, to += 6) {
        uint32_t word = zeros;
        if (y < in_h) {
            word = tac_load32(at) << left >> right | ground;
        }
        spread(to, word);
    }
}

static void columns_of_bytes(const tac_op_t *op, const windows_t *win, int32_t *to) {
    for (uint32_t i = 0; i < 3; i++, to++) {
        const int8_t *at = win->in + win->from[i];
        int32_t *column = to;
        if (win->row == 9 && op->k_h == 3 && inside(win, i)) {
            column_of_colours(to, at, win->pitch);
        } else if (win->row == 4 && op->in_c == 1 && op->dil_w == 1 && op->in_w >= 4) {
            column_of_four(op, win, i, to);
        } else {
            gather(op, win, i);
            const int8_t *end = win->bytes + win->taps;
            for (at = win->bytes; at != end; at += 4, column += 6) {
                spread(column, tac_load32(at));
            }
        }
    }
}

void tac_packed_conv2d(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    const uint32_t taps = tac_packed_taps(op), in_c = op->in_c;
    int32_t *columns = (int32_t *)(void *)(arena + op->scratch);
    const int32_t *stream = tac_table(image, op->weights);
    const int reverse = op->flags & TAC_OP_REVERSE;
    const int32_t step = reverse ? -1 : 1; // from pixel to pixel
    const int32_t out_c = op->out_c, in_row = op->in_w * (int32_t)in_c;
    const enum tac_form form = op->param0 ? TAC_FORM_LIN : tac_packed_form(op);
    gemm_t g = {
        .x = columns,
        .x_end = columns + taps / 2 * 3,
        .second = step * out_c,
        .third = 2 * step * out_c,
        .out = (int8_t *)(arena + op->out) + (uint32_t)op->row_begin * op->out_w * op->out_c,
        .w_end = stream + op->count * (TAC_PACKED_CONV_HEAD + TAC_PACKED_CONV_TAIL + taps / 2),
        .low = op->act_min,
        .high = op->act_max,
        .w = stream,
    };
    const int32_t height = op->in_h - (op->k_h - 1) * op->dil_h;
    const int32_t width = op->in_w - (op->k_w - 1) * op->dil_w;
    windows_t win = {
        .in = (const int8_t *)(arena + op->in0),
        .bytes = (int8_t *)g.x_end,
        .taps = taps,
        .row = op->k_w * in_c,
        .pitch = op->dil_h * (uint32_t)in_row,
        // A window with gaps is never taken as one piece.
        .tops = op->dil_w == 1 && height > 0 ? (uint32_t)height : 0,
        .lefts = width > 0 ? (uint32_t)width : 0,
    };
    const int words = in_c % 4 == 0, border = tac_packed_border(op);
    if (words && border) {
        memset(win.bytes, -op->in0_add, in_c);
    }
    // 1x1 in the input's own order: pixels follow each other.
    const int contiguous = words && taps == in_c && op->stride_h == 1 && op->stride_w == 1 &&
                           op->out_w == op->in_w && !border;
    const int32_t near = -op->pad_l, far = near + (op->out_w - 1) * op->stride_w;
    const int32_t begin = reverse ? far : near, end = reverse ? near : far;
    const int32_t right = step * op->stride_w, down = step * op->stride_h;
    const int32_t pixel = (int32_t)in_c * right;
    int32_t top = (reverse ? op->row_end - 1 : op->row_begin) * op->stride_h - op->pad_t;
    int32_t left = begin;
    int32_t pixels = (op->row_end - op->row_begin) * op->out_w;
    int32_t from = top * in_row + left * (int32_t)in_c;
    // From the last pixel of a row to the first of the next.
    const int32_t wrap = down * in_row - (end - begin) * (int32_t)in_c;
    if (reverse) {
        g.out += (pixels - 1) * out_c;
    }
    bind(&g, 3, taps / 4, form);
    while (pixels > 0) {
        int32_t group = 3;
        if (pixels < 3 || pixels == 4) {
            group = pixels == 1 ? 1 : 2;
            bind(&g, 2, taps / 4, form);
        }
        if (contiguous) {
            const int8_t *at = win.in + from;
            const int32_t second = group > 1 ? pixel : 0, third = group > 2 ? 2 * pixel : 0;
            tac_gemm_expand(columns, at, at + second, at + third, in_c, 1, 0);
            from += group * pixel;
        } else {
            int whole = 1;
            for (int32_t i = 0; i < 3; i++) {
                win.top[i] = top, win.left[i] = left, win.from[i] = from;
                whole &= inside(&win, (uint32_t)i);
                if (i + 1 >= group && i < 2) {
                    continue; // a group without third or second pixel repeats its last one
                }
                if (left == end) {
                    left = begin;
                    top += down;
                    from += wrap;
                } else {
                    left += right;
                    from += pixel;
                }
            }
            if (!words) {
                columns_of_bytes(op, &win, columns);
            } else if (whole) {
                tac_gemm_expand(columns, win.in + win.from[0], win.in + win.from[1],
                                win.in + win.from[2], win.row, op->k_h, win.pitch - win.row);
            } else {
                columns_on_border(op, &win, columns);
            }
        }
        if (group == 3) {
            tac_gemm3(&g);
        } else {
            g.second = group == 1 ? 0 : g.second;
            tac_gemm2(&g);
        }
        g.out += group * step * out_c;
        pixels -= group;
    }
}
