// SPDX-License-Identifier: MIT
// Output and the end of the program, through the emulator.
#include "bench.h"

uint32_t bench_semihosting(uint32_t operation, const void *argument) {
    register uint32_t r0 __asm("r0") = operation;
    register const void *r1 __asm("r1") = argument;
    __asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void say(const char *text) {
    bench_semihosting(0x04, text); // SYS_WRITE0
}

void bench_say_number(const char *name, uint32_t value) {
    char digits[12];
    char *at = digits + sizeof digits;
    *--at = '\0';
    *--at = '\n';
    do {
        *--at = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    say(name);
    say(" ");
    say(at);
}

void bench_say_bytes(const char *name, const uint8_t *bytes, uint32_t count) {
    say(name);
    say(" ");
    for (; count; count--, bytes++) {
        const char hex[] = {"0123456789abcdef"[*bytes >> 4], "0123456789abcdef"[*bytes & 15], '\0'};
        say(hex);
    }
    say("\n");
}

_Noreturn void bench_exit(int code) {
    const uint32_t stopped = code == 0 ? 0x20026u : 0x20023u;  // ADP_Stopped_*
    bench_semihosting(0x18, (const void *)(uintptr_t)stopped); // SYS_EXIT
    for (;;) {
    }
}
