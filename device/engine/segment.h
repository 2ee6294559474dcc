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

// ADD, MUL, CLAMP, LUT: rows are parts of `count`.
bool tac_rows_elementwise(const tac_op_t *op);

// op: of a kind that segments allow; if elementwise, out_h >= 1.
void tac_rows_of(const tac_op_t *op, tac_rows_t *rows);

// Checks all segments of an image whose header is right, against its arena_bytes: tables, links,
// rings, and the tensors of their ops. What has nothing to do with the arena, plan.c checks as for
// other ops. Returns 0 or a TAC_ERR_PLAN_* code. plan_segment.c
int tac_segments_check(const uint8_t *image);

// At next_op = 0: counts the units.
void tac_segment_reset(tac_model_t *model);

// Begins the next segment if next_op is its first op.
void tac_segment_enter(tac_model_t *model);

// Runs one unit of the running segment.
void tac_segment_step(tac_model_t *model);

// Runs a record, or a part of one, by its kernel. exec.c
void tac_exec_kernel(const tac_op_t *op, const uint8_t *image, uint8_t *arena);

#endif
