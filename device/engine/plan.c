// SPDX-License-Identifier: MIT
// Everything the kernels rely on is checked here, once, at load. Dimensions are 16-bit, so products
// of four of them fit uint64_t; sums are never formed with an unchecked term.
#pragma GCC optimize("Os") // runs once, at load; before the includes, so that theirs inline
#include "engine/plan.h"

#include "engine/packed.h"
#include "engine/segment.h"

#include <stdbool.h>
#include <string.h>

typedef struct checker {
    const uint8_t *image;
    uint64_t image_bytes;
    uint64_t arena_bytes; // for tensors
    uint32_t scratch_end; // arena bytes for scratch memory
    uint32_t target;
} checker_t;

static bool fits(uint64_t offset, uint64_t bytes, uint64_t limit) {
    return bytes <= limit && offset <= limit - bytes;
}

static uint64_t volume(uint32_t a, uint32_t b, uint32_t c) {
    return (uint64_t)a * b * c;
}

static bool within(int32_t value, int32_t low, int32_t high) {
    return value >= low && value <= high;
}

// Bit i of a use mask stands for halfword i of the record. kind, layout, flags and wcet_us are
// judged apart.
#define FIELD(name)                                                                                \
    ((sizeof(((tac_op_t *)0)->name) == 4 ? 3ull : 1ull) << (offsetof(tac_op_t, name) / 2))
#define USE_HEAD (FIELD(kind) | FIELD(flags) | FIELD(wcet_us))
#define USE_IN_OUT (FIELD(in0) | FIELD(out))
#define USE_ACT (FIELD(act_min) | FIELD(act_max))
#define USE_ROWS (FIELD(row_begin) | FIELD(row_end))
#define USE_SHAPE                                                                                  \
    (FIELD(in_h) | FIELD(in_w) | FIELD(in_c) | FIELD(out_h) | FIELD(out_w) | FIELD(out_c) |        \
     FIELD(pad_t) | FIELD(pad_l) | USE_ROWS)
#define USE_WINDOW                                                                                 \
    (USE_IN_OUT | USE_SHAPE | USE_ACT | FIELD(k_h) | FIELD(k_w) | FIELD(stride_h) |                \
     FIELD(stride_w) | FIELD(dil_h) | FIELD(dil_w))
#define USE_CHANNELS (FIELD(weights) | FIELD(bias) | FIELD(mult) | FIELD(shift))
#define USE_ZERO_POINTS (FIELD(in0_add) | FIELD(out_add))
#define USE_F32_WINDOW ((USE_WINDOW & ~USE_ACT) | FIELD(weights) | FIELD(bias) | FIELD(param0))
#define USE_BINARY (USE_IN_OUT | FIELD(in1) | FIELD(in_c) | FIELD(count))

