// SPDX-License-Identifier: MIT
// The executor: runs the op records of a checked plan image, resumable between any two *units*:
// ops, and inside a segment (plan.h) its run steps, each with the slides that follow it.
//
// A tac_model_t holds all state of one instance; caller owns it, the image (flash) and the arena
// (RAM). Nothing here allocates, recurses, does I/O or touches a global. Not reentrant per model;
// distinct models may run interleaved when their arenas are disjoint.
#ifndef TAC_ENGINE_EXEC_H
#define TAC_ENGINE_EXEC_H

#include "engine/plan.h"

// Rows [base, next) of the output of an op of a segment are in its ring.
typedef struct tac_ring {
    uint16_t base, next;
} tac_ring_t;

typedef struct tac_model {
    const uint8_t *image;
    uint8_t *arena;      // 16-byte aligned, plan arena_bytes long
    uint16_t next_op;    // record of the op about to run, see tac_exec_op()
    uint16_t units_left; // 0 = done
#if TAC_SEGMENTS
    uint8_t segment; // the one that is running or comes next
    uint8_t running;
    uint16_t until; // running: steps left, slides included; else the op before which that changes
    tac_ring_t rings[TAC_SEGMENT_OPS_MAX];
#endif
} tac_model_t;

typedef struct tac_clock {
    uint64_t (*now_us)(void *ctx);
    void *ctx;
} tac_clock_t;

// Checks the image and binds it to an arena. Returns 0 or the error of tac_plan_check().
int tac_model_init(tac_model_t *model, const uint8_t *image, size_t image_bytes, uint8_t *arena,
                   size_t arena_bytes);

// Arena addresses of input or output i (i below the header's counts); *bytes receives the size.
uint8_t *tac_model_input(const tac_model_t *model, unsigned i, uint32_t *bytes);
uint8_t *tac_model_output(const tac_model_t *model, unsigned i, uint32_t *bytes);

// Starts over at the first op. Inputs must be written after this and before the first step: a run
// may overwrite them, unless the plan was made to keep them (`keep_input` of the application).
void tac_exec_reset(tac_model_t *model);

// Runs the next unit. Returns the number of units left (0 = the model is done). Done models stay
// done.
int tac_exec_step(tac_model_t *model);

// The index of the op record that the next unit runs; its wcet_us holds for one unit. The number of
// records when the model is done.
static inline uint16_t tac_exec_op(const tac_model_t *model) {
    return model->next_op;
}

// Runs units until the model is done or the clock has passed until_us (checked after each, so one
// call overshoots by at most the longest unit). Returns the number of units left.
int tac_exec_run(tac_model_t *model, const tac_clock_t *clock, uint64_t until_us);

#endif
