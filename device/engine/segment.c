// SPDX-License-Identifier: MIT
// A step of a segment: a record on the stack that describes just its rows, run by the op's kernel.
//
// The list of steps is not checked at load. What keeps a step in bounds is checked here, in 20
// instructions: [base, next) of a ring always lies in the ring, a step reads only rows of it and
// writes only behind them. All in all a step costs some 200 instructions more than its kernel.
#pragma GCC optimize("Os") // once an op or a step; before the includes, so that theirs inline
#include "engine/segment.h"

#if TAC_SEGMENTS

#include "engine/dsp.h"

void tac_rows_of(const tac_op_t *op, tac_rows_t *rows) {
    rows->stride = rows->reach = 1;
    rows->pad = 0;
    rows->out_count = op->out_h;
    if (tac_rows_elementwise(op)) {
        rows->in_count = op->out_h;
        rows->in_bytes = rows->out_bytes = op->count / op->out_h;
        return;
    }
    rows->in_count = op->in_h;
    rows->in_bytes = (uint32_t)op->in_w * op->in_c;
    rows->out_bytes = (uint32_t)op->out_w * op->out_c;
    if (tac_rows_fed(op)) {
        rows->out_count = op->k_h;
        rows->out_bytes = 0;
        return;
    }
    rows->pad = op->pad_t;
    if (!tac_rows_pad(op)) {
        rows->stride = op->stride_h;
        rows->reach = (op->k_h - 1u) * op->dil_h + 1;
    }
}

typedef struct block { // 16 bytes
    uint32_t words[4];
} __attribute__((may_alias)) block_t;

// memmove() to a lower address: libraries for small machines move single bytes. Words at a multiple
// of 4: LDM and STM, 0.31 instructions and 0.75 cycles of an M4 a byte.
void tac_move_down(uint8_t *to, const uint8_t *from, uint32_t bytes) {
    if ((((uintptr_t)to | (uintptr_t)from) & 3) == 0) {
        for (; bytes >= 16; bytes -= 16, to += 16, from += 16) {
            const block_t block = *(const block_t *)(const void *)from;
            *(block_t *)(void *)to = block;
        }
    }
    for (; bytes >= 4; bytes -= 4, to += 4, from += 4) {
        tac_store32(to, tac_load32(from));
    }
    for (; bytes > 0; bytes--) {
        *to++ = *from++;
    }
}

static int32_t clip(int32_t row, uint32_t count) {
    const int32_t most = (int32_t)count;
    if (row < 0) {
        return 0;
    }
    return row < most ? row : most;
}

// The first row that an input made by op `from` holds if it holds rows [begin, end), else -1.
__attribute__((noinline)) static int32_t held(const tac_model_t *model, uint32_t from,
                                              int32_t begin, int32_t end) {
    if (from == TAC_LINK_OUTSIDE) {
        return 0;
    }
    const tac_ring_t *ring = &model->rings[from];
    return begin >= ring->base && end <= ring->next ? ring->base : -1;
}

// The record of the next `count` rows of op `index`; false if they cannot run. Not inlined: what it
// keeps on the stack must be gone when the kernel runs.
__attribute__((noinline)) static bool take_rows(tac_model_t *model, const tac_segment_t *segment,
                                                uint32_t index, uint32_t count, tac_op_t *part) {
    const tac_op_t *op = tac_plan_ops(model->image) + segment->first_op + index;
    const tac_link_t *link = tac_segment_links(model->image, segment) + index;
    tac_ring_t *ring = &model->rings[index];
    tac_rows_t rows;
    tac_rows_of(op, &rows);
    const uint32_t begin = ring->next, end = begin + count;
    const int32_t top = (int32_t)(begin * rows.stride) - rows.pad;
    const int32_t last = (int32_t)((end - 1) * rows.stride + rows.reach) - rows.pad;
    const int32_t in_begin = clip(top, rows.in_count), in_end = clip(last, rows.in_count);
    const int32_t from0 = held(model, link->in0_from, in_begin, in_end);
    const int32_t from1 =
        tac_rows_two(op) ? held(model, link->in1_from, (int32_t)begin, (int32_t)end) : 0;
    if (count == 0 || end > rows.out_count ||
        (link->ring_rows && end - ring->base > link->ring_rows) || from0 < 0 || from1 < 0 ||
        (in_begin == in_end && !tac_rows_pad(op))) {
        return false;
    }
    tac_move_down((uint8_t *)part, (const uint8_t *)op, sizeof *part);
    part->in0 += (uint32_t)(in_begin - from0) * rows.in_bytes;
    part->out += (begin - ring->base) * rows.out_bytes;
    part->in_h = (uint16_t)(in_end - in_begin);
    part->pad_t = (int16_t)(in_begin == in_end ? 0 : in_begin - top);
    part->out_h = part->row_end = (uint16_t)count;
    if (tac_rows_fed(op)) {
        part->row_begin = (uint16_t)begin;
        part->row_end = (uint16_t)end;
    }
    if (tac_rows_elementwise(op)) {
        part->count = count * rows.out_bytes;
        if (op->in_c == 0) {
            part->in1 += (begin - (uint32_t)from1) * rows.in_bytes;
        }
    }
    ring->next = (uint16_t)end;
    return true;
}

