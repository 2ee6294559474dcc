// SPDX-License-Identifier: MIT
// MAXPOOL2D and AVGPOOL2D over NHWC. Only taps inside the input count.
//
// AVGPOOL2D of layout 1 adds up integers, four channels a word: 4 taps and channels in one LDR and
// two SXTAB16, 1.2 instructions an element. The float result of the reference differs from the
// exact mean by less than (taps + 3) * 2^-24 * 255 steps, so for up to TAC_PACKED_POOL_TAPS_MAX
// taps it rounds to the same integer, unless the mean lies exactly half-way: such a channel is done
// again in float.
#include "engine/packed.h"

// One output pixel: c channels of rows x cols taps from x on; tap_row bytes from row to row.
typedef struct window {
    const int8_t *x;
    uint32_t rows, cols, row_bytes;
} window_t;

__attribute__((optimize("Os"))) static window_t window(const tac_op_t *op, const int8_t *in,
                                                       uint32_t oy, uint32_t ox) {
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
                        float scale, float sum) {
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

// Not inlined: three callers, once a channel.
__attribute__((noinline)) static int8_t mean_of(const tac_op_t *op, float sum, uint32_t taps) {
    return tac_round_f32(sum / (float)taps / op->scale, op->out_add, op->act_min, op->act_max);
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

#if TAC_SEGMENTS
// Adds the taps of four channels to their sums: 6 instructions a tap and channel.
static void add_taps4(const tac_op_t *op, const window_t *win, const int8_t *x, uint8_t *sums) {
    const uint32_t channels = op->in_c;
    const int32_t add = op->in0_add;
    const float scale = op->scale;
    float s0 = tac_load_f32(sums), s1 = tac_load_f32(sums + 4);
    float s2 = tac_load_f32(sums + 8), s3 = tac_load_f32(sums + 12);
    for (uint32_t row = win->rows; row > 0; row--) {
        const int8_t *tap = x;
        for (uint32_t col = win->cols; col > 0; col--) {
            const uint32_t word = tac_load32(tap);
            s0 += (float)((int8_t)word + add) * scale;
            s1 += (float)((int8_t)(word >> 8) + add) * scale;
            s2 += (float)((int8_t)(word >> 16) + add) * scale;
            s3 += (float)((int8_t)(word >> 24) + add) * scale;
            tap += channels;
        }
        x += win->row_bytes;
    }
    tac_store_f32(sums, s0), tac_store_f32(sums + 4, s1);
    tac_store_f32(sums + 8, s2), tac_store_f32(sums + 12, s3);
}

// TAC_OP_FED: rows row_begin..row_end-1 of the window lie at in0; the sums wait in scratch for the
// next ones. In float with any layout: only the order of the additions tells how a tie rounds, and
// when the last row shows that a channel is at one, the others are gone.
__attribute__((optimize("Os"))) static void feed(const tac_op_t *op, uint8_t *arena) {
    const uint32_t channels = op->in_c;
    const window_t win = {
        .x = (const int8_t *)(arena + op->in0),
        .rows = (uint32_t)(op->row_end - op->row_begin),
        .cols = op->k_w,
        .row_bytes = op->in_w * channels,
    };
    uint8_t *const waiting = arena + op->scratch;
    if (op->row_begin == 0) {
        memset(waiting, 0, 4 * channels); // 0.0f
    }
    uint8_t *sums = waiting;
    uint32_t c = 0;
    for (; c + 4 <= channels; c += 4, sums += 16) {
        add_taps4(op, &win, win.x + c, sums);
    }
    for (; TAC_KERNELS >> TAC_OP_AVGPOOL2D & 1u && c < channels; c++, sums += 4) { // layout 0
        const float sum = tac_load_f32(sums);
        tac_store_f32(sums, window_sum(&win, win.x + c, channels, op->in0_add, op->scale, sum));
    }
    if (op->row_end == op->k_h) {
        int8_t *out = (int8_t *)(arena + op->out);
        for (c = 0; c < channels; c++) {
            const float sum = tac_load_f32(waiting + 4 * c);
            out[c] = mean_of(op, sum, (uint32_t)op->k_h * op->k_w);
        }
    }
}
#define IS_FED(op) ((op)->flags & TAC_OP_FED)
#else
#define IS_FED(op) 0
#define feed(op, arena) (void)0
#endif

void tac_kernel_avgpool2d(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    (void)image;
    if (IS_FED(op)) {
        feed(op, arena);
        return;
    }
    const int8_t *in = (const int8_t *)(arena + op->in0);
    const uint32_t channels = op->in_c;
    const float scale = op->scale;
    int8_t *out = (int8_t *)(arena + op->out) + (uint32_t)op->row_begin * op->out_w * channels;
    for (uint32_t oy = op->row_begin; oy < op->row_end; oy++) {
        for (uint32_t ox = 0; ox < op->out_w; ox++) {
            window_t win = window(op, in, oy, ox);
            for (uint32_t c = 0; c < channels; c++) {
                float sum = window_sum(&win, win.x + c, channels, op->in0_add, scale, 0.0f);
                *out++ = mean_of(op, sum, win.rows * win.cols);
            }
        }
    }
}

// Sums of channels c, c + 2 and c + 1, c + 3 as halfwords: |sum| <= 178 * 128.
static inline void window_sum4(const window_t *win, const int8_t *x, uint32_t channels,
                               uint32_t sums[2]) {
    uint32_t even = 0, odd = 0;
    for (uint32_t row = win->rows; row > 0; row--) {
        const int8_t *tap = x;
        uint32_t col = win->cols;
        for (; col >= 4; col -= 4) {
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++, tap += channels) {
                const uint32_t word = tac_load32(tap);
                even = tac_sxtab16(even, word);
                odd = tac_sxtab16_odd(odd, word);
            }
        }
        for (; col > 0; col--) {
            const uint32_t word = tac_load32(tap);
            even = tac_sxtab16(even, word);
            odd = tac_sxtab16_odd(odd, word);
            tap += channels;
        }
        x += win->row_bytes;
    }
    sums[0] = even, sums[1] = odd;
}

__attribute__((optimize("Os"))) void tac_packed_avgpool2d(const tac_op_t *op, const uint8_t *image,
                                                          uint8_t *arena) {
    (void)image;
    if (IS_FED(op)) {
        feed(op, arena);
        return;
    }
    const int8_t *in = (const int8_t *)(arena + op->in0);
    const uint32_t channels = op->in_c;
    int8_t *out = (int8_t *)(arena + op->out) + (uint32_t)op->row_begin * op->out_w * channels;
    for (uint32_t oy = op->row_begin; oy < op->row_end; oy++) {
        for (uint32_t ox = 0; ox < op->out_w; ox++) {
            window_t win = window(op, in, oy, ox);
            const uint32_t taps = win.rows * win.cols;
            if (win.cols * channels == win.row_bytes) { // one run of taps
                win.cols = taps;
                win.rows = 1;
            }
            // 2 * taps * (mean + 1/2 + 256), above zero
            const int32_t ground = (int32_t)taps * (2 * op->in0_add + 1 + 512);
            for (uint32_t c = 0; c < channels; c += 4) {
                uint32_t sums[2];
                window_sum4(&win, win.x + c, channels, sums);
                for (uint32_t i = 0; i < 4; i++) {
                    const int32_t sum = (int16_t)(sums[i & 1] >> (i & 2) * 8);
                    const uint32_t twice = (uint32_t)(2 * sum + ground);
                    const uint32_t mean = twice / (2 * taps);
                    if (mean * 2 * taps != twice) {
                        *out++ = (int8_t)tac_clamp((int32_t)mean - 256 + op->out_add, op->act_min,
                                                   op->act_max);
                        continue;
                    }
                    float total =
                        window_sum(&win, win.x + c + i, channels, op->in0_add, op->scale, 0.0f);
                    *out++ = mean_of(op, total, taps);
                }
            }
        }
    }
}

void tac_packed_maxpool2d(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    (void)image;
    const int8_t *in = (const int8_t *)(arena + op->in0);
    const uint32_t channels = op->in_c;
    const uint32_t low = (uint8_t)op->act_min * 0x01010101u;
    const uint32_t high = ~((uint8_t)op->act_max * 0x01010101u); // of the mirrored bytes
    int8_t *out = (int8_t *)(arena + op->out) + (uint32_t)op->row_begin * op->out_w * channels;
    for (uint32_t oy = op->row_begin; oy < op->row_end; oy++) {
        for (uint32_t ox = 0; ox < op->out_w; ox++) {
            const window_t win = window(op, in, oy, ox);
            for (uint32_t c = 0; c < channels; c += 4, out += 4) {
                const int8_t *x = win.x + c;
                uint32_t most = low;
                for (uint32_t row = win.rows; row > 0; row--) {
                    const int8_t *tap = x;
                    for (uint32_t col = win.cols; col > 0; col--) {
                        most = tac_max4(most, tac_load32(tap));
                        tap += channels;
                    }
                    x += win.row_bytes;
                }
                tac_store32(out, ~tac_max4(~most, high)); // min(a, b) = ~max(~a, ~b)
            }
        }
    }
}
