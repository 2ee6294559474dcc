// SPDX-License-Identifier: MIT
// Runs plan images on an emulated Cortex-M4F (mps2-an386, semihosting) for m4_engine.py, which puts
// the cases into PSRAM. Prints for each case the code of tac_plan_check(), an FNV-1a hash of the
// arena after the run, and SysTick ticks (40 ns; QEMU's -icount makes an instruction 64 ns) of each
// op.
#include <string.h>

#include "engine/exec.h"

#define CASES ((const uint32_t *)0x21000000)
#define SYST ((volatile uint32_t *)0xE000E010)
#define CPACR (*(volatile uint32_t *)0xE000ED88)

enum { SYS_WRITE0 = 4, SYS_EXIT_EXTENDED = 0x20, ARENA_BYTES = 1 << 19 };

static uint8_t arena[ARENA_BYTES] __attribute__((aligned(16)));

static void semihost(int operation, const void *argument) {
    register int op __asm__("r0") = operation;
    register const void *arg __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(op) : "r"(arg) : "memory");
}

static void print_number(uint32_t value) {
    char text[12];
    unsigned at = sizeof text;
    text[--at] = 0;
    text[--at] = ' ';
    do {
        text[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    semihost(SYS_WRITE0, text + at);
}

static void leave(uint32_t status) {
    const uint32_t block[2] = {0x20026, status};
    semihost(SYS_EXIT_EXTENDED, block);
    for (;;) {
    }
}

// A case: image bytes, arena bytes (both multiples of 16), 0, 0; the image; the arena at the start.
static const uint32_t *run(const uint32_t *at) {
    const uint32_t image_bytes = at[0], arena_bytes = at[1];
    const uint8_t *image = (const uint8_t *)(at + 4);
    memcpy(arena, image + image_bytes, arena_bytes);
    tac_model_t model;
    int code = tac_model_init(&model, image, image_bytes, arena, arena_bytes);
    print_number((uint32_t)-code);
    uint32_t ticks[TAC_PLAN_OPS_MAX] = {0}, ops = 0;
    for (int left = code == TAC_OK; left > 0; ops++) {
        uint32_t before = SYST[2];
        left = tac_exec_step(&model);
        ticks[ops] = (before - SYST[2]) & 0xFFFFFF;
    }
    uint32_t hash = 2166136261u;
    for (uint32_t i = 0; i < arena_bytes; i++) {
        hash = (hash ^ arena[i]) * 16777619u;
    }
    print_number(hash);
    for (uint32_t i = 0; i < ops; i++) {
        print_number(ticks[i]);
    }
    semihost(SYS_WRITE0, "\n");
    return (const uint32_t *)(image + image_bytes + arena_bytes);
}

int main(void) {
    SYST[1] = 0xFFFFFF;
    SYST[2] = 0;
    SYST[0] = 5;
    const uint32_t *at = CASES + 4;
    for (uint32_t left = CASES[0]; left > 0; left--) {
        at = run(at);
    }
    leave(0);
}

void start(void) {
    CPACR |= 0xFu << 20;
    __asm__ volatile("dsb\n\tisb");
    main();
}

static void fault(void) {
    semihost(SYS_WRITE0, "fault\n");
    leave(1);
}

extern uint8_t stack_end[];
__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    stack_end, start, fault, fault, fault, fault, fault};
