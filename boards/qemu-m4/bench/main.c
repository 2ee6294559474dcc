// SPDX-License-Identifier: MIT
// One model, measured: what host/bench/bare_metal.py loads beside this program is checked, run
// once as a whole, once op by op, and once for each input whose answer is compared.
//
// Instructions are counted from outside, by count_blocks.c: each call of a bench_mark_*()
// begins a section there. A second, independent figure comes from SysTick (25 MHz; with
// `-icount shift=0` an instruction lasts 1 ns, so a tick is 40 instructions).
#include "bench.h"
#include "engine/exec.h"

#define IMAGE ((const uint8_t *)0x21000000u)
#define JOB ((const bench_job_t *)0x21800000u)
#define REG32(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define SYSTICK_CONTROL REG32(0xE000E010u)
#define SYSTICK_RELOAD REG32(0xE000E014u)
#define SYSTICK_VALUE REG32(0xE000E018u)
#define SYSTICK_MAX 0xFFFFFFu

enum { PAINT = 0xA5A5A5A5u, GUARD_BYTES = 4096, JOB_MAGIC = 0x4A434154u /* "TACJ" */ };

typedef struct bench_job { // then input_count inputs, one after the other
    uint32_t magic;
    uint32_t image_bytes;
    uint32_t input_count;
    uint32_t input_bytes;
} bench_job_t;

extern uint32_t bench_ram[], bench_stack_limit[]; // of the linker script

BENCH_MARK(bench_mark_empty)     // what the marks themselves cost
BENCH_MARK(bench_mark_load)      // tac_model_init()
BENCH_MARK(bench_mark_inference) // tac_exec_run() of the whole model
BENCH_MARK(bench_mark_op)        // tac_exec_step(), once for each op
BENCH_MARK(bench_mark_end)       // nothing of interest from here on

static uint64_t never(void *ctx) {
    (void)ctx;
    return 0;
}

static void set_input(const tac_model_t *model, uint32_t index) {
    uint32_t bytes;
    uint8_t *input = tac_model_input(model, 0, &bytes);
    if (bytes != JOB->input_bytes) {
        bench_say_number("input_bytes", bytes);
        bench_exit(1);
    }
    const uint8_t *from = (const uint8_t *)(JOB + 1) + (size_t)index * bytes;
    for (uint32_t i = 0; i < bytes; i++) {
        input[i] = from[i];
    }
}

// volatile: a library call would push its frame into what is being painted.
static void paint(volatile uint32_t *from, const volatile uint32_t *to) {
    while (from < to) {
        *from++ = PAINT;
    }
}

// Bytes from `from` on to the last one that is no longer painted.
static uint32_t touched(const uint8_t *from, uint32_t bytes) {
    while (bytes && from[bytes - 1] == (PAINT & 0xFF)) {
        bytes--;
    }
    return bytes;
}

static void check_guards(uint32_t arena_bytes) {
    const uint8_t *below = (const uint8_t *)bench_ram, *above = below + GUARD_BYTES + arena_bytes;
    for (uint32_t i = 0; i < GUARD_BYTES; i++) {
        if (below[i] != (PAINT & 0xFF) || above[i] != (PAINT & 0xFF)) {
            bench_say_number("guard_broken", i);
            bench_exit(1);
        }
    }
}

// The loads and the inference whose stack is measured: what they push lies right below this
// function's own frame, which is the caller's and not counted.
__attribute__((noinline)) static void measure(tac_model_t *model, uint8_t *arena) {
    const tac_clock_t clock = {never, NULL};
    uint32_t *const limit = bench_stack_limit;
    uint32_t *top;
    __asm volatile("mov %0, sp" : "=r"(top));
    paint(limit, top - 16); // paint() itself may push a little
    bench_mark_empty();
    bench_mark_load();
    const int code =
        tac_model_init(model, IMAGE, JOB->image_bytes, arena, tac_plan_header(IMAGE)->arena_bytes);
    bench_mark_end();
    if (code != TAC_OK) {
        bench_say_number("refused", (uint32_t)-code);
        bench_exit(1);
    }
    set_input(model, 0);
    const uint32_t before = SYSTICK_VALUE;
    bench_mark_inference();
    (void)tac_exec_run(model, &clock, UINT64_MAX);
    bench_mark_end();
    const uint32_t after = SYSTICK_VALUE;
    const uint32_t *deepest = limit;
    while (*deepest == PAINT) {
        deepest++;
    }
    bench_say_number("stack_bytes", (uint32_t)((uintptr_t)top - (uintptr_t)deepest));
    bench_say_number("systick", (before - after) & SYSTICK_MAX);
    bench_say_number("systick_wrapped", SYSTICK_CONTROL >> 16 & 1);
}

_Noreturn void bench_main(void) {
    tac_model_t model;
    uint8_t *const arena = (uint8_t *)bench_ram + GUARD_BYTES;
    if (JOB->magic != JOB_MAGIC || tac_plan_header(IMAGE)->magic != TAC_PLAN_MAGIC) {
        bench_say_number("nothing_loaded", 1);
        bench_exit(1);
    }
    const uint32_t arena_bytes = tac_plan_header(IMAGE)->arena_bytes;
    paint(bench_ram, bench_ram + (2u * GUARD_BYTES + arena_bytes + 3u) / 4u);
    SYSTICK_RELOAD = SYSTICK_MAX;
    SYSTICK_VALUE = 0;
    SYSTICK_CONTROL = 5; // core clock, no interrupt
    for (volatile unsigned turns = 0; turns < 100; turns++) {
    }
    (void)SYSTICK_CONTROL; // forgets a wrap
    measure(&model, arena);
    bench_say_number("model_state_bytes", sizeof model);
    bench_say_number("arena_touched_bytes", touched(arena, arena_bytes));

    tac_exec_reset(&model);
    set_input(&model, 0);
    int left;
    do {
        bench_mark_op();
        left = tac_exec_step(&model);
    } while (left > 0);
    bench_mark_end();

    for (uint32_t i = 0; i < JOB->input_count; i++) {
        uint32_t bytes;
        tac_exec_reset(&model);
        set_input(&model, i);
        while (tac_exec_step(&model) > 0) {
        }
        const uint8_t *output = tac_model_output(&model, 0, &bytes);
        bench_say_bytes("output", output, bytes);
    }
    check_guards(arena_bytes);
    bench_exit(0);
}
