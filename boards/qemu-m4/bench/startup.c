// SPDX-License-Identifier: MIT
// From reset to bench_main(); a fault prints where and ends the emulator with an error.
#include "bench.h"

extern uint32_t bench_stack_top;

void bench_reset(void);
_Noreturn void bench_fault(const uint32_t *frame);

__attribute__((naked)) void bench_reset(void) {
    __asm volatile("ldr r0, =0xE000ED88\n" // CPACR: FPU on, before any float instruction
                   "ldr r1, [r0]\n"
                   "orr r1, r1, #0x00F00000\n"
                   "str r1, [r0]\n"
                   "dsb\n"
                   "isb\n"
                   "b bench_main\n");
}

_Noreturn void bench_fault(const uint32_t *frame) {
    bench_say_number("fault_pc", frame[6]);
    bench_exit(1);
}

__attribute__((naked)) static void fault(void) {
    __asm volatile("mrs r0, msp\n"
                   "b bench_fault\n");
}

typedef void (*vector_t)(void);
__attribute__((section(".vectors"), used)) static const vector_t vectors[16] = {
    (vector_t)&bench_stack_top, bench_reset, fault, fault, fault, fault, fault, [11] = fault,
};