static const uint64_t used_fields[TAC_OP_KIND_END] = {
    [TAC_OP_QUANTIZE] = USE_IN_OUT | FIELD(out_add) | USE_ACT | FIELD(scale) | FIELD(count),
    [TAC_OP_DEQUANTIZE] = USE_IN_OUT | FIELD(in0_add) | FIELD(scale) | FIELD(count),
    [TAC_OP_CONV2D] = USE_WINDOW | USE_ZERO_POINTS | USE_CHANNELS | FIELD(param0),
    [TAC_OP_DWCONV2D] = USE_WINDOW | USE_ZERO_POINTS | USE_CHANNELS,
    [TAC_OP_LINEAR] = USE_IN_OUT | FIELD(in_h) | FIELD(in_c) | FIELD(out_h) | FIELD(out_c) |
                      USE_ROWS | USE_ZERO_POINTS | USE_ACT | FIELD(weights) | FIELD(bias) |
                      FIELD(mult0) | FIELD(shift0),
    [TAC_OP_ADD] = USE_IN_OUT | FIELD(in1) | FIELD(in_c) | USE_ZERO_POINTS | FIELD(in1_add) |
                   USE_ACT | FIELD(mult0) | FIELD(shift0) | FIELD(mult1) | FIELD(shift1) |
                   FIELD(mult2) | FIELD(shift2) | FIELD(param0) | FIELD(count),
    [TAC_OP_MAXPOOL2D] = USE_WINDOW,
    [TAC_OP_AVGPOOL2D] = USE_WINDOW | USE_ZERO_POINTS | FIELD(scale),
    [TAC_OP_CLAMP] = USE_IN_OUT | USE_ACT | FIELD(count),
    [TAC_OP_SOFTMAX] = USE_IN_OUT | FIELD(in_c) | FIELD(out_add) | FIELD(weights) | FIELD(count),
    [TAC_OP_COPY] = USE_IN_OUT | FIELD(count),
    [TAC_OP_LUT] = USE_IN_OUT | FIELD(weights) | FIELD(count),
    [TAC_OP_PAD] = USE_IN_OUT | USE_SHAPE | FIELD(param0),
    [TAC_OP_STRIDED] = USE_IN_OUT | FIELD(weights) | FIELD(param0) | FIELD(count),
    [TAC_OP_MUL] =
        USE_BINARY | USE_ZERO_POINTS | FIELD(in1_add) | USE_ACT | FIELD(mult0) | FIELD(shift0),
    [TAC_OP_DIV] = USE_BINARY | USE_ZERO_POINTS | FIELD(in1_add) | USE_ACT | FIELD(scale),
    [TAC_OP_MINIMUM] = USE_BINARY,
    [TAC_OP_MAXIMUM] = USE_BINARY,
    [TAC_OP_MATMUL] = USE_IN_OUT | FIELD(in1) | FIELD(in_h) | FIELD(in_c) | FIELD(out_h) |
                      FIELD(out_c) | USE_ROWS | USE_ZERO_POINTS | FIELD(in1_add) | USE_ACT |
                      FIELD(mult0) | FIELD(shift0),
    [TAC_OP_TCONV2D] = USE_WINDOW | USE_ZERO_POINTS | USE_CHANNELS,
    [TAC_OP_CONST] = FIELD(out) | FIELD(weights) | FIELD(count),
    [TAC_OP_F32_BINARY] = USE_BINARY | FIELD(scale) | FIELD(param0),
    [TAC_OP_F32_UNARY] = USE_IN_OUT | FIELD(param0) | FIELD(count),
    [TAC_OP_F32_CLAMP] = USE_IN_OUT | FIELD(weights) | FIELD(count),
    [TAC_OP_F32_CONV2D] = USE_F32_WINDOW,
    [TAC_OP_F32_TCONV2D] = USE_F32_WINDOW,
    [TAC_OP_F32_MATMUL] = USE_IN_OUT | FIELD(in1) | FIELD(in_h) | FIELD(in_c) | FIELD(out_h) |
                          FIELD(out_c) | USE_ROWS,
    [TAC_OP_F32_MEAN] = USE_IN_OUT | FIELD(in_c) | FIELD(scale) | FIELD(count),
    [TAC_OP_F32_SOFTMAX] = USE_IN_OUT | FIELD(in_c) | FIELD(count),
};

// What layout 1 adds to the fields of a kind, and what its stream of weights holds instead.
#define USE_PACKED (FIELD(layout) | FIELD(scratch) | FIELD(count))
#define IN_STREAM (FIELD(bias) | FIELD(mult) | FIELD(shift))

// Halfwords of one half of a record that `unused` names, a bit each, OR-ed. 7 instructions a word.
static inline uint32_t found_in(const uint8_t *half, uint32_t unused) {
    uint32_t found = 0, words = unused & unused >> 1 & 0x55555555u; // both halves of a word
    uint32_t rest = unused & ~(3 * words);
    for (; words; words &= words - 1) {
        uint32_t word;
        memcpy(&word, half + 2 * __builtin_ctz(words), sizeof word);
        found |= word;
    }
    for (; rest; rest &= rest - 1) {
        uint16_t halfword;
        memcpy(&halfword, half + 2 * __builtin_ctz(rest), sizeof halfword);
        found |= halfword;
    }
    return found;
}

static bool unused_are_zero(const tac_op_t *op) {
    uint64_t used = USE_HEAD | FIELD(layout) | used_fields[op->kind];
    if (op->layout != 0) {
        used = (used | USE_PACKED) & ~IN_STREAM;
    }
    const uint8_t *halves = (const uint8_t *)op;
    return (found_in(halves, ~(uint32_t)used) | found_in(halves + 64, ~(uint32_t)(used >> 32))) ==
           0;
}

// Finite and above zero, from the bit pattern.
static bool positive_f32(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits != 0 && bits < 0x7F800000u;
}

static bool scaling_ok(int32_t mult, int32_t shift) {
    return mult != INT32_MIN && within(shift, -31, 30);
}

