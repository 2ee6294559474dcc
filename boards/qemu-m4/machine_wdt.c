// SPDX-License-Identifier: MIT
// machine.WDT of this board. Included by extmod/machine_wdt.c, never compiled alone.
#include "port/port.h"

enum { WDT_TIMEOUT_MS_MAX = 100000 };

typedef struct _machine_wdt_obj_t {
    mp_obj_base_t base;
    uint32_t timeout_us;
} machine_wdt_obj_t;

static machine_wdt_obj_t machine_wdt = {{&machine_wdt_type}, 0};

static machine_wdt_obj_t *mp_machine_wdt_make_new_instance(mp_int_t id, mp_int_t timeout_ms) {
    if (id != 0 || timeout_ms <= 0 || timeout_ms > WDT_TIMEOUT_MS_MAX) {
        mp_raise_ValueError(MP_ERROR_TEXT("WDT(0, timeout=1..100000)"));
    }
    machine_wdt.timeout_us = (uint32_t)timeout_ms * 1000u;
    tac_port_watchdog(machine_wdt.timeout_us);
    return &machine_wdt;
}

static void mp_machine_wdt_feed(machine_wdt_obj_t *self) {
    tac_port_watchdog(self->timeout_us);
}
