// SPDX-License-Identifier: MIT
// Everything the kernels rely on is checked here, once, at load. Dimensions are 16-bit, so products
// of four of them fit uint64_t; sums are never formed with an unchecked term.
#include "engine/plan.h"

#include <stdbool.h>
#include <string.h>

typedef struct checker {
    const uint8_t *image;
    uint64_t image_bytes, arena_bytes;
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
};

static bool unused_are_zero(const tac_op_t *op) {
    uint64_t used = USE_HEAD | used_fields[op->kind];
    for (unsigned i = 0; i < sizeof *op / 2; i++, used >>= 1) {
        uint16_t half;
        memcpy(&half, (const uint8_t *)op + 2 * i, sizeof half);
        if (!(used & 1) && half != 0) {
            return false;
        }
    }
    return true;
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
    if (!window_ok(op) || op->param0 < 0 || op->param0 == 1 || op->param0 > op->in_c) {
        return TAC_ERR_PLAN_PARAM;
    }
    const uint32_t groups = op->param0 ? (uint32_t)op->param0 : 1;
    if (op->in_c % groups != 0 || op->out_c % groups != 0) {
        return TAC_ERR_PLAN_PARAM;
    }
    uint64_t weights = volume(op->k_h, op->k_w, op->in_c / groups) * op->out_c;
    int code = check_window(c, op, weights);
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
    if (code == TAC_OK) {
        code = check_weights(c, op, weights);
    }
    return code != TAC_OK ? code : check_bias(c, op);
}

static int check_add(const checker_t *c, const tac_op_t *op) {
    if (!within(op->param0, 0, 22) || !scaling_ok(op->mult0, op->shift0) ||
        !scaling_ok(op->mult1, op->shift1) || !scaling_ok(op->mult2, op->shift2) ||
        (op->in_c && op->count % op->in_c != 0)) {
        return TAC_ERR_PLAN_PARAM;
    }
    int code = check_in_out(c, op, op->count, op->count);
    return code != TAC_OK ? code : check_tensor(c, op->in1, op->in_c ? op->in_c : op->count);
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

static int check_kind(const checker_t *c, const tac_op_t *op) {
    int code;
    switch (op->kind) {
    case TAC_OP_QUANTIZE:
    case TAC_OP_DEQUANTIZE:
        return check_quantize(c, op);
    case TAC_OP_CONV2D:
        return check_conv2d(c, op);
    case TAC_OP_DWCONV2D:
        return check_dwconv2d(c, op);
    case TAC_OP_LINEAR:
        return check_linear(c, op);
    case TAC_OP_ADD:
        return check_add(c, op);
    case TAC_OP_AVGPOOL2D:
        if (!positive_f32(op->scale)) {
            return TAC_ERR_PLAN_PARAM;
        }
        return check_pool(c, op);
    case TAC_OP_MAXPOOL2D:
        return check_pool(c, op);
    case TAC_OP_SOFTMAX:
        return check_softmax(c, op);
    case TAC_OP_CLAMP:
    case TAC_OP_COPY:
        return check_in_out(c, op, op->count, op->count);
    case TAC_OP_LUT:
        code = check_in_out(c, op, op->count, op->count);
        return code != TAC_OK ? code : check_weights(c, op, 256);
    case TAC_OP_PAD:
        return check_pad(c, op);
    default:
        return TAC_ERR_PLAN_KERNEL;
    }
}

static bool flags_ok(const tac_op_t *op) {
    return op->flags == 0 ||
           (op->flags == TAC_OP_REVERSE && op->kind == TAC_OP_DWCONV2D && op->in_c == op->out_c);
}

static int check_op(const checker_t *c, const tac_op_t *op) {
    if (op->kind == 0 || op->kind >= TAC_OP_KIND_END || op->layout != 0) {
        return TAC_ERR_PLAN_KERNEL;
    }
    if (!flags_ok(op) || op->wcet_us == 0 || !unused_are_zero(op) ||
        op->count > TAC_PLAN_WORK_MAX || !within(op->in0_add, -127, 128) ||
        !within(op->in1_add, -127, 128) || !within(op->out_add, INT8_MIN, INT8_MAX) ||
        !within(op->act_min, INT8_MIN, INT8_MAX) || !within(op->act_max, op->act_min, INT8_MAX)) {
        return TAC_ERR_PLAN_PARAM;
    }
    return check_kind(c, op);
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
    if (header->target != 0) {
        return TAC_ERR_PLAN_KERNEL;
    }
    for (unsigned i = 0; i < sizeof header->reserved / sizeof header->reserved[0]; i++) {
        if (header->reserved[i] != 0) {
            return TAC_ERR_PLAN_PARAM;
        }
    }
    if (header->op_count == 0 || header->op_count > TAC_PLAN_OPS_MAX || header->input_count == 0 ||
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
    const checker_t c = {image, image_bytes, header->arena_bytes};
    const tac_plan_io_t *io = tac_plan_io(image);
    for (uint32_t i = 0; i < (uint32_t)header->input_count + header->output_count; i++) {
        code = check_tensor(&c, io[i].offset, io[i].bytes);
        if (code != TAC_OK) {
            return code;
        }
    }
    const tac_op_t *ops = tac_plan_ops(image);
    uint32_t kernels = 0;
    for (uint32_t i = 0; i < header->op_count; i++) {
        code = check_op(&c, &ops[i]);
        if (code != TAC_OK) {
            return code;
        }
        kernels |= 1u << ops[i].kind;
    }
    return kernels == header->kernels ? TAC_OK : TAC_ERR_PLAN_PARAM;
}
