// SPDX-License-Identifier: MIT
// CONV2D packed for Armv7E-M DSP (engine/packed.h): im2col of three pixels, then a matrix product of
// 2 channels x 3 pixels at a time.
//
// One step of the inner loop does 4 taps = 24 MACs: two words of weights and six of activations in
// three LDM, two SXTB16, twelve SMLAD; 17 instructions, 0.71 a MAC, and the loop 3 every 32 taps.
// Cortex-M4 cycles: 25 a step, 1.04 a MAC. An output costs about 9 more (LIN), 7 (RELU), 13 (CLAMP);
// im2col 10 instructions for 12 values, from the tensor itself when in_c (or a whole kernel row)
// is a multiple of 4, through a byte buffer otherwise.
//
// A group is three pixels in row-major order: all its loads come before its first store, and it
// stores its own bytes only. A last group of one or two pixels computes one of them repeatedly.
// Conditions: one group of channels, and what packed.h proves; any kernel, stride, dilation, padding.
#include "engine/packed.h"

enum { UNROLL = 8, STEP_BYTES = 17 * 4 };

typedef struct gemm {
    const int32_t *x, *x_end;  // three columns, interleaved: 2 values of each in turn
    const int32_t *w, *w_end;  // the stream
    uint32_t skip;             // bytes of code to jump over in the first turn of the unrolled loop
    int8_t *out;               // first pixel
    uint32_t second, third;    // bytes from it to the two others
    int32_t low, high;
} gemm_t;

// Accumulators of channels a and b: s = 256 * a + b for three pixels, then b.
typedef struct sums {
    int32_t s0, s1, s2, b0, b1, b2;
} sums_t;

// Runs the inner loop over the weights of one pair; gives the address behind them.
static inline const int32_t *accumulate(sums_t *sums, const gemm_t *g, const int32_t *w) {
    const int32_t *x = g->x, *end = g->x_end;
#if TAC_DSP
    uint32_t skip = g->skip;
    int32_t s0 = sums->s0, s1 = s0, s2 = s0, b0 = sums->b0, b1 = b0, b2 = b0;
    __asm__ volatile("ldr.w r2, %[skip]\n\t"
                     "add.n pc, r2\n\t"
                     "nop.n\n"
                     "1:\n\t"
                     ".rept 8\n\t"
                     "ldmia.w %[w]!, {r5, r6}\n\t"
                     "ldmia.w %[x]!, {r2, r3, r4}\n\t"
                     "smlad %[s0], r2, r5, %[s0]\n\t"
                     "smlad %[s1], r3, r5, %[s1]\n\t"
                     "smlad %[s2], r4, r5, %[s2]\n\t"
                     "sxtb16.w r5, r5\n\t"
                     "smlad %[b0], r2, r5, %[b0]\n\t"
                     "smlad %[b1], r3, r5, %[b1]\n\t"
                     "smlad %[b2], r4, r5, %[b2]\n\t"
                     "ldmia.w %[x]!, {r2, r3, r4}\n\t"
                     "smlad %[s0], r2, r6, %[s0]\n\t"
                     "smlad %[s1], r3, r6, %[s1]\n\t"
                     "smlad %[s2], r4, r6, %[s2]\n\t"
                     "sxtb16.w r6, r6\n\t"
                     "smlad %[b0], r2, r6, %[b0]\n\t"
                     "smlad %[b1], r3, r6, %[b1]\n\t"
                     "smlad %[b2], r4, r6, %[b2]\n\t"
                     ".endr\n\t"
                     "ldr.w r2, %[end]\n\t"
                     "cmp %[x], r2\n\t"
                     "bne 1b"
                     : [x] "+r"(x), [w] "+r"(w), [s0] "+r"(s0), [s1] "+r"(s1), [s2] "+r"(s2),
                       [b0] "+r"(b0), [b1] "+r"(b1), [b2] "+r"(b2)
                     : [end] "m"(end), [skip] "m"(skip)
                     : "r2", "r3", "r4", "r5", "r6", "cc", "memory");
    sums->s0 = s0, sums->s1 = s1, sums->s2 = s2;
    sums->b0 = b0, sums->b1 = b1, sums->b2 = b2;
#else
    int32_t *s = &sums->s0, *b = &sums->b0;
    s[1] = s[2] = s[0], b[1] = b[2] = b[0];
    for (; x != end; x += 3, w++) {
        int32_t low = (int32_t)tac_sxtb16((uint32_t)*w);
        for (int i = 0; i < 3; i++) {
            s[i] = tac_smlad(x[i], *w, s[i]);
            b[i] = tac_smlad(x[i], low, b[i]);
        }
    }
#endif
    return w;
}

