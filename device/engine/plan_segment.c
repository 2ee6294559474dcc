// SPDX-License-Identifier: MIT
// The checks of segments, O(ops) of them: where their tables, rings and whole tensors lie, and that
// producers and consumers mean the same rows. The list of steps is not read: segment.c keeps any
// list in bounds.
#include "engine/packed.h"
#include "engine/segment.h"

#if TAC_SEGMENTS

typedef struct view {
    const tac_op_t *ops;
    const tac_link_t *links;
    uint64_t arena_bytes;
} view_t;

static bool fits(uint64_t offset, uint64_t bytes, uint64_t limit) {
    return bytes <= limit && offset <= limit - bytes;
}

#define ALLOWED                                                                                    \
    (1u << TAC_OP_CONV2D | 1u << TAC_OP_DWCONV2D | 1u << TAC_OP_ADD | 1u << TAC_OP_MUL |           \
     1u << TAC_OP_CLAMP | 1u << TAC_OP_LUT | 1u << TAC_OP_MAXPOOL2D | 1u << TAC_OP_AVGPOOL2D |     \
     1u << TAC_OP_PAD)

// Whether the op can run by rows at all. FED asks for more in plan.c.
static bool divisible(const tac_op_t *op) {
    if (op->kind >= TAC_OP_KIND_END || !(ALLOWED >> op->kind & 1u) || op->out_h == 0) {
        return false;
    }
    if (!tac_rows_elementwise(op)) {
        return op->row_begin == 0 && op->row_end == op->out_h;
    }
    return op->count % op->out_h == 0 && (op->in_c == 0 || op->count / op->out_h % op->in_c == 0);
}

// An input of op `index` at `offset`, made by op `from`.
static int check_input(const view_t *v, uint32_t index, uint32_t from, uint32_t offset,
                       const tac_rows_t *rows) {
    if (from == TAC_LINK_OUTSIDE) {
        const uint64_t bytes = (uint64_t)rows->in_count * rows->in_bytes;
        return fits(offset, bytes, v->arena_bytes) ? TAC_OK : TAC_ERR_PLAN_ARENA;
    }
    if (from >= index || v->ops[from].flags & TAC_OP_FED || v->ops[from].out != offset) {
        return TAC_ERR_PLAN_PARAM;
    }
    tac_rows_t made;
    tac_rows_of(&v->ops[from], &made);
    return made.out_count == rows->in_count && made.out_bytes == rows->in_bytes
               ? TAC_OK
               : TAC_ERR_PLAN_PARAM;
}

// The second input: of ADD and MUL, where it may also be a vector that repeats.
static int check_second(const view_t *v, uint32_t index, const tac_rows_t *rows) {
    const tac_op_t *op = &v->ops[index];
    const uint32_t from = v->links[index].in1_from;
    const bool binary = op->kind == TAC_OP_ADD || op->kind == TAC_OP_MUL;
    if (binary && op->in_c == 0) {
        return check_input(v, index, from, op->in1, rows);
    }
    if (from != TAC_LINK_OUTSIDE) {
        return TAC_ERR_PLAN_PARAM;
    }
    return !binary || fits(op->in1, op->in_c, v->arena_bytes) ? TAC_OK : TAC_ERR_PLAN_ARENA;
}

static int check_op(const view_t *v, uint32_t index) {
    const tac_op_t *op = &v->ops[index];
    if (!divisible(op)) {
        return TAC_ERR_PLAN_PARAM;
    }
    tac_rows_t rows;
    tac_rows_of(op, &rows);
    const bool fed = (op->flags & TAC_OP_FED) != 0;
    const uint32_t ring = v->links[index].ring_rows;
    if (ring > (fed ? 0 : rows.out_count)) {
        return TAC_ERR_PLAN_PARAM;
    }
    const uint64_t out_bytes =
        fed ? op->out_c : (uint64_t)(ring ? ring : rows.out_count) * rows.out_bytes;
    const uint64_t scratch = fed ? 4ull * op->in_c : op->layout ? tac_packed_scratch_bytes(op) : 0;
    if (!fits(op->out, out_bytes, v->arena_bytes) ||
        !fits(op->scratch, (scratch + 3) & ~3ull, v->arena_bytes)) {
        return TAC_ERR_PLAN_ARENA;
    }
    if (op->scratch % 4 != 0) {
        return TAC_ERR_PLAN_SIZE;
    }
    int code = check_input(v, index, v->links[index].in0_from, op->in0, &rows);
    return code != TAC_OK ? code : check_second(v, index, &rows);
}

int tac_segments_check(const uint8_t *image) {
    const tac_plan_header_t *header = tac_plan_header(image);
    const uint64_t image_bytes = header->image_bytes;
    if (header->segments_offset % 4 != 0) {
        return TAC_ERR_PLAN_SIZE;
    }
    if (header->segment_count > header->op_count) {
        return TAC_ERR_PLAN_PARAM;
    }
    if (!fits(header->segments_offset, header->segment_count * sizeof(tac_segment_t),
              image_bytes)) {
        return TAC_ERR_PLAN_BOUNDS;
    }
    view_t v = {.arena_bytes = header->arena_bytes};
    uint32_t first = 0, units = 0;
    for (uint32_t i = 0; i < header->segment_count; i++) {
        const tac_segment_t *segment = tac_plan_segments(image) + i;
        units += segment->run_steps;
        if (segment->first_op < first || segment->op_count == 0 ||
            segment->op_count > TAC_SEGMENT_OPS_MAX || segment->run_steps == 0 ||
            segment->run_steps > segment->step_count || units > TAC_SEGMENT_UNITS_MAX) {
            return TAC_ERR_PLAN_PARAM;
        }
        first = (uint32_t)segment->first_op + segment->op_count;
        if (first > header->op_count ||
            !fits(segment->steps, segment->step_count * sizeof(tac_step_t), image_bytes) ||
            !fits(segment->links, segment->op_count * sizeof(tac_link_t), image_bytes)) {
            return TAC_ERR_PLAN_BOUNDS;
        }
        if (segment->links % 4 != 0) {
            return TAC_ERR_PLAN_SIZE;
        }
        v.ops = tac_plan_ops(image) + segment->first_op;
        v.links = tac_segment_links(image, segment);
        for (uint32_t op = 0; op < segment->op_count; op++) {
            int code = check_op(&v, op);
            if (code != TAC_OK) {
                return code;
            }
        }
    }
    return TAC_OK;
}

#endif
