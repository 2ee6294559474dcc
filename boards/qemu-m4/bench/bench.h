// SPDX-License-Identifier: MIT
// What the two halves of the benchmark program need of each other: output by semihosting.
#ifndef QEMU_M4_BENCH_H
#define QEMU_M4_BENCH_H

#include <stdint.h>

_Noreturn void bench_main(void); // from reset

// One line "name value" (decimal), or "name hex digits", for host/bench/bare_metal.py.
void bench_say_number(const char *name, uint32_t value);
void bench_say_bytes(const char *name, const uint8_t *bytes, uint32_t count);
_Noreturn void bench_exit(int code); // ends the emulator: 0, or an error for anything else

#endif
