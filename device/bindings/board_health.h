// SPDX-License-Identifier: MIT
// What a board knows of itself beside its work, for both bindings of `_tactus`.
#ifndef TAC_BOARD_HEALTH_H
#define TAC_BOARD_HEALTH_H

#include <stdint.h>

// 1 to 2^30 - 1, another at each boot: taken once a boot.
uint32_t tac_board_boot_id(void);

#endif
