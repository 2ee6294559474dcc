// SPDX-License-Identifier: MIT
// What the parts of a bare-metal program need of each other: output by semihosting.
#ifndef QEMU_M4_BENCH_H
#define QEMU_M4_BENCH_H

#include <stdint.h>

_Noreturn void bench_main(void); // from reset

// Defines void name(void) of one instruction, where count_blocks.c begins a section. In assembly,
// so that no two become one function.
#define BENCH_MARK(name)                                                                           \
    __asm(".section .text." #name ", \"ax\"\n.global " #name "\n.type " #name ", %function\n"      \
          ".thumb_func\n" #name ": bx lr\n.size " #name ", . - " #name "\n.previous\n");           \
    void name(void);

// One line "name value" (decimal), or "name hex digits", for host/bench/bare_metal.py.
void bench_say_number(const char *name, uint32_t value);
void bench_say_bytes(const char *name, const uint8_t *bytes, uint32_t count);
// A semihosting operation and its argument block; gives what the emulator answers.
uint32_t bench_semihosting(uint32_t operation, const void *argument);
_Noreturn void bench_exit(int code); // ends the emulator: 0, or an error for anything else

#endif
