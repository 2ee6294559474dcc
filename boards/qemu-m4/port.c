// SPDX-License-Identifier: MIT
// The mps2-an386 as QEMU models it: clock, UARTs, flash, reset, watchdog. No interpreter in here.
#include "soc.h"

#include <string.h>

#include "port/port.h"
#include "tac_board.h"
#include "tac_error.h"

extern uint32_t _statics, _ebss, _heap_start, _heap_end, _estack;

enum {
    TICKS_PER_US = SOC_CLOCK_HZ / 1000000,
    LONGEST_SLEEP_US = 60 * 1000 * 1000, // well below the 171 s in which the 32-bit counter wraps
    LINK_PATIENCE_US = TAC_BOARD_BACKGROUND_US / 4, // of a piece of background work
    TX_POLL_US = 200,
    WAKE_TICKS = 10,   // from the timer's interrupt to the restart of the clock: six instructions
    RING_BYTES = 1024, // power of two
    BURST_BYTES = 8,   // received while the core is busy, each BURST_US: some 64 kbit/s
    BURST_US = 1000,
    RESET_MARK = 0x7ac70000,
    PAINT = 0x5AD1C0DE,
    PAINT_MARGIN = 32, // words below the frame of who paints
};

// ---- clock: dual timer 1 runs free at 25 MHz; timer 2 wakes the core and never lets timer 1 wrap
// unseen

typedef struct dual_timer {
    uint32_t load, value, control, clear, raw, masked, background, unused;
} dual_timer_t;

enum { TIMER_FREE_RUNNING = 0x82, TIMER_PERIODIC_IRQ = 0xe2 };

static volatile dual_timer_t *timer(unsigned i) {
    return (volatile dual_timer_t *)SOC_DUAL_TIMER + i;
}

static struct {
    uint64_t us;
    uint32_t ticks; // counter value that `us` belongs to
} now;

uint64_t tac_port_now_us(void) {
    const uint32_t irq = irq_save();
    const uint32_t us = (~timer(0)->value - now.ticks) / TICKS_PER_US;
    now.ticks += us * TICKS_PER_US;
    now.us += us;
    const uint64_t result = now.us;
    irq_restore(irq);
    return result;
}

static void wake_in(uint32_t us) {
    timer(1)->load = us * TICKS_PER_US;
}

static void receive_on(void);

void soc_dual_timer_irq(void) {
    timer(1)->clear = 1;
    wake_in(LONGEST_SLEEP_US);
    (void)tac_port_now_us();
    receive_on();
}

// Restarts the free-running timer, so that its ticks lie on the instruction stream from here on.
static void restart_clock(uint64_t us, uint32_t passed_ticks) {
    timer(0)->load = UINT32_MAX;
    now.ticks = 0u - passed_ticks;
    now.us = us;
}

// ---- watchdog

enum {
    WATCHDOG_LOAD = 0x000,
    WATCHDOG_VALUE = 0x004,
    WATCHDOG_CONTROL = 0x008,
    WATCHDOG_LOCK = 0xc00,
    WATCHDOG_BITES = 3,
};

// Time asleep does not count: on a busy computer QEMU wakes the core late, and would find it
// bitten. A sleep that does not end within twice its longest is still noticed.
static uint32_t watchdog_hold(void) {
    const uint32_t left = REG32(SOC_WATCHDOG + WATCHDOG_VALUE);
    if (REG32(SOC_WATCHDOG + WATCHDOG_CONTROL) == WATCHDOG_BITES) {
        REG32(SOC_WATCHDOG + WATCHDOG_LOAD) = 2u * LONGEST_SLEEP_US * TICKS_PER_US;
    }
    return left;
}

static void watchdog_go_on(uint32_t left) {
    if (REG32(SOC_WATCHDOG + WATCHDOG_CONTROL) == WATCHDOG_BITES) {
        REG32(SOC_WATCHDOG + WATCHDOG_LOAD) = left;
    }
}