static int check_tensor(const checker_t *c, uint32_t offset, uint64_t bytes) {
    if (bytes == 0) {
        return TAC_ERR_PLAN_PARAM;
    }
    return fits(offset, bytes, c->arena_bytes) ? TAC_OK : TAC_ERR_PLAN_ARENA;
}

static int check_in_out(const checker_t *c, const tac_op_t *op, uint64_t in_bytes,
                        uint64_t out_bytes) {
    int code = check_tensor(c, op->in0, in_bytes);
    return code != TAC_OK ? code : check_tensor(c, op->out, out_bytes);
}

// Constants lie behind the header, so that offset 0 can mean "absent".
static int check_constant(const checker_t *c, uint32_t offset, uint64_t bytes, uint32_t align) {
    if (offset < sizeof(tac_plan_header_t) || bytes == 0) {
        return TAC_ERR_PLAN_PARAM;
    }
    if (offset % align != 0) {
        return TAC_ERR_PLAN_SIZE;
    }
    return fits(offset, bytes, c->image_bytes) ? TAC_OK : TAC_ERR_PLAN_BOUNDS;
}

static int check_weights(const checker_t *c, const tac_op_t *op, uint64_t bytes) {
    return check_constant(c, op->weights, bytes, TAC_PLAN_ALIGN);
}

static int check_bias(const checker_t *c, const tac_op_t *op) {
    return op->bias ? check_constant(c, op->bias, 4ull * op->out_c, 4) : TAC_OK;
}

static int check_channel_tables(const checker_t *c, const tac_op_t *op) {
    int code = check_bias(c, op);
    if (code == TAC_OK) {
        code = check_constant(c, op->mult, 4ull * op->out_c, 4);
    }
    if (code == TAC_OK) {
        code = check_constant(c, op->shift, 4ull * op->out_c, 4);
    }
    if (code != TAC_OK) {
        return code;
    }
    const int32_t *mult = (const int32_t *)(const void *)(c->image + op->mult);
    const int32_t *shift = (const int32_t *)(const void *)(c->image + op->shift);
    for (uint32_t i = 0; i < op->out_c; i++) {
        if (!scaling_ok(mult[i], shift[i])) {
            return TAC_ERR_PLAN_PARAM;
        }
    }
    return TAC_OK;
}

static bool rows_ok(const tac_op_t *op) {
    return op->row_begin < op->row_end && op->row_end <= op->out_h;
}

// Coordinates of every tap stay below 2^30, so the kernels compute them in int32_t.
static bool axis_ok(uint32_t outputs, uint32_t taps, uint32_t stride, uint32_t dilation) {
    return outputs && taps && stride && dilation &&
           (uint64_t)(outputs - 1) * stride + (uint64_t)(taps - 1) * dilation < (1u << 30);
}

static bool window_ok(const tac_op_t *op) {
    return op->in_h && op->in_w && op->in_c && op->out_c && rows_ok(op) &&
           axis_ok(op->out_h, op->k_h, op->stride_h, op->dil_h) &&
           axis_ok(op->out_w, op->k_w, op->stride_w, op->dil_w);
}

static int check_window(const checker_t *c, const tac_op_t *op, uint64_t turns_per_pixel) {
    uint64_t pixels = (uint64_t)(op->row_end - op->row_begin) * op->out_w;
    if (turns_per_pixel > TAC_PLAN_WORK_MAX || pixels * turns_per_pixel > TAC_PLAN_WORK_MAX) {
        return TAC_ERR_PLAN_PARAM;
    }
    return check_in_out(c, op, volume(op->in_h, op->in_w, op->in_c),
                        volume(op->out_h, op->out_w, op->out_c));
}

static int check_conv2d(const checker_t *c, const tac_op_t *op) {
    if (!window_ok(op) || op->param0 < 0 || (op->param0 == 1 && op->layout == 0) ||
        op->param0 > op->in_c) {
        return TAC_ERR_PLAN_PARAM;
    }
    const uint32_t groups = op->param0 ? (uint32_t)op->param0 : 1;
    if (op->in_c % groups != 0 || op->out_c % groups != 0) {
        return TAC_ERR_PLAN_PARAM;
    }
    uint64_t weights = volume(op->k_h, op->k_w, op->in_c / groups) * op->out_c;
    int code = check_window(c, op, weights);
    if (op->layout != 0) {
        return code;
    }
    if (code == TAC_OK) {
        code = check_weights(c, op, weights);
    }
    return code != TAC_OK ? code : check_channel_tables(c, op);
}

