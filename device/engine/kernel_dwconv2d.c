// SPDX-License-Identifier: MIT
// DWCONV2D: depthwise convolution, NHWC, weights [1,KH,KW,OC], four output channels at a time.
//
// Where input and output overlap: a step is four output channels of a pixel (then one by one); all
// its reads come before its writes. With TAC_OP_REVERSE the same steps run last first.
#include "engine/kernel.h"

typedef struct window {
    const int8_t *x, *w;                 // first tap inside the input, channel 0
    uint32_t rows, cols;                 // taps inside the input
    uint32_t x_row, x_col, w_row, w_col; // bytes from one tap to the next
} window_t;

// Four neighbouring outputs of four input channels (multiplier 1): x advances with the channel.
__attribute__((noinline)) static void accumulate_each(uint32_t acc[4], const window_t *win,
                                                      const int8_t *x, const int8_t *w,
                                                      int32_t add) {
    uint32_t a0 = acc[0], a1 = acc[1], a2 = acc[2], a3 = acc[3];
    for (uint32_t row = win->rows; row > 0; row--) {
        const int8_t *x_tap = x, *w_tap = w;
        for (uint32_t col = win->cols; col > 0; col--) {
            a0 += (uint32_t)((x_tap[0] + add) * w_tap[0]);
            a1 += (uint32_t)((x_tap[1] + add) * w_tap[1]);
            a2 += (uint32_t)((x_tap[2] + add) * w_tap[2]);
            a3 += (uint32_t)((x_tap[3] + add) * w_tap[3]);
            x_tap += win->x_col;
            w_tap += win->w_col;
        }
        x += win->x_row;
        w += win->w_row;
    }
    acc[0] = a0, acc[1] = a1, acc[2] = a2, acc[3] = a3;
}

// Four outputs of the same input channel (multiplier >= 4).
__attribute__((noinline)) static void accumulate_shared(uint32_t acc[4], const window_t *win,
                                                        const int8_t *x, const int8_t *w,
                                                        int32_t add) {
    uint32_t a0 = acc[0], a1 = acc[1], a2 = acc[2], a3 = acc[3];
    for (uint32_t row = win->rows; row > 0; row--) {
        const int8_t *x_tap = x, *w_tap = w;
        for (uint32_t col = win->cols; col > 0; col--) {
            int32_t value = *x_tap + add;
            a0 += (uint32_t)(value * w_tap[0]);
            a1 += (uint32_t)(value * w_tap[1]);
            a2 += (uint32_t)(value * w_tap[2]);
            a3 += (uint32_t)(value * w_tap[3]);
            x_tap += win->x_col;
            w_tap += win->w_col;
        }
        x += win->x_row;
        w += win->w_row;
    }
    acc[0] = a0, acc[1] = a1, acc[2] = a2, acc[3] = a3;
}

static uint32_t accumulate1(uint32_t acc, const window_t *win, const int8_t *x, const int8_t *w,
                            int32_t add) {
    for (uint32_t row = 0; row < win->rows; row++) {
        for (uint32_t col = 0; col < win->cols; col++) {
            acc += (uint32_t)((x[row * win->x_row + col * win->x_col] + add) *
                              w[row * win->w_row + col * win->w_col]);
        }
    }
    return acc;
}

static int8_t output(const tac_op_t *op, const uint8_t *image, uint32_t acc, uint32_t c) {
    int32_t y =
        tac_requantize((int32_t)acc, tac_table(image, op->mult)[c], tac_table(image, op->shift)[c]);
    return (int8_t)tac_clamp(tac_wrapping_add(y, op->out_add), op->act_min, op->act_max);
}

