// SPDX-License-Identifier: MIT
// MicroPython on this board: what its HAL wants, the collector's roots, and the life of the
// interpreter. The stock port's main, HAL and uart stay in the build under other names
// (mpconfigboard.mk) and are dropped by the linker.
#include <string.h>

#include "port/port.h"
#include "py/gc.h"
#include "py/mphal.h"
#include "py/runtime.h"
#include "py/stackctrl.h"
#include "py/stream.h"
#include "shared/runtime/gchelper.h"
#include "shared/runtime/interrupt_char.h"
#include "shared/runtime/pyexec.h"
#include "soc.h"
#include "tac_board.h"

extern uint32_t _estack, _heap_start, _heap_end;

enum {
    STACK_MARGIN = 1024, // for interrupts and C below the interpreter's own checks
    IDLE_SLEEP_US = 1000 * 1000,
    REPL_PATIENCE_US = 1000 * 1000,
    LOOP_PATIENCE_US = TAC_BOARD_BACKGROUND_US / 4,
};

static bool at_prompt; // a person is there: text may wait for the reader. In the loop it must not.

int interpreter_takes(uint8_t byte) {
    if (byte != mp_interrupt_char) { // -1 when switched off
        return 0;
    }
    mp_sched_keyboard_interrupt();
    return 1;
}

int tac_port_interrupted(void) {
    return MP_STATE_THREAD(mp_pending_exception) != MP_OBJ_NULL;
}

mp_uint_t mp_hal_ticks_us(void) {
    return (mp_uint_t)tac_port_now_us();
}

mp_uint_t mp_hal_ticks_ms(void) {
    return (mp_uint_t)(tac_port_now_us() / 1000u);
}

mp_uint_t mp_hal_ticks_cpu(void) {
    return (mp_uint_t)tac_port_now_us();
}

uint64_t mp_hal_time_ns(void) {
    return tac_port_now_us() * 1000u;
}

void mp_hal_delay_us(mp_uint_t us) {
    const uint64_t end = tac_port_now_us() + us;
    while (tac_port_now_us() < end) {
    }
}

void mp_hal_delay_ms(mp_uint_t ms) {
    const uint64_t end = tac_port_now_us() + (uint64_t)ms * 1000u;
    while (tac_port_now_us() < end) {
        mp_event_handle_nowait();
        tac_port_wait_until(end);
    }
}

uintptr_t mp_hal_stdio_poll(uintptr_t flags) {
    uintptr_t ready = flags & MP_STREAM_POLL_WR;
    if ((flags & MP_STREAM_POLL_RD) != 0 && soc_uart_readable(0)) {
        ready |= MP_STREAM_POLL_RD;
    }
    return ready;
}

int mp_hal_stdin_rx_chr(void) {
    uint8_t byte;
    while (soc_uart_read(0, &byte, 1) == 0) {
        mp_event_handle_nowait();
        tac_port_wait_until(tac_port_now_us() + IDLE_SLEEP_US);
    }
    return byte;
}

mp_uint_t mp_hal_stdout_tx_strn(const char *text, size_t size) {
    soc_uart_write(0, (const uint8_t *)text, size, at_prompt ? REPL_PATIENCE_US : LOOP_PATIENCE_US);
    return size;
}

void gc_collect(void) {
    gc_collect_start();
    gc_helper_collect_regs_and_stack();
    gc_collect_end();
}

_Noreturn void interpreter_main(void) {
    mp_stack_set_top(&_estack);
    mp_stack_set_limit(TAC_BOARD_STACK_BYTES - STACK_MARGIN);
    for (;;) {
        gc_init(&_heap_start, &_heap_end);
        mp_init();
        at_prompt = false;
        // A tool that resets from the raw REPL wants a quiet board.
        if (pyexec_mode_kind == PYEXEC_MODE_FRIENDLY_REPL) {
            pyexec_frozen_module("_boot.py", true);
        }
        at_prompt = true;
        tac_port_watchdog(0); // nobody feeds it at the prompt
        for (int leave = 0; leave == 0;) {
            leave = pyexec_mode_kind == PYEXEC_MODE_RAW_REPL ? pyexec_raw_repl()
                                                             : pyexec_friendly_repl();
        }
        mp_printf(&mp_plat_print, "MPY: soft reboot\n");
        gc_sweep_all();
        mp_deinit();
    }
}

// Names that the stock port's objects refer to.
void uart_init(void) {}

int uart_rx_chr(void) {
    return -1;
}

void uart_tx_strn(const char *text, size_t size) {
    (void)text, (void)size;
}
