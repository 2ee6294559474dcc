// SPDX-License-Identifier: MIT
// The checks of segments, O(ops) of them: where their tables, rings and whole tensors lie, and that
// producers and consumers mean the same rows. The list of steps is not read: segment.c keeps any
// list in bounds.
#pragma GCC optimize("Os") // runs once, at load; before the includes, so that theirs inline
#include "engine/segment.h"

#if TAC_SEGMENTS

typedef struct view {
    const uint8_t *image;
    const tac_op_t *ops;
    const tac_link_t *links;
    uint32_t op_count;
    uint32_t arena_bytes;
} view_t;

// `rows` rows at `offset`; no sum leaves 64 bits.
__attribute__((noinline)) static bool fits(uint32_t offset, uint32_t rows, uint32_t row_bytes,
                                           uint32_t limit) {
    return (uint64_t)rows * row_bytes + offset <= limit;
}

#define ALLOWED                                                                                    \
    (1u << TAC_OP_CONV2D | 1u << TAC_OP_DWCONV2D | 1u << TAC_OP_ADD | 1u << TAC_OP_MUL |           \
     1u << TAC_OP_CLAMP | 1u << TAC_OP_LUT | 1u << TAC_OP_MAXPOOL2D | 1u << TAC_OP_AVGPOOL2D |     \
     1u << TAC_OP_PAD)

// One window without padding.
static bool can_be_fed(const tac_op_t *op) {
    return op->kind == TAC_OP_AVGPOOL2D && op->out_h == 1 && op->out_w == 1 && op->pad_t == 0 &&
           op->pad_l == 0 && op->k_h <= op->in_h && op->k_w <= op->in_w;
}

// The record in everything but the place of its tensors, as if it were not in a segment.
static int check_record(const view_t *v, const tac_op_t *op) {
    if (op->kind >= TAC_OP_KIND_END || !(ALLOWED >> op->kind & 1u)) {
        return TAC_ERR_PLAN_PARAM;
    }
    const bool elementwise = tac_rows_elementwise(op), fed = tac_rows_fed(op);
    if (!elementwise && (op->row_begin != 0 || op->row_end != op->out_h)) {
        return TAC_ERR_PLAN_PARAM;
    }
    if (!elementwise && !fed) {
        return tac_plan_check_op(v->image, op);
    }
    tac_op_t alone;
    tac_move_down((uint8_t *)&alone, (const uint8_t *)op, sizeof alone);
    if (fed) {
        if (!can_be_fed(op) || op->scratch % 4 != 0 ||
            !fits(op->scratch, op->in_c, sizeof(float), v->arena_bytes)) {
            return TAC_ERR_PLAN_PARAM;
        }
        alone.flags ^= TAC_OP_FED;
        alone.scratch = 0;
    } else {
        if (op->out_h == 0 || op->count % op->out_h != 0 ||
            (op->in_c && op->count / op->out_h % op->in_c != 0)) {
            return TAC_ERR_PLAN_PARAM;
        }
        alone.out_h = 0;
    }
    return tac_plan_check_op(v->image, &alone);
}

// An input made by op `from`. That it means the same rows as its producer is not checked: where
// they lie together decides what a step may read.
static bool input_fits(const view_t *v, uint32_t from, uint32_t offset, uint32_t rows,
                       uint32_t row_bytes) {
    if (from != TAC_LINK_OUTSIDE) {
        if (from >= v->op_count) {
            return false;
        }
        rows = v->links[from].ring_rows ? v->links[from].ring_rows : rows;
    }
    return fits(offset, rows, row_bytes, v->arena_bytes);
}

static int check_op(const view_t *v, uint32_t index) {
    const tac_op_t *op = &v->ops[index];
    const tac_link_t *link = &v->links[index];
    int code = check_record(v, op);
    if (code != TAC_OK) {
        return code;
    }
    tac_rows_t rows;
    tac_rows_of(op, &rows);
    const bool fed = tac_rows_fed(op);
    const uint32_t held = link->ring_rows ? link->ring_rows : rows.out_count;
    const bool moves = !tac_rows_two(op) || op->in_c == 0; // both inputs
    if (held > rows.out_count || (fed && link->ring_rows) ||
        ((!tac_rows_two(op) || op->in_c) && link->in1_from != TAC_LINK_OUTSIDE)) {
        return TAC_ERR_PLAN_PARAM;
    }
    const bool ok =
        fits(op->out, fed ? 1 : held, fed ? op->out_c : rows.out_bytes, v->arena_bytes) &&
        input_fits(v, link->in0_from, op->in0, rows.in_count, rows.in_bytes) &&
        (!tac_rows_two(op) ||
         (moves ? input_fits(v, link->in1_from, op->in1, rows.in_count, rows.in_bytes)
                : fits(op->in1, 1, op->in_c, v->arena_bytes)));
    return ok ? TAC_OK : TAC_ERR_PLAN_ARENA;
}

int tac_segments_check(const uint8_t *image, uint32_t *kernels) {
    const tac_plan_header_t *header = tac_plan_header(image);
    const uint32_t image_bytes = header->image_bytes;
    if (header->segments_offset % 4 != 0 || header->segment_count > TAC_SEGMENTS_MAX) {
        return TAC_ERR_PLAN_PARAM;
    }
    if (!fits(header->segments_offset, header->segment_count, sizeof(tac_segment_t), image_bytes)) {
        return TAC_ERR_PLAN_BOUNDS;
    }
    view_t v = {.image = image, .arena_bytes = header->arena_bytes};
    uint32_t first = 0, units = 0;
    const tac_segment_t *segment = tac_plan_segments(image);
    for (uint32_t left = header->segment_count; left > 0; left--, segment++) {
        units += segment->run_steps;
        if (segment->first_op < first || segment->op_count == 0 ||
            segment->op_count > TAC_SEGMENT_OPS_MAX || segment->run_steps == 0 ||
            segment->run_steps > segment->step_count || units > TAC_SEGMENT_UNITS_MAX ||
            segment->links % 4 != 0) {
            return TAC_ERR_PLAN_PARAM;
        }
        first = (uint32_t)segment->first_op + segment->op_count;
        if (first > header->op_count ||
            !fits(segment->steps, segment->step_count, sizeof(tac_step_t), image_bytes) ||
            !fits(segment->links, segment->op_count, sizeof(tac_link_t), image_bytes)) {
            return TAC_ERR_PLAN_BOUNDS;
        }
        v.ops = tac_plan_ops(image) + segment->first_op;
        v.op_count = segment->op_count;
        v.links = tac_segment_links(image, segment);
        for (uint32_t i = 0; i < segment->op_count; i++) {
            int code = check_op(&v, i);
            if (code != TAC_OK) {
                return code;
            }
            *kernels |= 1u << v.ops[i].kind;
        }
    }
    return TAC_OK;
}

#endif