static inline int8_t clamp(const gemm_t *g, enum tac_form form, int32_t y) {
    return (int8_t)(form == TAC_FORM_CLAMP ? tac_clamp(y, g->low, g->high) : tac_ssat8(y));
}

static inline int8_t finish_b(const gemm_t *g, enum tac_form form, int32_t b, int32_t m, int32_t c,
                              uint32_t shift) {
    int32_t y = tac_smmlar((int32_t)((uint32_t)b << 1), m, c);
    return clamp(g, form, (form == TAC_FORM_RELU ? y : y + (b >> 31)) >> shift);
}

static inline int8_t finish_a(const gemm_t *g, enum tac_form form, int32_t s, int32_t b, int32_t m,
                              int32_t c, uint32_t shift) {
    int32_t a256 = (int32_t)((uint32_t)s - (uint32_t)b);
    if (form == TAC_FORM_RELU) {
        return clamp(g, form, tac_smmla(a256, m, c) >> shift);
    }
    return clamp(g, form, (tac_smmlar(a256 >> 7, m, c) + (a256 >> 31)) >> shift);
}

static inline __attribute__((always_inline)) void gemm(const gemm_t *g, enum tac_form form) {
    const int32_t *w = g->w;
    do {
        const uint32_t head = (uint32_t)w[0];
        sums_t sums = {.s0 = w[1], .b0 = w[2]};
        w = accumulate(&sums, g, w + TAC_PACKED_CONV_HEAD);
        const uint32_t second = g->second, third = g->third;
        // a first: where b has no partner, a is nothing, at the same place.
        int32_t m = w[2], c = w[3];
        uint32_t shift = head >> 27;
        int8_t *out = g->out + (head >> 11 & 2047);
        out[0] = finish_a(g, form, sums.s0, sums.b0, m, c, shift);
        out[second] = finish_a(g, form, sums.s1, sums.b1, m, c, shift);
        out[third] = finish_a(g, form, sums.s2, sums.b2, m, c, shift);
        m = w[0], c = w[1], shift = head >> 22 & 31;
        out = g->out + (head & 2047);
        out[0] = finish_b(g, form, sums.b0, m, c, shift);
        out[second] = finish_b(g, form, sums.b1, m, c, shift);
        out[third] = finish_b(g, form, sums.b2, m, c, shift);
        w += TAC_PACKED_CONV_TAIL;
    } while (w != g->w_end);
}

__attribute__((noinline)) static void gemm_lin(const gemm_t *g) {
    gemm(g, TAC_FORM_LIN);
}
__attribute__((noinline)) static void gemm_relu(const gemm_t *g) {
    gemm(g, TAC_FORM_RELU);
}
__attribute__((noinline)) static void gemm_clamp(const gemm_t *g) {
    gemm(g, TAC_FORM_CLAMP);
}