// Sleeps until an interrupt, at most us from the last reading of the clock. Interrupts are masked
// by the caller, so none is missed before WFI. While the core sleeps QEMU's clock follows the
// host's: a host that is late in waking it would look like a late timer interrupt, which the
// hardware does not have. So the time overslept does not count: the timer wakes at wake_at.
// An instruction takes 1.6 ticks: without the restart the past would show in how readings round.
static void sleep_masked(uint64_t us) {
    us = us > LONGEST_SLEEP_US ? LONGEST_SLEEP_US : us == 0 ? 1 : us;
    receive_on(); // who sleeps has time for what comes
    const uint64_t wake_at = now.us + us;
    const uint32_t watchdog = watchdog_hold();
    const uint32_t passed = ~timer(0)->value - now.ticks, ticks = (uint32_t)us * TICKS_PER_US;
    timer(1)->clear = 1;
    timer(1)->load = ticks > passed ? ticks - passed : 1;
    __asm volatile("dsb\n wfi" ::: "memory");
    if ((timer(1)->raw & 1u) != 0) {
        restart_clock(wake_at, WAKE_TICKS);
    }
    watchdog_go_on(watchdog);
}

void tac_port_wait_until(uint64_t at_us) {
    const uint32_t irq = irq_save();
    const uint64_t at = tac_port_now_us();
    if (at < at_us && !soc_uart_readable(0) && !soc_uart_readable(1)) {
        sleep_masked(at_us - at);
    }
    irq_restore(irq);
}

// ---- UARTs. QEMU's UART holds one byte and stops its back end until that is read: masking the
// receive interrupt while the ring is full is flow control all the way to the other program.
// Without it that program's bytes come as fast as the computer can, and an op would pay for each:
// while the core is busy it is interrupted for a burst, and for the next when the timer says so.
// The dispatcher declares a burst as lockout_us (board.toml); what more fits into a long op is
// below its margin.

typedef struct uart {
    uint32_t data, state, control, interrupt, divisor;
} uart_t;

enum { UART_TX_FULL = 1, UART_RX_FULL = 2, UART_ENABLE = 3, UART_RX_IRQ = 8, UART_RX_PENDING = 2 };

static struct {
    uint8_t bytes[RING_BYTES];
    uint32_t head, tail; // free running
} ring[2];
static uint8_t stuck[2]; // nobody reads: drop at once until there is room again
static uint32_t burst;   // bytes that interrupts took since the last leave to receive

static volatile uart_t *uart_of(unsigned uart) {
    return (volatile uart_t *)(uart == 0 ? SOC_UART0 : SOC_UART1);
}

static int has_room(unsigned uart) {
    return ring[uart].head - ring[uart].tail < RING_BYTES;
}

static void fill_ring(unsigned uart, uint32_t most) {
    volatile uart_t *u = uart_of(uart);
    u->interrupt = UART_RX_PENDING; // before draining: a later byte must find its interrupt unset
    while ((u->state & UART_RX_FULL) != 0) {
        if (!has_room(uart) || burst >= most) {
            u->control = UART_ENABLE;
            return;
        }
        const uint8_t byte = (uint8_t)u->data;
        burst++;
        if (uart == 0 && interpreter_takes(byte)) {
            continue;
        }
        ring[uart].bytes[ring[uart].head++ % RING_BYTES] = byte;
    }
}

// The UART latches its interrupt only for bytes that come while unmasked: what waits is taken here.
static void receive_on(void) {
    const uint32_t held = burst;
    burst = 0;
    if (held < BURST_BYTES) {
        return;
    }
    for (unsigned uart = 0; uart < 2; uart++) {
        if (has_room(uart)) {
            uart_of(uart)->control = UART_ENABLE | UART_RX_IRQ;
            fill_ring(uart, BURST_BYTES);
        }
    }
}

void soc_uart_irq(void) {
    for (unsigned uart = 0; uart < 2; uart++) {
        fill_ring(uart, BURST_BYTES);
        if (burst >= BURST_BYTES) {
            uart_of(uart)->control = UART_ENABLE;
            wake_in(BURST_US);
        }
    }
}

int soc_uart_readable(unsigned uart) {
    return *(volatile uint32_t *)&ring[uart].head != ring[uart].tail;
}

