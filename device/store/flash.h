// SPDX-License-Identifier: MIT
// NOR flash as the store sees it: erase a sector to 0xFF, program only clears bits, reads are plain
// memory.
#ifndef TAC_STORE_FLASH_H
#define TAC_STORE_FLASH_H

#include <stddef.h>
#include <stdint.h>

#include "tac_error.h"

typedef struct tac_flash {
    const uint8_t *base; // readable in place
    uint32_t bytes;
    uint32_t sector_bytes; // erase unit
    uint32_t write_bytes;  // program unit: a power of two, 1..256
    // 0 or TAC_ERR_FLASH. offset is the start of a sector.
    int (*erase)(void *ctx, uint32_t offset);
    // 0 or TAC_ERR_FLASH. offset and size are multiples of write_bytes, within one sector, over
    // erased cells only.
    int (*program)(void *ctx, uint32_t offset, const uint8_t *data, uint32_t size);
    void *ctx;
} tac_flash_t;

#endif