// Interleaves three columns of bytes (a multiple of 4) as halfwords; gives the address behind them.
__attribute__((noinline)) static int32_t *expand(int32_t *to, const int8_t *x0, const int8_t *x1,
                                                 const int8_t *x2, uint32_t bytes) {
    const int8_t *end = x0 + bytes;
#if TAC_DSP
    __asm__ volatile("1:\n\t"
                     "ldr.w r10, [%[x0]], #4\n\t"
                     "ldr.w r11, [%[x1]], #4\n\t"
                     "ldr.w r12, [%[x2]], #4\n\t"
                     "sxtb16 r4, r10\n\t"
                     "sxtb16 r5, r11\n\t"
                     "sxtb16 r6, r12\n\t"
                     "sxtb16 r8, r10, ror #8\n\t"
                     "sxtb16 r9, r11, ror #8\n\t"
                     "sxtb16 r10, r12, ror #8\n\t"
                     "stmia.w %[to]!, {r4, r5, r6, r8, r9, r10}\n\t"
                     "cmp %[x0], %[end]\n\t"
                     "bne 1b"
                     : [to] "+r"(to), [x0] "+r"(x0), [x1] "+r"(x1), [x2] "+r"(x2)
                     : [end] "r"(end)
                     : "r4", "r5", "r6", "r8", "r9", "r10", "r11", "r12", "cc", "memory");
#else
    for (; x0 != end; x0 += 4, x1 += 4, x2 += 4, to += 6) {
        uint32_t a = tac_load32(x0), b = tac_load32(x1), c = tac_load32(x2);
        to[0] = (int32_t)tac_sxtb16(a);
        to[1] = (int32_t)tac_sxtb16(b);
        to[2] = (int32_t)tac_sxtb16(c);
        to[3] = (int32_t)tac_sxtb16_odd(a);
        to[4] = (int32_t)tac_sxtb16_odd(b);
        to[5] = (int32_t)tac_sxtb16_odd(c);
    }
#endif
    return to;
}

// The input and where the windows of a group lie in it.
typedef struct windows {
    const int8_t *in;
    int8_t *zeros; // in_c bytes that read as zero point, when in_c is a multiple of 4
    int8_t *bytes; // three columns of bytes otherwise
    uint32_t taps; // of a column, rounded up to 4
    int32_t top[3], left[3];
} windows_t;

static const int8_t *tap(const tac_op_t *op, const windows_t *win, int32_t y, int32_t x) {
    int inside = y >= 0 && y < op->in_h && x >= 0 && x < op->in_w;
    return inside ? win->in + (uint32_t)(y * op->in_w + x) * op->in_c : win->zeros;
}

