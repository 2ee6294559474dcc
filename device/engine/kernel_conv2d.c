// SPDX-License-Identifier: MIT
// CONV2D: direct convolution, NHWC, weights OHWI, four output channels at a time.
//
// Without dilation and groups the taps of one kernel row that lie inside the input are one run of
// bytes in the input and in the weights, so that padding costs nothing in the inner loop.
#include "engine/kernel.h"

// The part of the input and of the weights that one output pixel reads.
typedef struct window {
    const int8_t *x, *w;            // first tap inside the input, channel 0 of group 0
    uint32_t rows, runs, run_bytes; // kernel rows, runs in each, bytes of a run
    uint32_t x_row, x_run;          // bytes from one row or run to the next, in the input
    uint32_t w_row, w_run;          // the same in the weights
    uint32_t w_channel;             // bytes of weights of one output channel
} window_t;

// Not inlined: the inner loop needs the registers that the loop over channels would hold.
__attribute__((noinline)) static void accumulate4(uint32_t acc[4], const window_t *win,
                                                  const int8_t *x, const int8_t *w, int32_t add) {
    for (uint32_t row = win->rows; row > 0; row--) {
        const int8_t *x_run = x, *w_run = w;
        for (uint32_t run = win->runs; run > 0; run--) {
            tac_dot4(acc, x_run, add, w_run, win->w_channel, win->run_bytes);
            x_run += win->x_run;
            w_run += win->w_run;
        }
        x += win->x_row;
        w += win->w_row;
    }
}

static uint32_t accumulate1(uint32_t acc, const window_t *win, const int8_t *x, const int8_t *w,
                            int32_t add) {
    for (uint32_t row = 0; row < win->rows; row++) {
        for (uint32_t run = 0; run < win->runs; run++) {
            acc = tac_dot1(acc, x + row * win->x_row + run * win->x_run, add,
                           w + row * win->w_row + run * win->w_run, win->run_bytes);
        }
    }
    return acc;
}

// All output channels of one pixel.
static void pixel(const tac_op_t *op, const uint8_t *image, const window_t *win, int8_t *out) {
    const int32_t *bias = tac_table(image, op->bias);
    const int32_t *mult = tac_table(image, op->mult);
    const int32_t *shift = tac_table(image, op->shift);
    const int32_t add = op->in0_add, out_add = op->out_add;
    const int32_t low = op->act_min, high = op->act_max;
    const uint32_t groups = op->param0 > 1 ? (uint32_t)op->param0 : 1;
    const uint32_t group_in = op->in_c / groups, group_out = op->out_c / groups;
    const int8_t *x = win->x, *w = win->w;
    uint32_t c = 0;
    for (uint32_t group_end = group_out; group_end <= op->out_c; group_end += group_out) {
        for (; c + 4 <= group_end; c += 4) {
            uint32_t acc[4] = {0, 0, 0, 0};
            if (bias) {
                memcpy(acc, bias + c, sizeof acc);
            }
            accumulate4(acc, win, x, w, add);
            for (uint32_t i = 0; i < 4; i++) {
                int32_t y = tac_requantize((int32_t)acc[i], mult[c + i], shift[c + i]);
                out[c + i] = (int8_t)tac_clamp(tac_wrapping_add(y, out_add), low, high);
            }
            w += 4 * win->w_channel;
        }
        for (; c < group_end; c++) {
            uint32_t acc = accumulate1(bias ? (uint32_t)bias[c] : 0, win, x, w, add);
            int32_t y = tac_requantize((int32_t)acc, mult[c], shift[c]);
            out[c] = (int8_t)tac_clamp(tac_wrapping_add(y, out_add), low, high);
            w += win->w_channel;
        }
        x += group_in;
    }
}

void tac_kernel_conv2d(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    const int8_t *in = (const int8_t *)(arena + op->in0);
    const uint32_t in_c = op->in_c, in_row = (uint32_t)op->in_w * in_c;
    const uint32_t groups = op->param0 > 1 ? (uint32_t)op->param0 : 1;
    const uint32_t tap_bytes = in_c / groups; // of weights
    const int joined = groups == 1 && op->dil_w == 1;
    int8_t *out =
        (int8_t *)(arena + op->out) + (uint32_t)op->row_begin * op->out_w * (uint32_t)op->out_c;
    window_t win = {
        .x_row = op->dil_h * in_row,
        .x_run = op->dil_w * in_c,
        .w_row = op->k_w * tap_bytes,
        .w_run = tap_bytes,
        .w_channel = (uint32_t)op->k_h * op->k_w * tap_bytes,
    };
    for (uint32_t oy = op->row_begin; oy < op->row_end; oy++) {
        int32_t top = (int32_t)(oy * op->stride_h) - op->pad_t;
        tac_taps_t rows = tac_clip_taps(top, op->k_h, op->dil_h, op->in_h);
        for (uint32_t ox = 0; ox < op->out_w; ox++) {
            int32_t left = (int32_t)(ox * op->stride_w) - op->pad_l;
            tac_taps_t cols = tac_clip_taps(left, op->k_w, op->dil_w, op->in_w);
            uint32_t taps = cols.end - cols.begin;
            win.x = in;
            win.w = tac_weights(op, image);
            win.rows = taps ? rows.end - rows.begin : 0;
            win.runs = joined ? 1 : taps;
            win.run_bytes = joined ? taps * tap_bytes : tap_bytes;
            if (win.rows) {
                uint32_t y = (uint32_t)(top + (int32_t)(rows.begin * op->dil_h));
                uint32_t x = (uint32_t)(left + (int32_t)(cols.begin * op->dil_w));
                win.x += y * in_row + x * in_c;
                win.w += rows.begin * win.w_row + cols.begin * tap_bytes;
            }
            pixel(op, image, &win, out);
            out += op->out_c;
        }
    }
}
