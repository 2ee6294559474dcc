// SPDX-License-Identifier: MIT
// From reset to main: vectors, FPU, .data and .bss, and what a fault leaves behind.
#include "soc.h"

extern uint32_t _estack, _sidata, _sdata, _edata, _sbss, _ebss;

_Noreturn __attribute__((naked)) void board_reset(void) {
    __asm volatile("ldr r0, =_estack\n"
                   "mov sp, r0\n"
                   "b board_start\n");
}

__attribute__((used)) _Noreturn static void board_start(void) __asm("board_start");
static void board_start(void) {
    SCB_CPACR |= 0x00F00000u; // FPU, before any float instruction
    __asm volatile("dsb\n isb");
    for (uint32_t *from = &_sidata, *to = &_sdata; to < &_edata;) {
        *to++ = *from++;
    }
    for (uint32_t *to = &_sbss; to < &_ebss;) {
        *to++ = 0;
    }
    soc_start();
    interpreter_main();
}

static void say(const char *text) {
    while (*text != '\0') {
        soc_uart_write(0, (const uint8_t *)text++, 1, 1000);
    }
}

static void say_hex(const char *name, uint32_t value) {
    say(name);
    for (int shift = 28; shift >= 0; shift -= 4) {
        const char digit = "0123456789abcdef"[(value >> shift) & 15u];
        soc_uart_write(0, (const uint8_t *)&digit, 1, 1000);
    }
}

__attribute__((used)) static void report_fault(const uint32_t *frame) __asm("report_fault");
static void report_fault(const uint32_t *frame) {
    say_hex("\r\nfault: pc=", frame[6]);
    say_hex(" lr=", frame[5]);
    say_hex(" cfsr=", SCB_CFSR);
    say("\r\n");
    tac_port_fault();
}

__attribute__((naked)) static void fault(void) {
    __asm volatile("tst lr, #4\n"
                   "ite eq\n"
                   "mrseq r0, msp\n"
                   "mrsne r0, psp\n"
                   "b report_fault\n");
}

static void non_maskable(void) { // the watchdog's first expiry
    say("\r\nwatchdog\r\n");
    soc_reset(TAC_RESET_WATCHDOG);
}

typedef void (*vector_t)(void);
__attribute__((section(".vectors"), used)) static const vector_t vectors[16 + 32] = {
    (vector_t)&_estack,
    board_reset,
    non_maskable,
    fault,
    fault,
    fault,
    fault,
    [11] = fault,
    [12] = fault,
    [14] = fault,
    [15] = fault,
    [16 ... 47] = fault,
    [16 + IRQ_UART0_RX] = soc_uart_irq,
    [16 + IRQ_UART1_RX] = soc_uart_irq,
    [16 + IRQ_DUAL_TIMER] = soc_dual_timer_irq,
};
