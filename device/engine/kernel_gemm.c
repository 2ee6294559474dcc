// SPDX-License-Identifier: MIT
// CONV2D packed for Armv7E-M DSP (engine/packed.h): im2col of three pixels, then a matrix product
// of 2 channels x 3 pixels at a time.
//
// One step of the inner loop does 4 taps = 24 MACs: two words of weights and six of activations in
// three LDM, two SXTB16, twelve SMLAD; 17 instructions, 0.71 a MAC, and the loop 2 every 32 taps.
// Cortex-M4 cycles: 25 a step, 1.04 a MAC. An output costs 8 more (RELU), 10 (LIN), 16 (CLAMP);
// im2col 12 instructions for 12 values, from the tensor itself when in_c is a multiple of 4,
// through a buffer of bytes otherwise.
//
// A group is three pixels in row-major order, from the last one backwards with TAC_OP_REVERSE: all
// its loads come before its first store, and it stores its own bytes only. A last group of one or
// two pixels computes one of them repeatedly.
// Conditions: one group of channels, at most 2048 outputs, and what packed.h proves; any kernel,
// stride, dilation, padding.
#include "engine/packed.h"

enum { UNROLL = 8, STEP_BYTES = 17 * 4 };

// What the product of one group needs; the asm reads it by position.
typedef struct gemm {
    const int32_t *w;         // the stream
    const int32_t *x, *x_end; // three columns, interleaved: 2 values of each in turn
    uint32_t skip;            // bytes of code to jump over in the first turn of the unrolled loop
    int32_t second, third;    // bytes from the first pixel of the group to the two others
    int8_t *out;              // first pixel
    const int32_t *w_end;
    int32_t low, high;
} gemm_t;

