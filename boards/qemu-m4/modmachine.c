// SPDX-License-Identifier: MIT
// What `machine` asks of this board. Included by extmod/modmachine.c, never compiled alone.
#include "port/port.h"

static void mp_machine_idle(void) {
    tac_port_wait_until(tac_port_now_us() + 1000);
}

NORETURN static void mp_machine_reset(void) {
    tac_port_reset();
}

static mp_int_t mp_machine_reset_cause(void) {
    return (mp_int_t)tac_port_reset_cause();
}