size_t soc_uart_read(unsigned uart, uint8_t *buf, size_t size) {
    const uint32_t irq = irq_save();
    size_t count = 0;
    while (count < size && ring[uart].tail != ring[uart].head) {
        buf[count++] = ring[uart].bytes[ring[uart].tail++ % RING_BYTES];
    }
    if (count > 0) {
        // Unmask before draining: the UART latches its interrupt only for bytes that come while
        // unmasked.
        uart_of(uart)->control = UART_ENABLE | UART_RX_IRQ;
        fill_ring(uart, UINT32_MAX); // its reader's time, not an op's
    }
    irq_restore(irq);
    return count;
}

static int wait_for_room(volatile uart_t *u, uint32_t patience_us) {
    const uint64_t give_up = tac_port_now_us() + patience_us;
    while ((u->state & UART_TX_FULL) != 0) {
        const uint32_t irq = irq_save();
        const uint64_t at = tac_port_now_us();
        if (at >= give_up) {
            irq_restore(irq);
            return 0;
        }
        // Asleep, not spinning: with -icount a spinning core would see its patience run out before
        // the host could run.
        sleep_masked(TX_POLL_US);
        irq_restore(irq);
    }
    return 1;
}

void soc_uart_write(unsigned uart, const uint8_t *buf, size_t size, uint32_t patience_us) {
    volatile uart_t *u = uart_of(uart);
    if ((u->state & UART_TX_FULL) == 0) {
        stuck[uart] = 0;
    }
    for (; size > 0; size--) {
        if ((u->state & UART_TX_FULL) != 0) {
            if (!wait_for_room(u, stuck[uart] ? 0 : patience_us)) {
                stuck[uart] = 1;
                return;
            }
            stuck[uart] = 0;
        }
        u->data = *buf++;
    }
}

size_t tac_port_link_read(unsigned link, uint8_t *buf, size_t size) {
    return soc_uart_read(link, buf, size);
}

void tac_port_link_write(unsigned link, const uint8_t *buf, size_t size) {
    soc_uart_write(link, buf, size, LINK_PATIENCE_US);
}

// ---- flash: RAM that QEMU maps from a file, behaving as NOR

static uint8_t *flash(void) {
    return (uint8_t *)SOC_FLASH;
}

int tac_port_open(const char *flash_path, int link_fd) {
    (void)flash_path, (void)link_fd;
    const uint32_t irq = irq_save();
    restart_clock(0, 0); // equal programs that begin here see equal times, whatever was before
    irq_restore(irq);
    return TAC_OK;
}

const uint8_t *tac_port_flash(void) {
    return flash();
}

int tac_port_flash_erase(uint32_t offset) {
    if (offset % TAC_BOARD_SECTOR_BYTES != 0 || offset >= TAC_BOARD_FLASH_BYTES) {
        return TAC_ERR_FLASH;
    }
    memset(flash() + offset, 0xff, TAC_BOARD_SECTOR_BYTES);
    return TAC_OK;
}

int tac_port_flash_program(uint32_t offset, const void *data, size_t size) {
    if (offset % TAC_BOARD_WRITE_BYTES != 0 || size % TAC_BOARD_WRITE_BYTES != 0 ||
        offset > TAC_BOARD_FLASH_BYTES || size > TAC_BOARD_FLASH_BYTES - offset) {
        return TAC_ERR_FLASH;
    }
    uint8_t *to = flash() + offset;
    for (size_t i = 0; i < size; i++) {
        if (to[i] != 0xff) {
            return TAC_ERR_FLASH;
        }
    }
    memcpy(to, data, size);
    return TAC_OK;
}

// ---- reset and watchdog

// RAM keeps its content over a reset and holds anything at power-on, so a note with a check in it
// tells the cause and how many crashes there were before.
__attribute__((section(".noinit"))) static struct {
    uint32_t cause, crashes, check;
} reset_note;
static uint8_t reset_cause, crashes;

static uint32_t check_of_note(void) {
    return RESET_MARK ^ reset_note.cause * 0x9E3779B1u ^ reset_note.crashes * 0x85EBCA6Bu;
}

static void read_reset_note(void) {
    const int is_ours = reset_note.check == check_of_note();
    reset_cause = (uint8_t)(is_ours ? reset_note.cause : TAC_RESET_POWER_ON);
    reset_note.check = ~check_of_note();
    if (reset_cause == TAC_RESET_WATCHDOG || reset_cause == TAC_RESET_FAULT) {
        crashes = (uint8_t)(reset_note.crashes < UINT8_MAX ? reset_note.crashes + 1 : UINT8_MAX);
    }
}

