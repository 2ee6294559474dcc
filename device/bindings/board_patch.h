// SPDX-License-Identifier: MIT
// A package made in a slot out of the package in the other one: what patch messages do.
//
// Returns >= 0 or a tac_error.h code. One message at a time; its ops are handed over at each call
// and not kept.
#ifndef TAC_BOARD_PATCH_H
#define TAC_BOARD_PATCH_H

#include <stddef.h>
#include <stdint.h>

// Starts with a message whose ops go on at the slot's `received`; TAC_ERR_STATE: it receives
// nothing.
int tac_board_patch_begin(uint32_t slot);
// Checks ops that make at most `most` next bytes; returns how many, less than `most` after the last
// op, and then they may be applied. TAC_ERR_STATE: the other slot is neither TRIED nor CONFIRMED;
// TAC_ERR_ARGUMENT: the ops break a rule; TAC_ERR_SPACE: they make more than is missing.
int tac_board_patch_check(uint32_t slot, const uint8_t *ops, size_t bytes, uint32_t most);
// Makes and writes at most `most` next bytes, as tac_store_write() does; returns how many, 0 after
// the last one.
int tac_board_patch_step(uint32_t slot, const uint8_t *ops, size_t bytes, uint32_t most);

#endif
