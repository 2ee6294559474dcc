// SPDX-License-Identifier: MIT
// The checks of layout 1. A stream holds no offsets, only channel positions, which are checked one
// by one: O(pairs). Numbers in it may be wrong, never harmful: sums wrap, shifts have 5 bits.
#include "engine/packed.h"

#include <stdbool.h>

static uint64_t round_up(uint64_t size) {
    return (size + 3) & ~3ull;
}

uint64_t tac_packed_scratch_bytes(const tac_op_t *op) {
    switch (op->kind) {
    case TAC_OP_CONV2D: {
        const uint64_t columns = 6ull * tac_packed_taps(op);
        if (op->in_c % 4 != 0) {
            return columns + 3ull * tac_packed_taps(op);
        }
        return columns + (tac_packed_border(op) ? op->in_c : 0u);
    }
    case TAC_OP_DWCONV2D: // four planes of two words a column
        return 32ull * ((tac_packed_dw_tile(op) - 1ull) * op->stride_w + 3);
    case TAC_OP_LINEAR:
        return 2ull * ((op->in_c + 7u) & ~7u);
    default:
        return 0;
    }
}

// A stream of `count` records of `words` words.
static int check_stream(const tac_op_t *op, uint64_t words, uint64_t image_bytes) {
    if (op->count == 0 || op->weights < sizeof(tac_plan_header_t)) {
        return TAC_ERR_PLAN_PARAM;
    }
    if (op->weights % TAC_PLAN_ALIGN != 0) {
        return TAC_ERR_PLAN_SIZE;
    }
    // count < 2^30 and words < 2^48 by their origin: no overflow below 2^64 once count is bounded.
    if (op->count > image_bytes || words > image_bytes ||
        (uint64_t)op->weights + 4ull * op->count * words > image_bytes) {
        return TAC_ERR_PLAN_BOUNDS;
    }
    return TAC_OK;
}

static bool side_ok(int32_t shift) {
    return shift <= 0 && shift >= -30;
}

static int check_conv2d(const tac_op_t *op, const uint8_t *image, uint64_t image_bytes) {
    if (op->param0 != 0 || op->out_c > TAC_PACKED_CHANNELS_MAX || op->count > op->out_c) {
        return TAC_ERR_PLAN_PARAM;
    }
    const uint32_t words = TAC_PACKED_CONV_HEAD + TAC_PACKED_CONV_TAIL + tac_packed_taps(op) / 2;
    int code = check_stream(op, words, image_bytes);
    if (code != TAC_OK) {
        return code;
    }
    const int32_t *places_at = (const int32_t *)tac_table(image, op->weights) + words - 1;
    const uint32_t count = op->count, last = op->out_c - 1u;
    const uint32_t limits = last << 16 | last << 5; // a above 16 bits, b in the upper 11 of 16
    uint32_t above = 0;
#pragma GCC unroll 4
    for (uint32_t i = 0; i < count; i++, places_at += words) {
        above |= tac_above16(((uint32_t)*places_at & 0x3FFFFFu) << 5, limits);
    }
    return above == 0 ? TAC_OK : TAC_ERR_PLAN_PARAM;
}

static int check_dwconv2d(const tac_op_t *op, uint64_t image_bytes) {
    if (op->in_c != op->out_c || op->out_c < 4 || op->k_h != 3 || op->k_w != 3 || op->dil_h != 1 ||
        op->dil_w != 1 || op->count != (op->out_c + 3u) / 4) {
        return TAC_ERR_PLAN_PARAM;
    }
    return check_stream(op, 4 * TAC_PACKED_DW_WORDS, image_bytes);
}

static int check_linear(const tac_op_t *op, const uint8_t *image, uint64_t image_bytes) {
    const int32_t most =
        tac_packed_form(op) == TAC_FORM_RELU ? TAC_PACKED_SHIFT_MAX_RELU : TAC_PACKED_SHIFT_MAX;
    if (op->shift0 > -1 || op->shift0 < -most || op->count > op->out_c) {
        return TAC_ERR_PLAN_PARAM;
    }
    const uint32_t words = TAC_PACKED_LINEAR_HEAD + ((op->in_c + 7u) & ~7u);
    int code = check_stream(op, words, image_bytes);
    if (code != TAC_OK) {
        return code;
    }
    const int32_t *stream = tac_table(image, op->weights);
    const uint32_t count = op->count, limits = (op->out_c - 1u) * 0x10001u;
    uint32_t above = 0;
#pragma GCC unroll 4
    for (uint32_t i = 0; i < count; i++, stream += words) {
        above |= tac_above16((uint32_t)stream[0], limits);
        above |= tac_above16((uint32_t)stream[1], limits);
    }
    return above == 0 ? TAC_OK : TAC_ERR_PLAN_PARAM;
}

static int check_add(const tac_op_t *op) {
    const bool ok = op->param0 == 20 && side_ok(op->shift0) && side_ok(op->shift1) &&
                    op->shift2 <= -1 && op->shift2 >= -TAC_PACKED_SHIFT_MAX;
    return ok ? TAC_OK : TAC_ERR_PLAN_PARAM;
}

static int check_avgpool2d(const tac_op_t *op) {
    const bool ok = op->in_c % 4 == 0 && op->count == 0 &&
                    (uint32_t)op->k_h * op->k_w <= TAC_PACKED_POOL_TAPS_MAX;
    return ok ? TAC_OK : TAC_ERR_PLAN_PARAM;
}

// Of kinds that this build does not run packed, nothing is linked.
#define CHECK(kind, call) ((TAC_PACKED_KERNELS >> (kind)) & 1u ? (call) : TAC_ERR_PLAN_KERNEL)

int tac_packed_check(const tac_op_t *op, const uint8_t *image, uint64_t image_bytes,
                     uint64_t arena_bytes) {
    int code = TAC_ERR_PLAN_KERNEL;
    switch (op->kind) {
    case TAC_OP_CONV2D:
        code = CHECK(TAC_OP_CONV2D, check_conv2d(op, image, image_bytes));
        break;
    case TAC_OP_DWCONV2D:
        code = CHECK(TAC_OP_DWCONV2D, check_dwconv2d(op, image_bytes));
        break;
    case TAC_OP_LINEAR:
        code = CHECK(TAC_OP_LINEAR, check_linear(op, image, image_bytes));
        break;
    case TAC_OP_ADD:
        code = CHECK(TAC_OP_ADD, check_add(op));
        break;
    case TAC_OP_MAXPOOL2D:
        code = op->in_c % 4 == 0 && op->count == 0 ? TAC_OK : TAC_ERR_PLAN_PARAM;
        break;
    case TAC_OP_AVGPOOL2D:
        code = CHECK(TAC_OP_AVGPOOL2D, check_avgpool2d(op));
        break;
    default:
        break;
    }
    if (code != TAC_OK) {
        return code;
    }
    if (op->scratch % 4 != 0) {
        return TAC_ERR_PLAN_SIZE;
    }
    return op->scratch + round_up(tac_packed_scratch_bytes(op)) <= arena_bytes ? TAC_OK
                                                                               : TAC_ERR_PLAN_ARENA;
}
