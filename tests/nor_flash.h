// SPDX-License-Identifier: MIT
// NOR flash in memory, for tests of the store: rules, wear, and power that fails at a chosen
// operation.
#ifndef NOR_FLASH_H
#define NOR_FLASH_H

#include "store/flash.h"

// What the operation that loses power leaves. An erase cut short leaves weak cells in any case:
// they read what they like, another thing after each power-up, and take no program before they are
// erased again.
enum nor_cut_kind {
    NOR_CUT_BEFORE, // nothing happened
    NOR_CUT_PREFIX, // program: the first bytes are there; erase: the sector reads garbage
    NOR_CUT_BITS,   // program: of each byte some bits; erase: some bits are 1 again
    NOR_CUT_LATE,   // program: all is there; erase: all cells read 0xFF and are weak
    NOR_CUT_AFTER,  // done, and nobody was told
    NOR_CUT_KINDS
};

enum nor_violation {
    NOR_MISALIGNED = 1,
    NOR_NOT_ERASED = 2, // a program over cells that were programmed, or are weak
    NOR_OUTSIDE = 4,
    NOR_CROSSES_SECTOR = 8,
};

typedef struct nor nor_t;

nor_t *nor_new(uint32_t bytes, uint32_t sector_bytes, uint32_t write_bytes, uint64_t seed);
void nor_free(nor_t *nor);
const tac_flash_t *nor_flash(const nor_t *nor);
void nor_cut(nor_t *nor, uint32_t n, uint32_t kind); // at the n-th operation from now; 0 = never
void nor_power_on(nor_t *nor);                       // a cut that is still to come stays planned
void nor_stick(nor_t *nor, uint32_t offset); // this cell stays 0xFF when programmed; 0 = none
void nor_guard(nor_t *nor, uint32_t offset, uint32_t bytes); // count operations that touch this
void nor_load(nor_t *nor, uint32_t offset, const uint8_t *data, uint32_t size);
void nor_read(const nor_t *nor, uint32_t offset, uint8_t *data, uint32_t size);
// 0 operations, 1 dead, 2 violations, 3 operations in the guarded region, 4 most erases of a sector
uint32_t nor_fact(const nor_t *nor, uint32_t which);
uint32_t nor_wear(const nor_t *nor, uint32_t sector); // erases
void nor_copy(nor_t *to, const nor_t *from);          // content and marks, not wear or counts

#endif
