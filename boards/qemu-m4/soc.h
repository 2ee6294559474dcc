// SPDX-License-Identifier: MIT
// Registers of the mps2-an386 that this board uses, and what its C files need of each other.
// QEMU's hw/arm/mps2.c and the CMSDK manual (DDI 0479) give the addresses.
#ifndef QEMU_M4_SOC_H
#define QEMU_M4_SOC_H

#include <stddef.h>
#include <stdint.h>

#include "port/port.h"

#define REG32(address) (*(volatile uint32_t *)(uintptr_t)(address))

enum {
    SOC_CLOCK_HZ = 25000000,
    IRQ_UART0_RX = 0,
    IRQ_UART1_RX = 2,
    IRQ_DUAL_TIMER = 10,
};
#define SOC_UART0 0x40004000u
#define SOC_UART1 0x40005000u
#define SOC_DUAL_TIMER 0x40002000u
#define SOC_WATCHDOG 0x40008000u
#define SOC_FLASH 0x21000000u // the PSRAM: QEMU keeps it in a file

#define SCB_AIRCR REG32(0xE000ED0Cu)
#define SCB_CPACR REG32(0xE000ED88u)
#define SCB_CFSR REG32(0xE000ED28u)
#define NVIC_ISER0 REG32(0xE000E100u)

static inline uint32_t irq_save(void) {
    uint32_t state;
    __asm volatile("mrs %0, primask\n cpsid i" : "=r"(state)::"memory");
    return state;
}

static inline void irq_restore(uint32_t state) {
    __asm volatile("msr primask, %0" ::"r"(state) : "memory");
}

// port.c
void soc_start(void); // clock, UARTs, reset cause; once, from reset
_Noreturn void soc_reset(enum tac_reset_cause cause);
void soc_dual_timer_irq(void);
void soc_uart_irq(void);
int soc_uart_readable(unsigned uart);
size_t soc_uart_read(unsigned uart, uint8_t *buf, size_t size); // never blocks
// Waits at most patience_us for room for a byte, then drops the rest; drops at once until there is
// room again.
void soc_uart_write(unsigned uart, const uint8_t *buf, size_t size, uint32_t patience_us);

// interpreter.c
int interpreter_takes(
    uint8_t byte); // from the UART interrupt: nonzero when the byte is the interrupt character
_Noreturn void interpreter_main(void);

#endif