#if TAC_DSP
// r0 columns, r1 stream, r2-r4 and r5-r6 operands, r7 end of the columns, then places and shifts,
// r8-r10 sums 256 * a + b of three pixels, r11, r12, lr sums b. On the stack: 0 x, 4 x_end, 8 entry
// of the unrolled loop, 12 second, 16 third, 20 out, 24 w_end, 28 low, 32 high.
__asm__(".syntax unified\n"
        ".thumb\n"
        // r2 is free.
        ".macro TAC_GEMM_CLAMP form, y\n"
        ".ifc \\form, clamp\n"
        "ldr r2, [sp, #28]\n"
        "cmp \\y, r2\n"
        "it lt\n"
        "movlt \\y, r2\n"
        "ldr r2, [sp, #32]\n"
        "cmp \\y, r2\n"
        "it gt\n"
        "movgt \\y, r2\n"
        ".else\n"
        "ssat \\y, #8, \\y\n"
        ".endif\n"
        ".endm\n"
        // \s becomes output a: r5 mult, r6 constant, r4 shift; r2 is free.
        ".macro TAC_GEMM_UPPER form, s, b\n"
        "sub \\s, \\s, \\b\n"
        ".ifc \\form, relu\n"
        "smmla \\s, \\s, r5, r6\n"
        "asr \\s, \\s, r4\n"
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
        "lsl \\b, \\b, #1\n"
        ".ifc \\form, relu\n"
        "smmlar \\b, \\b, r0, r3\n"
        "asr \\b, \\b, r4\n"
        ".else\n"
        "smmlar r2, \\b, r0, r3\n"
        "add r2, r2, \\b, asr #31\n"
        "asr \\b, r2, r4\n"
        ".endif\n"
        "TAC_GEMM_CLAMP \\form, \\b\n"
        ".endm\n"
        ".macro TAC_GEMM form\n"
        ".section .text.tac_gemm_\\form, \"ax\", %progbits\n"
        ".balign 4\n"
        ".type tac_gemm_\\form, %function\n"
        ".thumb_func\n"
        "tac_gemm_\\form:\n"
        "push {r4-r11, lr}\n"
        "sub sp, #36\n"
        "ldm r0, {r1-r10}\n"
        "adr r11, 2f\n"
        "add r4, r11\n"
        "add r4, #1\n"
        "stm sp, {r2-r10}\n"
        "1:\n"
        "ldm r1!, {r8, r11}\n"
        "mov r9, r8\n"
        "mov r10, r8\n"
        "mov r12, r11\n"
        "mov lr, r11\n"
        "ldrd r0, r7, [sp]\n"
        "ldr pc, [sp, #8]\n"
        ".balign 4\n"
        "2:\n"
        ".rept 8\n"
        "ldmia.w r1!, {r5, r6}\n"
        "ldmia.w r0!, {r2, r3, r4}\n"
        "smlad r8, r2, r5, r8\n"
        "smlad r9, r3, r5, r9\n"
        "smlad r10, r4, r5, r10\n"
        "sxtb16.w r5, r5\n"
        "smlad r11, r2, r5, r11\n"
        "smlad r12, r3, r5, r12\n"
        "smlad lr, r4, r5, lr\n"
        "ldmia.w r0!, {r2, r3, r4}\n"
        "smlad r8, r2, r6, r8\n"
        "smlad r9, r3, r6, r9\n"
        "smlad r10, r4, r6, r10\n"
        "sxtb16.w r6, r6\n"
        "smlad r11, r2, r6, r11\n"
        "smlad r12, r3, r6, r12\n"
        "smlad lr, r4, r6, lr\n"
        ".endr\n"
        "cmp r0, r7\n"
        "bne 2b\n"
        "ldm r1!, {r0, r3, r5-r7}\n" // mult and constant of b, of a, places and shifts
        "lsr r4, r7, #27\n"
        "TAC_GEMM_UPPER \\form, r8, r11\n"
        "TAC_GEMM_UPPER \\form, r9, r12\n"
        "TAC_GEMM_UPPER \\form, r10, lr\n"
        "ubfx r4, r7, #22, #5\n"
        "TAC_GEMM_LOWER \\form, r11\n"
        "TAC_GEMM_LOWER \\form, r12\n"
        "TAC_GEMM_LOWER \\form, lr\n"
        "ldrd r2, r3, [sp, #12]\n"
        "ldrd r5, r6, [sp, #20]\n"
        "ubfx r4, r7, #11, #11\n"
        "add r4, r5\n"
        "strb r8, [r4]\n"
        "strb r9, [r4, r2]\n"
        "strb r10, [r4, r3]\n"
        "ubfx r4, r7, #0, #11\n"
        "add r4, r5\n"
        "strb r11, [r4]\n"
        "strb r12, [r4, r2]\n"
        "strb lr, [r4, r3]\n"
        "cmp r1, r6\n"
        "bne 1b\n"
        "add sp, #36\n"
        "pop {r4-r11, pc}\n"
        ".size tac_gemm_\\form, .-tac_gemm_\\form\n"
        ".endm\n"
        "TAC_GEMM lin\n"
        "TAC_GEMM relu\n"
        "TAC_GEMM clamp\n"
        ".text\n");
void tac_gemm_lin(const gemm_t *g), tac_gemm_relu(const gemm_t *g), tac_gemm_clamp(const gemm_t *g);
#else
static int8_t clamp(const gemm_t *g, enum tac_form form, int32_t y) {
    return (int8_t)(form == TAC_FORM_CLAMP ? tac_clamp(y, g->low, g->high) : tac_ssat8(y));
}

static int8_t finish_a(const gemm_t *g, enum tac_form form, int32_t s, int32_t b, const int32_t *to,
                       uint32_t shift) {
    int32_t a256 = (int32_t)((uint32_t)s - (uint32_t)b);
    if (form == TAC_FORM_RELU) {
        return clamp(g, form, tac_smmla(a256, to[2], to[3]) >> shift);
    }
    return clamp(g, form, tac_packed_away(tac_smmlar(a256 >> 7, to[2], to[3]), a256) >> shift);
}

static int8_t finish_b(const gemm_t *g, enum tac_form form, int32_t b, const int32_t *to,
                       uint32_t shift) {
    int32_t y = tac_smmlar((int32_t)((uint32_t)b << 1), to[0], to[1]);
    return clamp(g, form, (form == TAC_FORM_RELU ? y : tac_packed_away(y, b)) >> shift);
}

