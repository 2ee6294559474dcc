// SPDX-License-Identifier: MIT
#include "bindings/board_health.h"

#include "port/port.h"

uint32_t tac_board_boot_id(void) {
    const uint32_t id = tac_port_boot_seed() & 0x3fffffff; // a small integer of MicroPython
    return id == 0 ? 1 : id;
}
