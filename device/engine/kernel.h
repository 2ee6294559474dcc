// SPDX-License-Identifier: MIT
// What the kernel families share: their signature, fixed-point and float rounding, window clipping.
//
// A kernel computes one op record of an image that tac_plan_check() accepted; it relies on every
// bound checked there and checks nothing again. Plain C (weight layout 0), no scratch memory.
// All engine sources must be compiled with -ffp-contract=off: a fused multiply-add would change
// results of the float ops (gcc's default outside -std=c11 fuses on cores with an FPU).
#ifndef TAC_ENGINE_KERNEL_H
#define TAC_ENGINE_KERNEL_H

#include <string.h>

#include "engine/plan.h"

typedef void tac_kernel_t(const tac_op_t *op, const uint8_t *image, uint8_t *arena);

tac_kernel_t tac_kernel_quantize, tac_kernel_dequantize; // kernel_quantize.c
tac_kernel_t tac_kernel_conv2d;                          // kernel_conv2d.c
tac_kernel_t tac_kernel_dwconv2d;                        // kernel_dwconv2d.c
tac_kernel_t tac_kernel_linear;                          // kernel_linear.c
tac_kernel_t tac_kernel_maxpool2d, tac_kernel_avgpool2d; // kernel_pool.c
tac_kernel_t tac_kernel_add, tac_kernel_clamp, tac_kernel_copy,
    tac_kernel_lut;              // kernel_elementwise.c
tac_kernel_t tac_kernel_softmax; // kernel_softmax.c
tac_kernel_t tac_kernel_pad;     // kernel_pad.c
tac_kernel_t tac_kernel_mul, tac_kernel_div, tac_kernel_minimum,
    tac_kernel_maximum;                            // kernel_binary.c
tac_kernel_t tac_kernel_matmul;                    // kernel_matmul.c
tac_kernel_t tac_kernel_tconv2d;                   // kernel_tconv2d.c
tac_kernel_t tac_kernel_strided, tac_kernel_const; // kernel_strided.c
tac_kernel_t tac_kernel_f32_binary, tac_kernel_f32_unary, tac_kernel_f32_clamp, tac_kernel_f32_mean,
    tac_kernel_f32_softmax; // kernel_f32_rows.c
tac_kernel_t tac_kernel_f32_conv2d, tac_kernel_f32_tconv2d,
    tac_kernel_f32_matmul; // kernel_f32_products.c

static inline const int8_t *tac_weights(const tac_op_t *op, const uint8_t *image) {
    return (const int8_t *)(image + op->weights);
}

// A table of int32 in the image, NULL when absent. tac_plan_check() made sure of the alignment.
static inline const int32_t *tac_table(const uint8_t *image, uint32_t offset) {
    return offset ? (const int32_t *)(const void *)(image + offset) : NULL;
}

// Floats in the arena go through memcpy (one load or store): the arena has no declared type.
static inline float tac_load_f32(const uint8_t *at) {
    float value;
    memcpy(&value, at, sizeof value);
    return value;
}
static inline void tac_store_f32(uint8_t *at, float value) {
    memcpy(at, &value, sizeof value);
}

static inline int32_t tac_clamp(int32_t value, int32_t low, int32_t high) {
    return value < low ? low : value > high ? high : value;
}

// What a shift to the left gives may fill 32 bits: sums with it wrap, as the reference's do.
static inline int32_t tac_wrapping_add(int32_t a, int32_t b) {
    return (int32_t)((uint32_t)a + (uint32_t)b);
}

// tac_requantize() for shift > 0: 64-bit and wrapping, as the reference's int64 tensors. kernel.c
int32_t tac_requantize_left(int32_t value, int32_t multiplier, int32_t shift);

// value * multiplier * 2^(shift - 31) as CMSIS-NN with double rounding and ExecuTorch's
// requantize_cmsis() compute it: high half of the doubled product rounded half up, then right shift
// rounded half away from zero. multiplier > -2^31 keeps the first result inside int32.
static inline int32_t tac_requantize(int32_t value, int32_t multiplier, int32_t shift) {
    if (shift > 0) {
        return tac_requantize_left(value, multiplier, shift);
    }
    int64_t product = (int64_t)value * multiplier + (1 << 30);
    int32_t high = (int32_t)(product >> 31);
    if (shift == 0) {
        return high;
    }
    // Half away from zero = half up of (high - 1 when negative), which cannot overflow this way.
    int32_t twice = (high + (high >> 31)) >> (-shift - 1);
    return (twice >> 1) + (twice & 1);
}

// clamp(rint(value) + zero_point, low, high) with ties to even; NaN gives 0, as torch's conversion
// of it to int8 does. |value| < 2^9 is rounded by the classic addition of 1.5 * 2^23, which is
// exact in round-to-nearest mode and needs no library call; anything larger ends at a clamp anyway.
static inline int8_t tac_round_f32(float value, int32_t zero_point, int32_t low, int32_t high) {
    if (!(__builtin_fabsf(value) < 512.0f)) {
        return (int8_t)(value > 0.0f ? high : value < 0.0f ? low : 0);
    }
    float biased = value + 12582912.0f;
    int32_t bits;
    memcpy(&bits, &biased, sizeof bits);
    return (int8_t)tac_clamp(bits - 0x4B400000 + zero_point, low, high);
}

// The taps begin..end-1 of a window that lie inside the input.
typedef struct tac_taps {
    uint32_t begin, end;
} tac_taps_t;

// origin: input coordinate of tap 0; taps are `step` apart; the input has `size` coordinates.
static inline tac_taps_t tac_clip_taps(int32_t origin, uint32_t taps, uint32_t step,
                                       uint32_t size) {
    uint32_t before = origin < 0 ? (uint32_t)-origin : 0;                             // coordinates
    uint32_t until = (int32_t)size > origin ? (uint32_t)((int32_t)size - origin) : 0; // from tap 0
    if (step > 1) {
        before = (before + step - 1) / step;
        until = (until + step - 1) / step;
    }
    tac_taps_t clipped;
    clipped.end = until < taps ? until : taps;
    clipped.begin = before < clipped.end ? before : clipped.end;
    return clipped;
}

// acc[i] += sum over k < count of (x[k] + add) * w[i * pitch + k], i = 0..3. Wraps like int32 in
// torch. One load and one addition of x serve four MACs: 2.5 instructions a MAC plus the loop.
// Inline it into a function that does little else: it needs all registers of an M4.
static inline void tac_dot4(uint32_t acc[4], const int8_t *x, int32_t add, const int8_t *w,
                            uint32_t pitch, uint32_t count) {
    const int8_t *w1 = w + pitch, *w2 = w1 + pitch, *w3 = w2 + pitch;
    uint32_t a0 = acc[0], a1 = acc[1], a2 = acc[2], a3 = acc[3];
#pragma GCC unroll 8
    for (const int8_t *end = x + count; x != end; x++) {
        int32_t value = *x + add;
        a0 += (uint32_t)(value * *w++);
        a1 += (uint32_t)(value * *w1++);
        a2 += (uint32_t)(value * *w2++);
        a3 += (uint32_t)(value * *w3++);
    }
    acc[0] = a0, acc[1] = a1, acc[2] = a2, acc[3] = a3;
}

static inline uint32_t tac_dot1(uint32_t acc, const int8_t *x, int32_t add, const int8_t *w,
                                uint32_t count) {
    for (uint32_t k = 0; k < count; k++) {
        acc += (uint32_t)((x[k] + add) * w[k]);
    }
    return acc;
}

#endif
