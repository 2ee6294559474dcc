// SPDX-License-Identifier: MIT
// Layout 1: weights packed by the host for Armv7E-M DSP (host/compile/packing). Exact where the
// host packs; it packs a layer only after proving that for the layer's own weights.
//
// Layout 2 is reserved for MVE (Armv8.1-M): packers of its own beside those of layout 1, tables of
// kernels and checks of its own beside tac_packed_check(); until then every engine refuses it.
//
// Two output channels share a word of weights. For channels a and b and tap k the halfword
// h = 256 * a[k] + b[k] has the bytes of both. SMLAD of the raw word adds up S = 256 * A + B,
// SMLAD of SXTB16(word), the low bytes, adds up B, and A = (S - B) / 256. All of it modulo 2^32:
// exact while |A| < 2^23. h must fit 16 bits: no tap with a = -128 and b < 0. The host pairs the
// channels so that both hold, or gives a channel a pair of its own (a in b's place, with weights
// of zero). Input zero points live in the bias; padding taps read as the zero point.
//
// Taps of a group of four come in the order (0,2)(1,3), as SXTB16 gives them for activations.
//
// Rounding is that of tac_requantize() for a multiplier m >= 0 and a right shift s >= 1; v is the
// accumulator, |v| < 2^29. high = (2 * v * m + 2^31) >> 32, then half away from zero:
//   LIN, CLAMP  t = SMMLAR(2 * v, m, c) + (v >> 31), y = t >> s, c = 2^(s-1) + out_add * 2^s.
//               For v < 0 <= high the -1 does not reach the result, since 2^(s-1) >= 1.
//   RELU        as LIN without (v >> 31): negative v end at -128 either way.
//               a of LINEAR: y = SMMLA(256 * A, m, c) >> s, s + 7 and 2^6 + 2^7 * c for s and c.
//               CONV2D, s = 5..11 in all channels, e = 13 - s, so that SSAT can shift:
//               y = SMMLA(v * 2^e, m, 2^(e-2) + 2^(e-1) * c) >> 12 while |v| < 2^(31-e); v * 2^e of
//               a is 256 * A >> (8 - e).
// Nested floors make these equal; with s <= 21 (RELU: 15) no sum leaves 32 bits.
#ifndef TAC_ENGINE_PACKED_H
#define TAC_ENGINE_PACKED_H

#include "engine/dsp.h"
#include "engine/kernel.h"

#define TAC_PACKED_CHANNELS_MAX 2048u
#define TAC_PACKED_SHIFT_MAX 21 // right shift
#define TAC_PACKED_SHIFT_MAX_RELU 15

// CONV2D, `count` pairs, `scratch` 4-aligned. Stream of one pair at `weights`, words:
//   256 * bias_a + bias_b, bias_b, taps (rounded up to 4) / 2 words of weights
//   m_b, c_b, m_a, c_a
//   place of b | shift of b << 11 | place of a << 16 | shift of a << 27, place = channel; the
//   shifts are e and 8 - e in RELU
// param0 = 1: LIN, which gives the same as RELU, because a channel has another s.
#define TAC_PACKED_RELU_SHIFT 12
#define TAC_PACKED_CONV_HEAD 2u
#define TAC_PACKED_CONV_TAIL 5u
// LINEAR, `count` quads of two pairs. Stream of one quad, words:
//   place of b | place of a << 16, for both pairs
//   256 * bias_a + bias_b and bias_b, for both pairs
//   for each 8 taps: 4 words of the first pair, 4 of the second; weights of zero fill up the taps
//   that are widened, tac_packed_linear_wide(), to a multiple of 8
#define TAC_PACKED_LINEAR_HEAD 6u
#define TAC_PACKED_LINEAR_WIDE 128u
// DWCONV2D 3x3, in_c = out_c >= 4, dilation 1; LIN runs as CLAMP. `count` blocks of four channels;
// the last one ends at channel out_c, so it may repeat some of the one before. Stream of a channel,
// words:
//   for each kernel column the bytes w0 w1 w1 w2 (rows 0..2)
//   2 * bias, m, c; c = (2 * out_add + 1) * 2^(s-1) tells s
#define TAC_PACKED_DW_WORDS 6u
// Columns of the input that a tile of outputs spans, at most: with strides the input is the larger
// tensor, where scratch and the distance to the output (both grow with a tile) make the peak.
#define TAC_PACKED_DW_COLUMNS 34u
#define TAC_PACKED_DW_COLUMNS_STRIDED 15u
// ADD and the pools (in_c a multiple of 4) have no stream: only another kernel.
#define TAC_PACKED_POOL_TAPS_MAX 178

