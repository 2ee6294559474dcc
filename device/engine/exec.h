// SPDX-License-Identifier: MIT
// The executor: runs the op records of a checked plan image, resumable between any two of them.
//
// A tac_model_t holds all state of one instance; caller owns it, the image (flash) and the arena
// (RAM). Nothing here allocates, recurses, does I/O or touches a global. Not reentrant per model;
// distinct models may run interleaved when their arenas are disjoint.
#ifndef TAC_ENGINE_EXEC_H
#define TAC_ENGINE_EXEC_H

#include "engine/plan.h"

typedef struct tac_model {
    const uint8_t *image;
    uint8_t *arena; // 16-byte aligned, plan arena_bytes long
    uint16_t next_op;
    uint16_t op_count;
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

// Runs the next op. Returns the number of ops left (0 = the model is done). Done models stay done.
int tac_exec_step(tac_model_t *model);

// The index of the op record that the next step runs; its wcet_us holds for that step. The number of
// records when the model is done.
static inline uint16_t tac_exec_op(const tac_model_t *model) {
    return model->next_op;
}

// Runs ops until the model is done or the clock has passed until_us (checked after each op, so one
// call overshoots by at most the longest op). Returns the number of ops left.
int tac_exec_run(tac_model_t *model, const tac_clock_t *clock, uint64_t until_us);

#endif
