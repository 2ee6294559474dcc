// SPDX-License-Identifier: MIT
// TCONV2D: transposed convolution as a gather: each output pixel collects the input pixels that
// reach it, so that no accumulators live in memory. Of k_h * k_w taps, 1 / (stride_h * stride_w)
// hit an input pixel; a miss costs one division.
#include "engine/kernel.h"

// The input coordinate that reaches output coordinate `out` through tap `tap`, or -1.
static inline int32_t source(int32_t out, int32_t pad, uint32_t tap, uint32_t dilation,
                             uint32_t stride, uint32_t size) {
    int32_t ahead = out + pad - (int32_t)(tap * dilation);
    if (ahead < 0 || (uint32_t)ahead % stride != 0 || (uint32_t)ahead / stride >= size) {
        return -1;
    }
    return (int32_t)((uint32_t)ahead / stride);
}

// acc[i] += the sum over all taps, for `channels` (1 or 4) output channels from w on.
static void accumulate(const tac_op_t *op, const int8_t *in, const int8_t *w, int32_t oy,
                       int32_t ox, uint32_t acc[4], uint32_t channels) {
    const uint32_t in_c = op->in_c, pitch = (uint32_t)op->k_h * op->k_w * in_c;
    for (uint32_t ky = 0; ky < op->k_h; ky++) {
        int32_t y = source(oy, op->pad_t, ky, op->dil_h, op->stride_h, op->in_h);
        if (y < 0) {
            continue;
        }
        for (uint32_t kx = 0; kx < op->k_w; kx++) {
            int32_t x = source(ox, op->pad_l, kx, op->dil_w, op->stride_w, op->in_w);
            if (x < 0) {
                continue;
            }
            const int8_t *tap = in + ((uint32_t)y * op->in_w + (uint32_t)x) * in_c;
            const int8_t *weights = w + (ky * op->k_w + kx) * in_c;
            if (channels == 4) {
                tac_dot4(acc, tap, op->in0_add, weights, pitch, in_c);
            } else {
                acc[0] = tac_dot1(acc[0], tap, op->in0_add, weights, in_c);
            }
        }
    }
}

void tac_kernel_tconv2d(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    const int8_t *in = (const int8_t *)(arena + op->in0);
    const int32_t *bias = tac_table(image, op->bias);
    const int32_t *mult = tac_table(image, op->mult);
    const int32_t *shift = tac_table(image, op->shift);
    const uint32_t out_c = op->out_c, pitch = (uint32_t)op->k_h * op->k_w * op->in_c;
    int8_t *out = (int8_t *)(arena + op->out) + (uint32_t)op->row_begin * op->out_w * out_c;
    for (int32_t oy = op->row_begin; oy < op->row_end; oy++) {
        for (int32_t ox = 0; ox < op->out_w; ox++) {
            const int8_t *w = tac_weights(op, image);
            for (uint32_t c = 0; c < out_c;) {
                const uint32_t channels = c + 4 <= out_c ? 4 : 1;
                uint32_t acc[4] = {0, 0, 0, 0};
                if (bias) {
                    memcpy(acc, bias + c, channels * sizeof acc[0]);
                }
                accumulate(op, in, w, oy, ox, acc, channels);
                for (uint32_t i = 0; i < channels; i++, c++) {
                    int32_t y = tac_requantize((int32_t)acc[i], mult[c], shift[c]);
                    *out++ = (int8_t)tac_clamp(tac_wrapping_add(y, op->out_add), op->act_min,
                                               op->act_max);
                }
                w += channels * pitch;
            }
        }
    }
}