enum tac_form { TAC_FORM_LIN, TAC_FORM_RELU, TAC_FORM_CLAMP };

// How a packed kernel rounds and clamps: the host packs the constants for exactly this form.
static inline enum tac_form tac_packed_form(const tac_op_t *op) {
    if (op->act_min != INT8_MIN || op->act_max != INT8_MAX) {
        return TAC_FORM_CLAMP;
    }
    return op->out_add == INT8_MIN ? TAC_FORM_RELU : TAC_FORM_LIN;
}

// y + (v >> 31), the step from half up to half away from zero; wraps, for streams that are wrong.
static inline int32_t tac_packed_away(int32_t y, int32_t v) {
    return (int32_t)((uint32_t)y + (uint32_t)(v >> 31));
}

// Taps of one output of a CONV2D, rounded up to 4.
static inline uint32_t tac_packed_taps(const tac_op_t *op) {
    return ((uint32_t)op->k_h * op->k_w * op->in_c + 3) & ~3u;
}

// First taps of a LINEAR row that are widened once, at most TAC_PACKED_LINEAR_WIDE; the others are
// a multiple of 32.
static inline uint32_t tac_packed_linear_wide(uint32_t in_c) {
    return in_c <= TAC_PACKED_LINEAR_WIDE ? in_c
                                          : in_c - ((in_c - TAC_PACKED_LINEAR_WIDE + 31) & ~31u);
}

// Whether some window reaches past the input.
static inline int tac_packed_border(const tac_op_t *op) {
    return op->pad_t > 0 || op->pad_l > 0 ||
           (int32_t)((op->out_h - 1u) * op->stride_h + (op->k_h - 1u) * op->dil_h) - op->pad_t >=
               op->in_h ||
           (int32_t)((op->out_w - 1u) * op->stride_w + (op->k_w - 1u) * op->dil_w) - op->pad_l >=
               op->in_w;
}

// s of a constant c; 31 for the c = 0 of a wrong stream.
static inline uint32_t tac_packed_dw_shift(int32_t c) {
    return c == 0 || c == INT32_MIN ? 31 : (uint32_t)__builtin_ctz((uint32_t)c) + 1;
}

// Output columns that a DWCONV2D computes at a time; tiles of even width.
static inline uint32_t tac_packed_dw_tile(const tac_op_t *op) {
    const uint32_t columns =
        op->stride_w == 1 ? TAC_PACKED_DW_COLUMNS : TAC_PACKED_DW_COLUMNS_STRIDED;
    const uint32_t most = (columns - 3) / op->stride_w + 1;
    const uint32_t tiles = (op->out_w + most - 1) / most;
    return (op->out_w + tiles - 1) / tiles;
}

// Bytes of scratch memory that the packed kernel of an op uses.
uint64_t tac_packed_scratch_bytes(const tac_op_t *op);

// What tac_plan_check() leaves open for layout 1: stream and scratch of an op whose shapes and
// tensors are right. Returns 0 or a TAC_ERR_PLAN_* code. plan_packed.c
int tac_packed_check(const tac_op_t *op, const uint8_t *image, uint64_t image_bytes,
                     uint64_t arena_bytes);

tac_kernel_t tac_packed_conv2d;                          // kernel_gemm.c
tac_kernel_t tac_packed_linear;                          // kernel_gemv.c
tac_kernel_t tac_packed_dwconv2d;                        // kernel_dwconv3x3.c
tac_kernel_t tac_packed_add;                             // kernel_packed_add.c
tac_kernel_t tac_packed_maxpool2d, tac_packed_avgpool2d; // kernel_pool.c

#endif
