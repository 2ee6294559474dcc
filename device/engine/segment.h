// SPDX-License-Identifier: MIT
// Segments (plan.h) at run time: what exec.c and the plan check use of segment.c. Internal to the
// engine; not there in a build with TAC_SEGMENTS 0.
#ifndef TAC_ENGINE_SEGMENT_H
#define TAC_ENGINE_SEGMENT_H

#include <stdbool.h>

#include "engine/exec.h"

// How the rows that an op makes depend on rows of its inputs: rows [a, b) of the output need
// [a * stride - pad, (b - 1) * stride - pad + reach) of each input, clipped to 0..in_count.
typedef struct tac_rows {
    uint32_t in_count, in_bytes;   // rows of an input that moves, bytes of a row
    uint32_t out_count, out_bytes; // of the output; of a FED op input rows, 0 bytes
    uint32_t stride, reach;
    int32_t pad;
} tac_rows_t;

// Whether this build has any of these kinds.
#define TAC_BUILT(kinds) (((TAC_KERNELS | TAC_PACKED_KERNELS) & (kinds)) != 0)
#define TAC_ELEMENTWISE                                                                            \
    (1u << TAC_OP_ADD | 1u << TAC_OP_MUL | 1u << TAC_OP_CLAMP | 1u << TAC_OP_LUT)

// Rows are parts of `count`. kind: below 32.
static inline bool tac_rows_elementwise(const tac_op_t *op) {
    return TAC_BUILT(TAC_ELEMENTWISE) && (TAC_ELEMENTWISE >> op->kind & 1u);
}

static inline bool tac_rows_two(const tac_op_t *op) {
    return TAC_BUILT(1u << TAC_OP_ADD | 1u << TAC_OP_MUL) &&
           (op->kind == TAC_OP_ADD || op->kind == TAC_OP_MUL);
}

static inline bool tac_rows_fed(const tac_op_t *op) {
    return TAC_BUILT(1u << TAC_OP_AVGPOOL2D) && (op->flags & TAC_OP_FED);
}

static inline bool tac_rows_pad(const tac_op_t *op) {
    return TAC_BUILT(1u << TAC_OP_PAD) && op->kind == TAC_OP_PAD;
}

// op: of a kind that segments allow; if elementwise, out_h >= 1.
void tac_rows_of(const tac_op_t *op, tac_rows_t *rows);

// Checks all segments of an image whose header is right, and their ops: tables, links, rings and
// tensors. Adds their kinds to *kernels. Returns 0 or a TAC_ERR_PLAN_* code. plan_segment.c
int tac_segments_check(const uint8_t *image, uint32_t *kernels);

// Checks a record in everything but where its tensors and its scratch memory lie. plan.c
int tac_plan_check_op(const uint8_t *image, const tac_op_t *op);

// memmove() to a lower or another place.
void tac_move_down(uint8_t *to, const uint8_t *from, uint32_t bytes);

// Counts the units that are left, and begins the next segment if next_op is its first op. To call
// before the first op, behind a segment and before the op `until`.
void tac_segment_turn(tac_model_t *model);

// Runs one unit of the running segment.
void tac_segment_step(tac_model_t *model);

// Runs a record, or a part of one, by its kernel. exec.c
void tac_exec_kernel(const tac_op_t *op, const uint8_t *image, uint8_t *arena);

#endif