__attribute__((noinline)) static void slide(tac_model_t *model, const tac_segment_t *segment,
                                            uint32_t index, uint32_t count) {
    if (index >= segment->op_count ||
        tac_segment_links(model->image, segment)[index].ring_rows == 0) {
        return;
    }
    const tac_op_t *op = tac_plan_ops(model->image) + segment->first_op + index;
    tac_ring_t *ring = &model->rings[index];
    const uint32_t held = (uint32_t)ring->next - ring->base;
    if (count > held) {
        return;
    }
    tac_rows_t rows;
    tac_rows_of(op, &rows);
    uint8_t *start = model->arena + op->out;
    ring->base = (uint16_t)(ring->base + count);
    tac_move_down(start, start + count * rows.out_bytes, (held - count) * rows.out_bytes);
}

// Gets ready for the step with `left` steps to go; next_op becomes the op that it runs.
static void announce(tac_model_t *model, const tac_segment_t *segment, uint32_t left) {
    const tac_step_t *steps = tac_segment_steps(model->image, segment);
    const uint32_t index = steps[segment->step_count - left].what;
    model->until = (uint16_t)left;
    model->next_op = (uint16_t)(segment->first_op + (index < segment->op_count ? index : 0));
}

void tac_segment_turn(tac_model_t *model) {
    const tac_plan_header_t *header = tac_plan_header(model->image);
    const tac_segment_t *const segments = tac_plan_segments(model->image);
    const tac_segment_t *const next = segments + model->segment;
    const tac_segment_t *const end = segments + header->segment_count;
    uint32_t units = (uint32_t)header->op_count - model->next_op;
    for (const tac_segment_t *segment = next; segment != end; segment++) {
        units += (uint32_t)segment->run_steps - segment->op_count;
    }
    model->units_left = (uint16_t)units;
    model->until = next == end ? UINT16_MAX : next->first_op;
    model->running = next != end && next->first_op == model->next_op;
    if (model->running) {
        memset(model->rings, 0, sizeof model->rings);
        announce(model, next, next->step_count);
    }
}

void tac_segment_step(tac_model_t *model) {
    const tac_segment_t *segment = tac_plan_segments(model->image) + model->segment;
    const tac_step_t *end = tac_segment_steps(model->image, segment) + segment->step_count;
    const tac_step_t *step = end - model->until;
    tac_op_t part;
    if (take_rows(model, segment, (uint32_t)model->next_op - segment->first_op, step->rows,
                  &part)) {
        tac_exec_kernel(&part, model->image, model->arena);
    }
    for (step++; step != end && step->what >= TAC_STEP_SLIDE; step++) {
        slide(model, segment, step->what - TAC_STEP_SLIDE, step->rows);
    }
    if (step != end) {
        // At the end the records decide: run_steps of a segment may be wrong.
        model->units_left = (uint16_t)(model->units_left - (model->units_left > 1));
        announce(model, segment, (uint32_t)(end - step));
        return;
    }
    model->segment++;
    model->next_op = (uint16_t)(segment->first_op + segment->op_count);
    tac_segment_turn(model);
}

#endif