static int check_dwconv2d(const checker_t *c, const tac_op_t *op) {
    if (!window_ok(op) || op->out_c % op->in_c != 0) {
        return TAC_ERR_PLAN_PARAM;
    }
    uint64_t weights = volume(op->k_h, op->k_w, op->out_c);
    int code = check_window(c, op, weights);
    if (op->layout != 0) {
        return code;
    }
    if (code == TAC_OK) {
        code = check_weights(c, op, weights);
    }
    return code != TAC_OK ? code : check_channel_tables(c, op);
}

// Windows of one axis (dilation 1) all have a tap in 0..inputs-1: true for the first and the last.
static bool covers_input(uint32_t inputs, uint32_t outputs, uint32_t taps, uint32_t stride,
                         int32_t pad) {
    return -pad + (int32_t)taps - 1 >= 0 &&
           (int32_t)((outputs - 1) * stride) - pad < (int32_t)inputs;
}

static int check_pool(const checker_t *c, const tac_op_t *op) {
    if (!window_ok(op) || op->dil_h != 1 || op->dil_w != 1 || op->in_c != op->out_c ||
        !covers_input(op->in_h, op->out_h, op->k_h, op->stride_h, op->pad_t) ||
        !covers_input(op->in_w, op->out_w, op->k_w, op->stride_w, op->pad_l)) {
        return TAC_ERR_PLAN_PARAM;
    }
    // The kernels visit only taps inside the input.
    uint32_t rows = op->k_h < op->in_h ? op->k_h : op->in_h;
    uint32_t cols = op->k_w < op->in_w ? op->k_w : op->in_w;
    return check_window(c, op, volume(rows, cols, op->in_c));
}

static int check_linear(const checker_t *c, const tac_op_t *op) {
    const uint64_t weights = (uint64_t)op->in_c * op->out_c;
    if (op->in_h != op->out_h || !rows_ok(op) || !scaling_ok(op->mult0, op->shift0) ||
        weights > TAC_PLAN_WORK_MAX ||
        weights * (uint32_t)(op->row_end - op->row_begin) > TAC_PLAN_WORK_MAX) {
        return TAC_ERR_PLAN_PARAM;
    }
    int code = check_in_out(c, op, volume(op->in_h, op->in_c, 1), volume(op->out_h, op->out_c, 1));
    if (op->layout != 0) {
        return code;
    }
    if (code == TAC_OK) {
        code = check_weights(c, op, weights);
    }
    return code != TAC_OK ? code : check_bias(c, op);
}

// Two int8 operands, the second of which may repeat.
static int check_binary(const checker_t *c, const tac_op_t *op) {
    if (op->in_c && op->count % op->in_c != 0) {
        return TAC_ERR_PLAN_PARAM;
    }
    int code = check_in_out(c, op, op->count, op->count);
    return code != TAC_OK ? code : check_tensor(c, op->in1, op->in_c ? op->in_c : op->count);
}

static int check_add(const checker_t *c, const tac_op_t *op) {
    if (!within(op->param0, 0, 22) || !scaling_ok(op->mult0, op->shift0) ||
        !scaling_ok(op->mult1, op->shift1) || !scaling_ok(op->mult2, op->shift2)) {
        return TAC_ERR_PLAN_PARAM;
    }
    return check_binary(c, op);
}

static int check_matmul(const checker_t *c, const tac_op_t *op) {
    const uint64_t turns = (uint64_t)op->in_c * op->out_c;
    if (op->in_h != op->out_h || !rows_ok(op) || !scaling_ok(op->mult0, op->shift0) ||
        turns > TAC_PLAN_WORK_MAX ||
        turns * (uint32_t)(op->row_end - op->row_begin) > TAC_PLAN_WORK_MAX) {
        return TAC_ERR_PLAN_PARAM;
    }
    int code = check_in_out(c, op, volume(op->in_h, op->in_c, 1), volume(op->out_h, op->out_c, 1));
    return code != TAC_OK ? code : check_tensor(c, op->in1, turns);
}

static int check_tconv2d(const checker_t *c, const tac_op_t *op) {
    if (!window_ok(op)) {
        return TAC_ERR_PLAN_PARAM;
    }
    uint64_t weights = volume(op->k_h, op->k_w, op->in_c) * op->out_c;
    int code = check_window(c, op, weights);
    if (code == TAC_OK) {
        code = check_weights(c, op, weights);
    }
    return code != TAC_OK ? code : check_channel_tables(c, op);
}