// Columns straight from the tensor: kernel rows in one piece where all three lie inside.
static void columns_of_words(const tac_op_t *op, const windows_t *win, int32_t *to) {
    const int32_t *top = win->top, *left = win->left;
    const int32_t reach = (op->k_w - 1) * op->dil_w, in_w = op->in_w, in_h = op->in_h;
    const uint32_t in_c = op->in_c;
    int joined = op->dil_w == 1;
    for (int i = 0; i < 3; i++) {
        joined = joined && left[i] >= 0 && left[i] + reach < in_w;
    }
    for (int32_t ky = 0; ky < op->k_h; ky++) {
        int32_t y0 = top[0] + ky * op->dil_h, y1 = top[1] + ky * op->dil_h,
                y2 = top[2] + ky * op->dil_h;
        if (joined && y0 >= 0 && y2 >= 0 && y0 < in_h && y1 < in_h && y2 < in_h && y1 >= 0) {
            to = expand(to, tap(op, win, y0, left[0]), tap(op, win, y1, left[1]),
                        tap(op, win, y2, left[2]), op->k_w * in_c);
            continue;
        }
        for (int32_t kx = 0; kx <= reach; kx += op->dil_w) {
            to = expand(to, tap(op, win, y0, left[0] + kx), tap(op, win, y1, left[1] + kx),
                        tap(op, win, y2, left[2] + kx), in_c);
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

// One column gathered byte by byte of its inside, on a ground of zero points.
static void gather(const tac_op_t *op, const windows_t *win, int32_t top, int32_t left, int8_t *to) {
    const uint32_t in_c = op->in_c, row = op->k_w * in_c;
    const tac_taps_t rows = tac_clip_taps(top, op->k_h, op->dil_h, op->in_h);
    const tac_taps_t cols = tac_clip_taps(left, op->k_w, op->dil_w, op->in_w);
    const uint32_t taps = cols.end - cols.begin;
    if (taps < op->k_w || rows.end - rows.begin < op->k_h) {
        const uint32_t zeros = (uint8_t)-op->in0_add * 0x01010101u;
        for (uint32_t i = 0; i < win->taps; i += 4) {
            tac_store32(to + i, zeros);
        }
        if (taps == 0) {
            return;
        }
    }
    to += rows.begin * row + cols.begin * in_c;
    for (uint32_t ky = rows.begin; ky < rows.end; ky++, to += row) {
        const int8_t *from = tap(op, win, top + (int32_t)(ky * op->dil_h),
                                 left + (int32_t)(cols.begin * op->dil_w));
        if (op->dil_w == 1) {
            copy_bytes(to, from, taps * in_c);
            continue;
        }
        for (uint32_t kx = 0; kx < taps; kx++) {
            copy_bytes(to + kx * in_c, from + kx * op->dil_w * in_c, in_c);
        }
    }
}

static void columns_of_bytes(const tac_op_t *op, const windows_t *win, int32_t *to) {
    int8_t *const bytes = win->bytes;
    for (uint32_t i = 0; i < 3; i++) {
        gather(op, win, win->top[i], win->left[i], bytes + i * win->taps);
    }
    expand(to, bytes, bytes + win->taps, bytes + 2 * win->taps, win->taps);
}

void tac_packed_conv2d(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    const uint32_t taps = tac_packed_taps(op), steps = taps / 4;
    int32_t *columns = (int32_t *)(void *)(arena + op->scratch);
    int8_t *behind = (int8_t *)(columns + taps / 2 * 3);
    const int32_t *stream = tac_table(image, op->weights);
    gemm_t g = {
        .x = columns,
        .x_end = columns + taps / 2 * 3,
        .w = stream,
        .w_end = stream +
                 op->count * (TAC_PACKED_CONV_HEAD + TAC_PACKED_CONV_TAIL + taps / 2),
        .skip = (UNROLL - 1 - (steps - 1) % UNROLL) * STEP_BYTES,
        .out = (int8_t *)(arena + op->out) + (uint32_t)op->row_begin * op->out_w * op->out_c,
        .low = op->act_min,
        .high = op->act_max,
    };
    const enum tac_form form = tac_packed_form(op);
    void (*const product)(const gemm_t *) = form == TAC_FORM_LIN    ? gemm_lin
                                            : form == TAC_FORM_RELU ? gemm_relu
                                                                    : gemm_clamp;
    windows_t win = {
        .in = (const int8_t *)(arena + op->in0), .zeros = behind, .bytes = behind, .taps = taps};
    const int words = op->in_c % 4 == 0;
    if (words && tac_packed_border(op)) {
        memset(behind, -op->in0_add, op->in_c);
    }
    int32_t top = op->row_begin * op->stride_h - op->pad_t, left = -op->pad_l;
    uint32_t column = 0;
    for (uint32_t pixels = (uint32_t)(op->row_end - op->row_begin) * op->out_w; pixels > 0;) {
        const uint32_t group = pixels < 3 ? pixels : 3;
        for (uint32_t i = 0; i < group; i++) {
            win.top[i] = top;
            win.left[i] = left;
            left += op->stride_w;
            if (++column == op->out_w) {
                column = 0;
                left = -op->pad_l;
                top += op->stride_h;
            }
        }
        for (uint32_t i = group; i < 3; i++) { // pixel 0 again
            win.top[i] = win.top[0];
            win.left[i] = win.left[0];
        }
        g.second = group > 1 ? op->out_c : 0;
        g.third = group > 2 ? 2u * op->out_c : 0;
        if (words) {
            columns_of_words(op, &win, columns);
        } else {
            columns_of_bytes(op, &win, columns);
        }
        product(&g);
        g.out += group * op->out_c;
        pixels -= group;
    }
}
