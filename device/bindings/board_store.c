// SPDX-License-Identifier: MIT
#include "bindings/board_store.h"

#include <stdbool.h>

#include "bindings/board_context.h"
#include "bindings/board_telemetry.h"
#include "port/port.h"
#include "tac_board.h"

static struct {
    tac_flash_t flash;
    tac_store_t store;
    bool open;   // flash, store and telemetry are there
    bool chosen; // a slot was chosen since the reset
} kept;

static const uint8_t root_keys[TAC_BOARD_ROOT_COUNT * 32] = TAC_BOARD_ROOT_KEYS;

// Read only, though a view has one kind of pointer: the bindings make memoryviews that refuse
// writes.
static tac_view_t flash_view(const uint8_t *at, uint32_t bytes) {
    return (tac_view_t){(uint8_t *)(uintptr_t)at, bytes};
}

static int flash_erase(void *ctx, uint32_t offset) {
    (void)ctx;
    return tac_port_flash_erase(offset);
}

static int flash_program(void *ctx, uint32_t offset, const uint8_t *data, uint32_t size) {
    (void)ctx;
    return tac_port_flash_program(offset, data, size);
}

void tac_board_store_close(void) {
    kept.open = false;
}

int tac_board_store_open(void) {
    kept.flash = (tac_flash_t){
        .base = tac_port_flash(),
        .bytes = TAC_BOARD_FLASH_BYTES,
        .sector_bytes = TAC_BOARD_SECTOR_BYTES,
        .write_bytes = TAC_BOARD_WRITE_BYTES,
        .erase = flash_erase,
        .program = flash_program,
    };
    const tac_store_layout_t layout = {
        .journal_offset = TAC_BOARD_JOURNAL_OFFSET,
        .slot_offset = {TAC_BOARD_SLOT0_OFFSET, TAC_BOARD_SLOT1_OFFSET},
        .slot_bytes = TAC_BOARD_SLOT_BYTES,
    };
    int rc = tac_store_open(&kept.store, &kept.flash, &layout);
    rc = rc == TAC_OK ? tac_board_telemetry_open(&kept.flash) : rc;
    kept.open = rc == TAC_OK;
    return rc;
}

tac_view_t tac_board_root_keys(void) {
    return flash_view(root_keys, sizeof root_keys);
}

static int slot_error(uint32_t slot) {
    return !kept.open ? TAC_ERR_STATE : slot >= TAC_SLOTS ? TAC_ERR_ARGUMENT : TAC_OK;
}

int tac_board_slot_info(uint32_t slot, tac_slot_info_t *info) {
    const int rc = slot_error(slot);
    if (rc == TAC_OK) {
        *info = kept.store.slots[slot];
    }
    return rc;
}

int tac_board_slot_begin(uint32_t slot, uint32_t length, const uint8_t sha256[32]) {
    const int rc = slot_error(slot);
    return rc != TAC_OK ? rc : tac_store_begin(&kept.store, slot, length, sha256);
}

int tac_board_slot_write(uint32_t slot, uint32_t offset, const uint8_t *data, size_t bytes) {
    const int rc = slot_error(slot);
    if (rc != TAC_OK) {
        return rc;
    }
    return bytes > TAC_BOARD_SLOT_BYTES
               ? TAC_ERR_SPACE
               : tac_store_write(&kept.store, slot, offset, data, (uint32_t)bytes);
}

int tac_board_slot_finish(uint32_t slot, uint32_t most_bytes) {
    const int rc = slot_error(slot);
    return rc != TAC_OK ? rc : tac_store_finish(&kept.store, slot, most_bytes);
}

int tac_board_slot_mark(uint32_t slot, uint32_t state, uint32_t reason, tac_floors_t floors) {
    const int rc = slot_error(slot);
    if (rc != TAC_OK) {
        return rc;
    }
    return state > TAC_SLOT_BAD || reason > UINT8_MAX
               ? TAC_ERR_ARGUMENT
               : tac_store_mark(&kept.store, slot, (uint8_t)state, (uint8_t)reason, &floors);
}

int tac_board_slot_erase(uint32_t slot) {
    const int rc = slot_error(slot);
    return rc != TAC_OK ? rc : tac_store_erase(&kept.store, slot);
}

// Only the first choice after a reset has to do with its cause: later ones follow a soft reset.
static int end_of_trial(void) {
    const unsigned cause = kept.chosen ? 0 : tac_port_reset_cause();
    kept.chosen = true;
    return cause == TAC_RESET_WATCHDOG ? TAC_ERR_TRIAL_WATCHDOG
           : cause == TAC_RESET_FAULT  ? TAC_ERR_TRIAL_FAULT
                                       : TAC_ERR_PKG_TRIAL;
}

int tac_board_slot_select(void) {
    return kept.open ? tac_store_select(&kept.store, (uint8_t)-end_of_trial()) : TAC_ERR_STATE;
}

tac_view_t tac_board_slot_data(uint32_t slot) {
    if (slot_error(slot) != TAC_OK || kept.store.slots[slot].state == TAC_SLOT_EMPTY ||
        kept.store.slots[slot].length > TAC_BOARD_SLOT_BYTES) {
        return (tac_view_t){NULL, 0};
    }
    return flash_view(tac_store_data(&kept.store, slot), kept.store.slots[slot].length);
}

tac_floors_t tac_board_floors(void) {
    return kept.open ? kept.store.floors : (tac_floors_t){0, 0};
}

tac_view_t tac_board_replay(void) {
    if (!kept.open) {
        return (tac_view_t){NULL, 0};
    }
    return flash_view(tac_port_flash() + TAC_BOARD_REPLAY_OFFSET, TAC_BOARD_REPLAY_BYTES);
}