// Index of the last element that six extents and six steps reach. Extents are at most
// TAC_PLAN_WORK_MAX and steps below 2^31, so the sum stays below 2^64.
static uint64_t last_element(const int32_t *extents, const int32_t *steps) {
    uint64_t last = 0;
    for (unsigned axis = 0; axis < TAC_STRIDED_AXES; axis++) {
        last += (uint64_t)(extents[axis] - 1) * (uint64_t)steps[axis];
    }
    return last;
}

static int check_strided(const checker_t *c, const tac_op_t *op) {
    if (op->param0 != 1 && op->param0 != 4) {
        return TAC_ERR_PLAN_PARAM;
    }
    int code = check_weights(c, op, 3 * TAC_STRIDED_AXES * sizeof(int32_t));
    if (code != TAC_OK) {
        return code;
    }
    const int32_t *extents = (const int32_t *)(const void *)(c->image + op->weights);
    const int32_t *reads = extents + TAC_STRIDED_AXES, *writes = reads + TAC_STRIDED_AXES;
    uint64_t count = 1;
    for (unsigned axis = 0; axis < TAC_STRIDED_AXES; axis++) {
        if (extents[axis] < 1 || (uint32_t)extents[axis] > op->count || reads[axis] < 0 ||
            writes[axis] < 0) {
            return TAC_ERR_PLAN_PARAM;
        }
        count *= (uint32_t)extents[axis];
        if (count > op->count) {
            return TAC_ERR_PLAN_PARAM;
        }
    }
    if (count != op->count) {
        return TAC_ERR_PLAN_PARAM;
    }
    const uint64_t in_last = last_element(extents, reads);
    const uint64_t out_last = last_element(extents, writes);
    if (in_last >= c->arena_bytes || out_last >= c->arena_bytes) {
        return TAC_ERR_PLAN_ARENA;
    }
    return check_in_out(c, op, (in_last + 1) * (uint32_t)op->param0,
                        (out_last + 1) * (uint32_t)op->param0);
}

static int check_const(const checker_t *c, const tac_op_t *op) {
    int code = check_tensor(c, op->out, op->count);
    return code != TAC_OK ? code : check_weights(c, op, op->count);
}

static int check_pad(const checker_t *c, const tac_op_t *op) {
    if (op->in_c != op->out_c || !rows_ok(op) || !within(op->param0, INT8_MIN, INT8_MAX)) {
        return TAC_ERR_PLAN_PARAM;
    }
    return check_in_out(c, op, volume(op->in_h, op->in_w, op->in_c),
                        volume(op->out_h, op->out_w, op->out_c));
}

static int check_quantize(const checker_t *c, const tac_op_t *op) {
    const uint64_t floats = 4ull * op->count, bytes = op->count;
    const bool to_int8 = op->kind == TAC_OP_QUANTIZE;
    if (!positive_f32(op->scale)) {
        return TAC_ERR_PLAN_PARAM;
    }
    if ((to_int8 ? op->in0 : op->out) % 4 != 0) {
        return TAC_ERR_PLAN_SIZE;
    }
    return check_in_out(c, op, to_int8 ? floats : bytes, to_int8 ? bytes : floats);
}

static int check_softmax(const checker_t *c, const tac_op_t *op) {
    if (!op->in_c || op->count % op->in_c != 0) {
        return TAC_ERR_PLAN_PARAM;
    }
    int code = check_in_out(c, op, op->count, op->count);
    return code != TAC_OK ? code : check_weights(c, op, 256 * sizeof(float));
}

// A float32 tensor of the arena.
static int check_floats(const checker_t *c, uint32_t offset, uint64_t elements) {
    return offset % 4 != 0 ? TAC_ERR_PLAN_SIZE : check_tensor(c, offset, 4 * elements);
}

static int check_f32_in_out(const checker_t *c, const tac_op_t *op, uint64_t inputs,
                            uint64_t outputs) {
    int code = check_floats(c, op->in0, inputs);
    return code != TAC_OK ? code : check_floats(c, op->out, outputs);
}

static int check_f32_binary(const checker_t *c, const tac_op_t *op) {
    if ((op->in_c && op->count % op->in_c != 0) || !within(op->param0, 0, 3) ||
        !positive_f32(op->scale)) {
        return TAC_ERR_PLAN_PARAM;
    }
    int code = check_f32_in_out(c, op, op->count, op->count);
    return code != TAC_OK ? code : check_floats(c, op->in1, op->in_c ? op->in_c : op->count);
}

