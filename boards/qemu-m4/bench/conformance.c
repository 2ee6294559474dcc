// SPDX-License-Identifier: MIT
// Many models, each run on its inputs: host/bench/bare_batch.py loads the trials beside this
// program and compares the answers, which go to a file of the workstation.
//
// The answer to a trial: the negated code of tac_model_init(); where that is 0 all outputs, run by
// run; the number of changed bytes around the arena. Numbers are uint32.
#include <string.h>

#include "bench.h"
#include "engine/exec.h"

#define TRIALS ((const uint32_t *)0x21000000u) // their number, three unused words, the first

enum { GUARD_BYTES = 256, PAINT = 0xA5, SYS_OPEN = 0x01, SYS_WRITE = 0x05, WRITE_BINARY = 5 };

typedef struct bench_trial { // then the image, then all inputs run by run, padded to 16 bytes
    uint32_t image_bytes;    // a multiple of 16
    uint32_t inputs_bytes;   // of all runs, without the padding
    uint32_t run_count;
    uint32_t unused;
} bench_trial_t;

extern uint32_t bench_ram[]; // of the linker script

static uint32_t open_answers(void) {
    static const char name[] = "answers.bin";
    const uint32_t block[3] = {(uint32_t)(uintptr_t)name, WRITE_BINARY, sizeof name - 1};
    return bench_semihosting(SYS_OPEN, block);
}

static void answer(uint32_t file, const void *bytes, uint32_t count) {
    const uint32_t block[3] = {file, (uint32_t)(uintptr_t)bytes, count};
    if (count && bench_semihosting(SYS_WRITE, block) != 0) {
        bench_say_number("not_written", count);
        bench_exit(1);
    }
}

// All inputs from `from` on; returns where those of the next run begin.
static const uint8_t *set_inputs(const tac_model_t *model, const uint8_t *from) {
    for (unsigned i = 0; i < tac_plan_header(model->image)->input_count; i++) {
        uint32_t bytes;
        uint8_t *input = tac_model_input(model, i, &bytes);
        memcpy(input, from, bytes);
        from += bytes;
    }
    return from;
}

static void answer_outputs(uint32_t file, const tac_model_t *model) {
    for (unsigned i = 0; i < tac_plan_header(model->image)->output_count; i++) {
        uint32_t bytes;
        const uint8_t *output = tac_model_output(model, i, &bytes);
        answer(file, output, bytes);
    }
}

static uint32_t changed(const uint8_t *guard) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < GUARD_BYTES; i++) {
        count += guard[i] != PAINT;
    }
    return count;
}

// Returns the trial after this one. A run begins with what the one before left in the arena.
static const bench_trial_t *run(uint32_t file, const bench_trial_t *trial) {
    const uint8_t *image = (const uint8_t *)(trial + 1), *inputs = image + trial->image_bytes;
    const uint32_t arena_bytes = tac_plan_header(image)->arena_bytes;
    uint8_t *const below = (uint8_t *)bench_ram, *const arena = below + GUARD_BYTES;
    tac_model_t model;
    memset(below, PAINT, 2u * GUARD_BYTES + arena_bytes);
    const int code = tac_model_init(&model, image, trial->image_bytes, arena, arena_bytes);
    const uint32_t runs = code == TAC_OK ? trial->run_count : 0;
    const uint32_t refused = (uint32_t)-code;
    answer(file, &refused, sizeof refused);
    const uint8_t *from = inputs;
    for (uint32_t i = 0; i < runs; i++) {
        tac_exec_reset(&model);
        from = set_inputs(&model, from);
        while (tac_exec_step(&model) > 0) {
        }
        answer_outputs(file, &model);
    }
    const uint32_t broken = changed(below) + changed(arena + arena_bytes);
    answer(file, &broken, sizeof broken);
    return (const bench_trial_t *)(const void *)(inputs + (trial->inputs_bytes + 15u) / 16u * 16u);
}

_Noreturn void bench_main(void) {
    const bench_trial_t *trial = (const bench_trial_t *)(const void *)(TRIALS + 4);
    const uint32_t file = open_answers();
    for (uint32_t left = TRIALS[0]; left > 0; left--) {
        trial = run(file, trial);
    }
    bench_exit(0);
}