_Noreturn void soc_reset(enum tac_reset_cause cause) {
    reset_note.cause = (uint32_t)cause;
    reset_note.crashes = crashes;
    reset_note.check = check_of_note();
    __asm volatile("dsb" ::: "memory");
    SCB_AIRCR = 0x05FA0004u;
    for (;;) {
    }
}

_Noreturn void tac_port_reset(void) {
    soc_reset(TAC_RESET_SOFTWARE);
}

_Noreturn void tac_port_fault(void) {
    soc_reset(TAC_RESET_FAULT);
}

unsigned tac_port_reset_cause(void) {
    return reset_cause;
}

unsigned tac_port_crashes(void) {
    return crashes;
}

void tac_port_crashes_over(void) {
    crashes = 0;
}

void tac_port_watchdog(uint32_t timeout_us) {
    REG32(SOC_WATCHDOG + WATCHDOG_LOCK) = 0x1ACCE551u;
    REG32(SOC_WATCHDOG + WATCHDOG_LOAD) = timeout_us * TICKS_PER_US; // reloads the counter, too
    REG32(SOC_WATCHDOG + WATCHDOG_CONTROL) =
        timeout_us > 0 ? WATCHDOG_BITES : 0; // first expiry: NMI, second: reset
}

// ---- what differs from boot to boot. The emulator writes a new seed at power-on, as a real part's
// random source would give one; it is the first word of RAM (boot_seed_address in board.toml).
__attribute__((section(".boot_seed"))) static volatile uint32_t power_on_seed;
__attribute__((section(".noinit"))) static uint32_t boots; // since power-on

uint32_t tac_port_boot_seed(void) {
    uint32_t mixed = power_on_seed ^ ++boots * 0x9E3779B1u;
    mixed = (mixed ^ mixed >> 16) * 0x85EBCA6Bu; // MurmurHash3's finalizer: no two boots alike
    mixed = (mixed ^ mixed >> 13) * 0xC2B2AE35u;
    return mixed ^ mixed >> 16;
}

int32_t tac_port_temperature_mc(void) {
    return TAC_NO_TEMPERATURE;
}

// ---- painted heap and stack

static uint32_t *stack_floor(void) {
    return &_estack - TAC_BOARD_STACK_BYTES / sizeof(uint32_t);
}

static void paint(uint32_t *from, const uint32_t *to) {
    while (from < to) {
        *from++ = PAINT;
    }
}

void tac_port_memory_peaks(uint32_t *heap, uint32_t *stack) {
    const uint32_t *top = &_heap_end;
    while (top > &_heap_start && top[-1] == PAINT) {
        top--;
    }
    *heap = (uint32_t)((uintptr_t)top - (uintptr_t)&_heap_start);
    const uint32_t *low = stack_floor();
    while (low < &_estack && *low == PAINT) {
        low++;
    }
    *stack = (uint32_t)((uintptr_t)&_estack - (uintptr_t)low);
}

void soc_start(void) {
    paint(&_heap_start, &_heap_end);
    paint(stack_floor(), (uint32_t *)__builtin_frame_address(0) - PAINT_MARGIN);
    read_reset_note();
    timer(0)->control = TIMER_FREE_RUNNING;
    restart_clock(0, 0);
    timer(1)->load = (uint32_t)LONGEST_SLEEP_US * TICKS_PER_US;
    timer(1)->control = TIMER_PERIODIC_IRQ;
    for (unsigned i = 0; i < 2; i++) {
        uart_of(i)->divisor = 16;
        uart_of(i)->control = UART_ENABLE | UART_RX_IRQ;
    }
    NVIC_ISER0 = 1u << IRQ_UART0_RX | 1u << IRQ_UART1_RX | 1u << IRQ_DUAL_TIMER;
    soc_uart_irq();
}

void tac_port_memory(uint32_t *total, uint32_t *statics, uint32_t *heap, uint32_t *stack) {
    *total = TAC_BOARD_RAM_BYTES;
    *statics = (uint32_t)((uintptr_t)&_ebss - (uintptr_t)&_statics);
    *heap = TAC_BOARD_HEAP_BYTES;
    *stack = TAC_BOARD_STACK_BYTES;
}