static int check_f32_rows(const checker_t *c, const tac_op_t *op, bool reduced) {
    if (!op->in_c || op->count % op->in_c != 0) {
        return TAC_ERR_PLAN_PARAM;
    }
    return check_f32_in_out(c, op, op->count, reduced ? op->count / op->in_c : op->count);
}

static int check_f32_window(const checker_t *c, const tac_op_t *op) {
    if (!window_ok(op) || op->param0 < 0 || op->param0 == 1 || op->param0 > op->in_c) {
        return TAC_ERR_PLAN_PARAM;
    }
    const uint32_t groups = op->param0 ? (uint32_t)op->param0 : 1;
    if (op->in_c % groups != 0 || op->out_c % groups != 0) {
        return TAC_ERR_PLAN_PARAM;
    }
    const uint64_t weights = volume(op->k_h, op->k_w, op->in_c / groups) * op->out_c;
    const uint64_t pixels = (uint64_t)(op->row_end - op->row_begin) * op->out_w;
    if (weights > TAC_PLAN_WORK_MAX || pixels * weights > TAC_PLAN_WORK_MAX) {
        return TAC_ERR_PLAN_PARAM;
    }
    int code = check_f32_in_out(c, op, volume(op->in_h, op->in_w, op->in_c),
                                volume(op->out_h, op->out_w, op->out_c));
    if (code == TAC_OK) {
        code = check_weights(c, op, 4 * weights);
    }
    return code != TAC_OK ? code : check_bias(c, op);
}

static int check_f32_matmul(const checker_t *c, const tac_op_t *op) {
    const uint64_t turns = (uint64_t)op->in_c * op->out_c;
    if (op->in_h != op->out_h || !rows_ok(op) || turns > TAC_PLAN_WORK_MAX ||
        turns * (uint32_t)(op->row_end - op->row_begin) > TAC_PLAN_WORK_MAX) {
        return TAC_ERR_PLAN_PARAM;
    }
    int code =
        check_f32_in_out(c, op, volume(op->in_h, op->in_c, 1), volume(op->out_h, op->out_c, 1));
    return code != TAC_OK ? code : check_floats(c, op->in1, turns);
}

static int check_f32(const checker_t *c, const tac_op_t *op) {
    int code;
    switch (op->kind) {
    case TAC_OP_F32_BINARY:
        return check_f32_binary(c, op);
    case TAC_OP_F32_UNARY:
        return within(op->param0, 0, 1) ? check_f32_in_out(c, op, op->count, op->count)
                                        : TAC_ERR_PLAN_PARAM;
    case TAC_OP_F32_CLAMP:
        code = check_f32_in_out(c, op, op->count, op->count);
        return code != TAC_OK ? code : check_weights(c, op, 2 * sizeof(float));
    case TAC_OP_F32_MATMUL:
        return check_f32_matmul(c, op);
    case TAC_OP_F32_MEAN:
        return positive_f32(op->scale) ? check_f32_rows(c, op, true) : TAC_ERR_PLAN_PARAM;
    case TAC_OP_F32_SOFTMAX:
        return check_f32_rows(c, op, false);
    default:
        return check_f32_window(c, op);
    }
}

static int check_lut(const checker_t *c, const tac_op_t *op) {
    int code = check_in_out(c, op, op->count, op->count);
    return code != TAC_OK ? code : check_weights(c, op, 256);
}

// A check of kinds that this build runs; of others it is not linked either.
#define BUILT(kinds) (((TAC_KERNELS | TAC_PACKED_KERNELS) & (kinds)) != 0)
#define CHECK(kind, call) (BUILT(1u << (kind)) ? (call) : TAC_ERR_PLAN_KERNEL)