// Output channels c..c+3 of one pixel; x is the first tap of (the first of) their input channels.
static void quad(const tac_op_t *op, const uint8_t *image, const window_t *win, const int8_t *x,
                 uint32_t c, int8_t *out) {
    uint32_t acc[4] = {0, 0, 0, 0};
    if (op->bias) {
        memcpy(acc, tac_table(image, op->bias) + c, sizeof acc);
    }
    if (op->in_c == op->out_c) {
        accumulate_each(acc, win, x, win->w + c, op->in0_add);
    } else {
        accumulate_shared(acc, win, x, win->w + c, op->in0_add);
    }
    for (uint32_t i = 0; i < 4; i++) {
        out[c + i] = output(op, image, acc[i], c + i);
    }
}

static void lone(const tac_op_t *op, const uint8_t *image, const window_t *win, const int8_t *x,
                 uint32_t c, int8_t *out) {
    uint32_t acc = op->bias ? (uint32_t)tac_table(image, op->bias)[c] : 0;
    out[c] = output(op, image, accumulate1(acc, win, x, win->w + c, op->in0_add), c);
}

// All output channels of one pixel. With multiplier 1 one pass covers all channels, else one pass
// an input channel.
static void pixel(const tac_op_t *op, const uint8_t *image, const window_t *win, int8_t *out) {
    const uint32_t out_c = op->out_c, multiplier = out_c / op->in_c;
    const int8_t *x = win->x;
    uint32_t c = 0, input_end = multiplier == 1 ? out_c : multiplier;
    while (c < out_c) {
        for (; c + 4 <= input_end; c += 4) {
            quad(op, image, win, multiplier == 1 ? x + c : x, c, out);
        }
        for (; c < input_end; c++) {
            lone(op, image, win, multiplier == 1 ? x + c : x, c, out);
        }
        x++;
        input_end += multiplier;
    }
}

// The same steps last first, multiplier 1.
static void pixel_reverse(const tac_op_t *op, const uint8_t *image, const window_t *win,
                          int8_t *out) {
    uint32_t c = op->out_c;
    while (c % 4) {
        c--;
        lone(op, image, win, win->x + c, c, out);
    }
    while (c) {
        c -= 4;
        quad(op, image, win, win->x + c, c, out);
    }
}

void tac_kernel_dwconv2d(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    const int8_t *in = (const int8_t *)(arena + op->in0);
    int8_t *out = (int8_t *)(arena + op->out);
    const uint32_t in_c = op->in_c, in_row = (uint32_t)op->in_w * in_c;
    const int reverse = op->flags & TAC_OP_REVERSE;
    window_t win = {
        .x_row = op->dil_h * in_row,
        .x_col = op->dil_w * in_c,
        .w_row = (uint32_t)op->k_w * op->out_c,
        .w_col = op->out_c,
    };
    for (uint32_t i = 0; i < (uint32_t)(op->row_end - op->row_begin); i++) {
        uint32_t oy = reverse ? op->row_end - 1 - i : op->row_begin + i;
        int32_t top = (int32_t)(oy * op->stride_h) - op->pad_t;
        tac_taps_t rows = tac_clip_taps(top, op->k_h, op->dil_h, op->in_h);
        for (uint32_t j = 0; j < op->out_w; j++) {
            uint32_t ox = reverse ? op->out_w - 1 - j : j;
            int32_t left = (int32_t)(ox * op->stride_w) - op->pad_l;
            tac_taps_t cols = tac_clip_taps(left, op->k_w, op->dil_w, op->in_w);
            win.x = in;
            win.w = tac_weights(op, image);
            win.cols = cols.end - cols.begin;
            win.rows = win.cols ? rows.end - rows.begin : 0;
            if (win.rows) {
                uint32_t y = (uint32_t)(top + (int32_t)(rows.begin * op->dil_h));
                uint32_t x = (uint32_t)(left + (int32_t)(cols.begin * op->dil_w));
                win.x += y * in_row + x * in_c;
                win.w += rows.begin * win.w_row + cols.begin * win.w_col;
            }
            int8_t *to = out + (oy * op->out_w + ox) * op->out_c;
            if (reverse) {
                pixel_reverse(op, image, &win, to);
            } else {
                pixel(op, image, &win, to);
            }
        }
    }
}
