// SPDX-License-Identifier: MIT
// MAXPOOL2D and AVGPOOL2D over NHWC. Only taps inside the input count.
#include "engine/kernel.h"

// One output pixel: c channels of rows x cols taps from x on; tap_row bytes from row to row.
typedef struct window {
    const int8_t *x;
    uint32_t rows, cols, row_bytes;
} window_t;

static window_t window(const tac_op_t *op, const int8_t *in, uint32_t oy, uint32_t ox) {
    int32_t top = (int32_t)(oy * op->stride_h) - op->pad_t;
    int32_t left = (int32_t)(ox * op->stride_w) - op->pad_l;
    tac_taps_t rows = tac_clip_taps(top, op->k_h, 1, op->in_h);
    tac_taps_t cols = tac_clip_taps(left, op->k_w, 1, op->in_w);
    uint32_t y = (uint32_t)(top + (int32_t)rows.begin);
    uint32_t x = (uint32_t)(left + (int32_t)cols.begin);
    window_t win = {
        .x = in + (y * op->in_w + x) * op->in_c,
        .rows = rows.end - rows.begin,
        .cols = cols.end - cols.begin,
        .row_bytes = (uint32_t)op->in_w * op->in_c,
    };
    return win;
}

static int32_t window_max(const window_t *win, const int8_t *x, uint32_t channels) {
    int32_t most = INT8_MIN;
    for (uint32_t row = win->rows; row > 0; row--) {
        const int8_t *tap = x;
        for (uint32_t col = win->cols; col > 0; col--) {
            most = *tap > most ? *tap : most;
            tap += channels;
        }
        x += win->row_bytes;
    }
    return most;
}

// Sums in the order and the precision of torch's avg_pool2d on the dequantized tensor: at a tie
// (sum / taps half-way between two integers) its rounding noise decides, so it must be the same.
static float window_sum(const window_t *win, const int8_t *x, uint32_t channels, int32_t add,
                        float scale) {
    float sum = 0.0f;
    for (uint32_t row = win->rows; row > 0; row--) {
        const int8_t *tap = x;
        for (uint32_t col = win->cols; col > 0; col--) {
            sum += (float)(*tap + add) * scale;
            tap += channels;
        }
        x += win->row_bytes;
    }
    return sum;
}

void tac_kernel_maxpool2d(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    (void)image;
    const int8_t *in = (const int8_t *)(arena + op->in0);
    const uint32_t channels = op->in_c;
    int8_t *out = (int8_t *)(arena + op->out) + (uint32_t)op->row_begin * op->out_w * channels;
    for (uint32_t oy = op->row_begin; oy < op->row_end; oy++) {
        for (uint32_t ox = 0; ox < op->out_w; ox++) {
            window_t win = window(op, in, oy, ox);
            for (uint32_t c = 0; c < channels; c++) {
                int32_t most = window_max(&win, win.x + c, channels);
                *out++ = (int8_t)tac_clamp(most, op->act_min, op->act_max);
            }
        }
    }
}

void tac_kernel_avgpool2d(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    (void)image;
    const int8_t *in = (const int8_t *)(arena + op->in0);
    const uint32_t channels = op->in_c;
    const float scale = op->scale;
    int8_t *out = (int8_t *)(arena + op->out) + (uint32_t)op->row_begin * op->out_w * channels;
    for (uint32_t oy = op->row_begin; oy < op->row_end; oy++) {
        for (uint32_t ox = 0; ox < op->out_w; ox++) {
            window_t win = window(op, in, oy, ox);
            const float taps = (float)(win.rows * win.cols);
            for (uint32_t c = 0; c < channels; c++) {
                float sum = window_sum(&win, win.x + c, channels, op->in0_add, scale);
                float steps = sum / taps / scale;
                *out++ = tac_round_f32(steps, op->out_add, op->act_min, op->act_max);
            }
        }
    }
}