static int check_kind(const checker_t *c, const tac_op_t *op) {
    if (op->kind >= TAC_OP_F32_BINARY) {
        return BUILT(~0u << TAC_OP_F32_BINARY) ? check_f32(c, op) : TAC_ERR_PLAN_KERNEL;
    }
    switch (op->kind) {
    case TAC_OP_QUANTIZE:
        return CHECK(TAC_OP_QUANTIZE, check_quantize(c, op));
    case TAC_OP_DEQUANTIZE:
        return CHECK(TAC_OP_DEQUANTIZE, check_quantize(c, op));
    case TAC_OP_CONV2D:
        return CHECK(TAC_OP_CONV2D, check_conv2d(c, op));
    case TAC_OP_DWCONV2D:
        return CHECK(TAC_OP_DWCONV2D, check_dwconv2d(c, op));
    case TAC_OP_LINEAR:
        return CHECK(TAC_OP_LINEAR, check_linear(c, op));
    case TAC_OP_ADD:
        return CHECK(TAC_OP_ADD, check_add(c, op));
    case TAC_OP_AVGPOOL2D:
        if (!positive_f32(op->scale)) {
            return TAC_ERR_PLAN_PARAM;
        }
        return CHECK(TAC_OP_AVGPOOL2D, check_pool(c, op));
    case TAC_OP_MAXPOOL2D:
        return CHECK(TAC_OP_MAXPOOL2D, check_pool(c, op));
    case TAC_OP_SOFTMAX:
        return CHECK(TAC_OP_SOFTMAX, check_softmax(c, op));
    case TAC_OP_CLAMP:
    case TAC_OP_COPY:
        return check_in_out(c, op, op->count, op->count);
    case TAC_OP_LUT:
        return CHECK(TAC_OP_LUT, check_lut(c, op));
    case TAC_OP_PAD:
        return CHECK(TAC_OP_PAD, check_pad(c, op));
    case TAC_OP_STRIDED:
        return CHECK(TAC_OP_STRIDED, check_strided(c, op));
    case TAC_OP_MUL:
        return scaling_ok(op->mult0, op->shift0) ? check_binary(c, op) : TAC_ERR_PLAN_PARAM;
    case TAC_OP_DIV:
        return positive_f32(op->scale) ? check_binary(c, op) : TAC_ERR_PLAN_PARAM;
    case TAC_OP_MINIMUM:
    case TAC_OP_MAXIMUM:
        return check_binary(c, op);
    case TAC_OP_MATMUL:
        return CHECK(TAC_OP_MATMUL, check_matmul(c, op));
    case TAC_OP_TCONV2D:
        return CHECK(TAC_OP_TCONV2D, check_tconv2d(c, op));
    case TAC_OP_CONST:
        return CHECK(TAC_OP_CONST, check_const(c, op));
    default:
        return TAC_ERR_PLAN_KERNEL;
    }
}

// What is added to inputs: minus a zero point, in MUL and DIV also that of a hidden sum.
static bool offsets_ok(const tac_op_t *op) {
    const bool wide = op->kind == TAC_OP_MUL || op->kind == TAC_OP_DIV;
    const int32_t low = wide ? -32767 : -127, high = wide ? 32767 : 128;
    return within(op->in0_add, low, high) && within(op->in1_add, low, high);
}

static bool flags_ok(const tac_op_t *op) {
    const bool either_order =
        (op->layout == 1 && (op->kind == TAC_OP_CONV2D || op->kind == TAC_OP_DWCONV2D)) ||
        (op->layout == 0 && op->kind == TAC_OP_DWCONV2D && op->in_c == op->out_c);
    return op->flags == 0 || (op->flags == TAC_OP_REVERSE && either_order);
}

static int check_op(const checker_t *c, const tac_op_t *op) {
    if (op->kind == 0 || op->kind >= TAC_OP_KIND_END || op->layout > c->target) {
        return TAC_ERR_PLAN_KERNEL;
    }
    if ((((op->layout ? TAC_PACKED_KERNELS : TAC_KERNELS) >> op->kind) & 1u) == 0) {
        return TAC_ERR_PLAN_KERNEL; // built without it
    }
    if (!flags_ok(op) || op->wcet_us == 0 || !unused_are_zero(op) ||
        op->count > TAC_PLAN_WORK_MAX || !offsets_ok(op) ||
        !within(op->out_add, INT8_MIN, INT8_MAX) || !within(op->act_min, INT8_MIN, INT8_MAX) ||
        !within(op->act_max, op->act_min, INT8_MAX)) {
        return TAC_ERR_PLAN_PARAM;
    }
    int code = check_kind(c, op);
    if (code == TAC_OK && op->layout != 0) {
        code = tac_packed_check(op, c->image, c->image_bytes, c->scratch_end);
    }
    return code;
}