static void gemm_in_c(const gemm_t *g, enum tac_form form) {
    const int32_t pixel[3] = {0, g->second, g->third};
    for (const int32_t *w = g->w; w != g->w_end; w += TAC_PACKED_CONV_TAIL) {
        int32_t s[3] = {w[0], w[0], w[0]}, b[3] = {w[1], w[1], w[1]};
        w += TAC_PACKED_CONV_HEAD;
        for (const int32_t *x = g->x; x != g->x_end; x += 3, w++) {
            const int32_t low = (int32_t)tac_sxtb16((uint32_t)*w);
            for (int i = 0; i < 3; i++) {
                s[i] = tac_smlad(x[i], *w, s[i]);
                b[i] = tac_smlad(x[i], low, b[i]);
            }
        }
        const uint32_t places = (uint32_t)w[4];
        for (int i = 0; i < 3; i++) { // a first: without a partner it is nothing, in b's place
            int8_t *out = g->out + pixel[i];
            out[places >> 11 & 2047] = finish_a(g, form, s[i], b[i], w, places >> 27);
            out[places & 2047] = finish_b(g, form, b[i], w, places >> 22 & 31);
        }
    }
}
static void tac_gemm_lin(const gemm_t *g) {
    gemm_in_c(g, TAC_FORM_LIN);
}
static void tac_gemm_relu(const gemm_t *g) {
    gemm_in_c(g, TAC_FORM_RELU);
}
static void tac_gemm_clamp(const gemm_t *g) {
    gemm_in_c(g, TAC_FORM_CLAMP);
}
#endif

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
    uint32_t in_row;
    int32_t last_top, last_left; // of a window all inside; -1 where copy_rows() does not fit
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

// Kernel rows of `bytes` one after the other: all but the last as whole words, whose surplus the
// next row overwrites (and which lie inside the tensor: a later row follows).
static inline void copy_rows(int8_t *to, const int8_t *from, uint32_t rows, uint32_t bytes,
                             uint32_t pitch) {
    while (--rows > 0) {
        const int8_t *word = from;
        int8_t *put = to;
        for (const int8_t *end = to + bytes; put < end; put += 4, word += 4) {
            tac_store32(put, tac_load32(word));
        }
        to += bytes;
        from += pitch;
    }
    copy_bytes(to, from, bytes);
}

// The same for a number of bytes that the compiler knows.
static inline __attribute__((always_inline)) void
copy_known(int8_t *to, const int8_t *from, uint32_t rows, uint32_t bytes, uint32_t pitch) {
    for (; rows > 0; rows--, to += bytes, from += pitch) {
        memcpy(to, from, bytes);
    }
}

