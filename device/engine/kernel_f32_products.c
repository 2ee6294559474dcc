// SPDX-License-Identifier: MIT
// float32 sums of products: F32_CONV2D (also linear layers and depthwise, by groups), F32_TCONV2D,
// F32_MATMUL. For the few layers of a model that are not quantized: short code, not fast code.
#include "engine/kernel.h"

static float dot(const uint8_t *x, const uint8_t *y, uint32_t count) {
    float sum = 0.0f;
    for (uint32_t k = 0; k < 4 * count; k += 4) {
        sum += tac_load_f32(x + k) * tac_load_f32(y + k);
    }
    return sum;
}

// The input coordinate of a tap of a forward convolution, or -1.
static int32_t ahead(uint32_t out, uint32_t tap, int32_t pad, uint32_t stride, uint32_t dilation,
                     uint32_t size) {
    int32_t at = (int32_t)(out * stride + tap * dilation) - pad;
    return at >= 0 && at < (int32_t)size ? at : -1;
}

// The input coordinate that reaches an output coordinate of a transposed one, or -1.
static int32_t behind(uint32_t out, uint32_t tap, int32_t pad, uint32_t stride, uint32_t dilation,
                      uint32_t size) {
    int32_t at = (int32_t)out + pad - (int32_t)(tap * dilation);
    if (at < 0 || (uint32_t)at % stride != 0 || (uint32_t)at / stride >= size) {
        return -1;
    }
    return (int32_t)((uint32_t)at / stride);
}

typedef int32_t source_t(uint32_t out, uint32_t tap, int32_t pad, uint32_t stride,
                         uint32_t dilation, uint32_t size);

static inline void convolve(source_t *source, const tac_op_t *op, const uint8_t *image,
                            uint8_t *arena) {
    const uint32_t groups = op->param0 > 1 ? (uint32_t)op->param0 : 1;
    const uint32_t group_in = op->in_c / groups, group_out = op->out_c / groups;
    uint8_t *out = arena + op->out + 4u * op->row_begin * op->out_w * op->out_c;
    for (uint32_t oy = op->row_begin; oy < op->row_end; oy++) {
        for (uint32_t ox = 0; ox < op->out_w; ox++) {
            const uint8_t *w = image + op->weights;
            for (uint32_t c = 0; c < op->out_c; c++) {
                const uint8_t *in = arena + op->in0 + 4 * (c / group_out) * group_in;
                float sum = op->bias ? tac_load_f32(image + op->bias + 4 * c) : 0.0f;
                for (uint32_t ky = 0; ky < op->k_h; ky++) {
                    int32_t y = source(oy, ky, op->pad_t, op->stride_h, op->dil_h, op->in_h);
                    for (uint32_t kx = 0; kx < op->k_w; kx++, w += 4 * group_in) {
                        int32_t x = source(ox, kx, op->pad_l, op->stride_w, op->dil_w, op->in_w);
                        if (y >= 0 && x >= 0) {
                            uint32_t pixel = (uint32_t)y * op->in_w + (uint32_t)x;
                            sum += dot(in + 4 * pixel * op->in_c, w, group_in);
                        }
                    }
                }
                tac_store_f32(out, sum);
                out += 4;
            }
        }
    }
}

void tac_kernel_f32_conv2d(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    convolve(ahead, op, image, arena);
}

void tac_kernel_f32_tconv2d(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    convolve(behind, op, image, arena);
}

void tac_kernel_f32_matmul(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    (void)image;
    const uint32_t inner = op->in_c, columns = op->out_c;
    const uint8_t *x = arena + op->in0 + 4 * op->row_begin * inner;
    uint8_t *out = arena + op->out + 4 * op->row_begin * columns;
    for (uint32_t row = op->row_begin; row < op->row_end; row++) {
        for (uint32_t column = 0; column < columns; column++) {
            tac_store_f32(out, dot(x, arena + op->in1 + 4 * column * inner, inner));
            out += 4;
        }
        x += 4 * inner;
    }
}