static int check_header(const tac_plan_header_t *header, size_t image_bytes, size_t arena_bytes) {
    if (header->magic != TAC_PLAN_MAGIC) {
        return TAC_ERR_PLAN_MAGIC;
    }
    if (header->version != TAC_PLAN_VERSION) {
        return TAC_ERR_PLAN_VERSION;
    }
    if (header->image_bytes != image_bytes || image_bytes % TAC_PLAN_ALIGN != 0 ||
        header->ops_offset % TAC_PLAN_ALIGN != 0 || header->io_offset % TAC_PLAN_ALIGN != 0) {
        return TAC_ERR_PLAN_SIZE;
    }
    if (header->target > 1) {
        return TAC_ERR_PLAN_KERNEL;
    }
    if ((!TAC_SEGMENTS && header->segment_count != 0) ||
        (!TAC_EARLY_EXITS && header->mandatory_ops != 0)) {
        return TAC_ERR_PLAN_KERNEL;
    }
    const uint32_t *reserved = header->reserved;
    if ((reserved[0] | reserved[1] | reserved[2] | reserved[3]) != 0 || header->op_count == 0 ||
        header->op_count > TAC_PLAN_OPS_MAX || header->input_count == 0 ||
        header->input_count > TAC_PLAN_IO_MAX || header->output_count == 0 ||
        header->output_count > TAC_PLAN_IO_MAX) {
        return TAC_ERR_PLAN_PARAM;
    }
    const uint32_t io_count = (uint32_t)header->input_count + header->output_count;
    if (header->ops_offset < sizeof *header || header->io_offset < sizeof *header ||
        !fits(header->ops_offset, header->op_count * sizeof(tac_op_t), image_bytes) ||
        !fits(header->io_offset, io_count * sizeof(tac_plan_io_t), image_bytes)) {
        return TAC_ERR_PLAN_BOUNDS;
    }
    return header->arena_bytes <= arena_bytes ? TAC_OK : TAC_ERR_PLAN_ARENA;
}

#if TAC_SEGMENTS
int tac_plan_check_op(const uint8_t *image, const tac_op_t *op) {
    const tac_plan_header_t *header = tac_plan_header(image);
    const checker_t c = {image, header->image_bytes, UINT64_MAX / 2, header->arena_bytes,
                         header->target};
    return check_op(&c, op);
}
#endif

int tac_plan_check(const uint8_t *image, size_t image_bytes, size_t arena_bytes) {
    if (!image || (uintptr_t)image % TAC_PLAN_ALIGN != 0) {
        return TAC_ERR_ARGUMENT;
    }
    if (image_bytes < sizeof(tac_plan_header_t)) {
        return TAC_ERR_PLAN_SIZE;
    }
    const tac_plan_header_t *header = tac_plan_header(image);
    int code = check_header(header, image_bytes, arena_bytes);
    if (code != TAC_OK) {
        return code;
    }
    const checker_t c = {image, image_bytes, header->arena_bytes, header->arena_bytes,
                         header->target};
    const tac_plan_io_t *io = tac_plan_io(image);
    for (uint32_t i = 0; i < (uint32_t)header->input_count + header->output_count; i++) {
        code = check_tensor(&c, io[i].offset, io[i].bytes);
        if (code != TAC_OK) {
            return code;
        }
    }
    // Either answer may become the job's: whoever reads one gets the size of the other.
    if (TAC_EARLY_EXITS && header->mandatory_ops != 0 &&
        (header->mandatory_ops >= header->op_count || header->output_count != 2 ||
         io[header->input_count].bytes != io[header->input_count + 1u].bytes)) {
        return TAC_ERR_PLAN_PARAM;
    }
    const tac_op_t *ops = tac_plan_ops(image);
    uint32_t kernels = 0;
#if TAC_SEGMENTS
    const tac_segment_t *segment = tac_plan_segments(image);
    uint32_t segments = header->segment_count;
    code = segments ? tac_segments_check(image, &kernels) : TAC_OK;
    if (code != TAC_OK) {
        return code;
    }
#endif
    for (uint32_t i = 0; i < header->op_count; i++) {
#if TAC_SEGMENTS
        if (segments && i == segment->first_op) {
            // A job ends between two records, not inside a segment. Without an early exit, 0 wraps.
            if (TAC_EARLY_EXITS && header->mandatory_ops - 1u - i < segment->op_count - 1u) {
                return TAC_ERR_PLAN_PARAM;
            }
            i += segment->op_count - 1u;
            segments--;
            segment++;
            continue;
        }
#endif
        code = check_op(&c, &ops[i]);
        if (code != TAC_OK) {
            return code;
        }
        kernels |= 1u << ops[i].kind;
    }
    return kernels == header->kernels ? TAC_OK : TAC_ERR_PLAN_PARAM;
}