// One column of bytes, on a ground of zero points where it is not all inside.
__attribute__((noinline)) static void gather(const tac_op_t *op, const windows_t *win, int32_t top,
                                             int32_t left, int8_t *to) {
    const uint32_t in_c = op->in_c, row = op->k_w * in_c, in_row = win->in_row;
    if (top >= 0 && left >= 0 && top <= win->last_top && left <= win->last_left) {
        const int8_t *from = win->in + (uint32_t)top * in_row + (uint32_t)left * in_c;
        if (row == 9) { // 3x3 over three colours
            copy_known(to, from, op->k_h, 9, in_row);
        } else if (row == 4) { // a stem of four columns over one channel
            copy_known(to, from, op->k_h, 4, in_row);
        } else {
            copy_rows(to, from, op->k_h, row, in_row);
        }
        return;
    }
    const tac_taps_t rows = tac_clip_taps(top, op->k_h, op->dil_h, op->in_h);
    const tac_taps_t cols = tac_clip_taps(left, op->k_w, op->dil_w, op->in_w);
    const uint32_t taps = cols.end - cols.begin;
    if (taps < op->k_w || rows.end - rows.begin < op->k_h) {
        const uint32_t zeros = (uint8_t)-op->in0_add * 0x01010101u;
        for (uint32_t i = 0; i < win->taps; i += 4) {
            tac_store32(to + i, zeros);
        }
        if (taps == 0 || rows.begin == rows.end) {
            return;
        }
    }
    to += rows.begin * row + cols.begin * in_c;
    const int8_t *from = win->in + (uint32_t)(top + (int32_t)(rows.begin * op->dil_h)) * in_row +
                         (uint32_t)(left + (int32_t)(cols.begin * op->dil_w)) * in_c;
    for (uint32_t ky = rows.begin; ky < rows.end; ky++) {
        if (op->dil_w == 1) {
            copy_bytes(to, from, taps * in_c);
        } else {
            for (uint32_t kx = 0; kx < taps; kx++) {
                copy_bytes(to + kx * in_c, from + kx * op->dil_w * in_c, in_c);
            }
        }
        to += row;
        from += op->dil_h * in_row;
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
        .w_end = stream + op->count * (TAC_PACKED_CONV_HEAD + TAC_PACKED_CONV_TAIL + taps / 2),
        .skip = (UNROLL - 1 - (steps - 1) % UNROLL) * STEP_BYTES,
        .out = (int8_t *)(arena + op->out) + (uint32_t)op->row_begin * op->out_w * op->out_c,
        .low = op->act_min,
        .high = op->act_max,
    };
    const enum tac_form form = tac_packed_form(op);
    void (*const product)(const gemm_t *) = form == TAC_FORM_LIN    ? tac_gemm_lin
                                            : form == TAC_FORM_RELU ? tac_gemm_relu
                                                                    : tac_gemm_clamp;
    windows_t win = {
        .in = (const int8_t *)(arena + op->in0), .zeros = behind, .bytes = behind, .taps = taps};
    const int words = op->in_c % 4 == 0;
    // Rows of 3 bytes or more hold the surplus of a word.
    const int whole = op->dil_h == 1 && op->dil_w == 1 && op->k_w * (uint32_t)op->in_c >= 3;
    win.in_row = (uint32_t)op->in_w * op->in_c;
    win.last_top = whole ? op->in_h - op->k_h : -1;
    win.last_left = op->in_w - op->k_w;
    if (words && tac_packed_border(op)) {
        memset(behind, -op->in0_add, op->in_c);
    }
    // 1x1 in the input's own order: pixels follow each other.
    const int contiguous = words && taps == op->in_c && op->stride_h == 1 && op->stride_w == 1 &&
                           op->out_w == op->in_w && !tac_packed_border(op) && op->pad_l == 0;
    const int reverse = op->flags & TAC_OP_REVERSE;
    const int32_t step = reverse ? -1 : 1; // from pixel to pixel
    const int32_t near = -op->pad_l, far = near + (op->out_w - 1) * op->stride_w;
    const int32_t begin = reverse ? far : near, end = reverse ? near : far;
    const int32_t right = step * op->stride_w, down = step * op->stride_h;
    int32_t top = (reverse ? op->row_end - 1 : op->row_begin) * op->stride_h - op->pad_t;
    int32_t left = begin;
    int32_t pixels = (op->row_end - op->row_begin) * op->out_w;
    if (reverse) {
        g.out += (pixels - 1) * op->out_c;
    }
    while (pixels > 0) {
        const int32_t group = pixels < 3 ? pixels : 3;
        for (int32_t i = 0; i < group; i++) {
            win.top[i] = top;
            win.left[i] = left;
            if (left == end) {
                left = begin;
                top += down;
            } else {
                left += right;
            }
        }
        for (int32_t i = group; i < 3; i++) { // pixel 0 again
            win.top[i] = win.top[0];
            win.left[i] = win.left[0];
        }
        g.second = group > 1 ? step * op->out_c : 0;
        g.third = group > 2 ? 2 * step * op->out_c : 0;
        if (contiguous) {
            const int8_t *x0 = win.in + (win.top[0] * op->in_w + win.left[0]) * op->in_c;
            expand(columns, x0, x0 + (group > 1 ? step * op->in_c : 0),
                   x0 + (group > 2 ? 2 * step * op->in_c : 0), op->in_c);
        } else if (words) {
            columns_of_words(op, &win, columns);
        } else {
            columns_of_bytes(op, &win, columns);
        }
        product(&g);
        g.out += step * group * op->out_c;
        pixels -= group;
    }
}
