// SPDX-License-Identifier: MIT
#include "nor_flash.h"

#include <stdlib.h>
#include <string.h>

enum { ERASED = 0, PROGRAMMED = 1, WEAK = 2 }; // marks of the cells

struct nor {
    tac_flash_t flash;
    uint8_t *cells;
    uint8_t *marks;
    uint32_t *wear; // erases a sector
    uint32_t operations;
    uint32_t cut_at; // number of the operation that loses power, 0 = never
    uint32_t cut_kind;
    uint32_t dead;
    uint32_t violations;
    uint32_t operations_in_guard; // operations that touched [guard_offset, +guard_bytes)
    uint32_t guard_offset, guard_bytes;
    uint32_t stuck_at; // a worn cell: programming leaves it at 0xFF without a word; 0 = none
    uint64_t random;
};

static uint8_t random_byte(nor_t *nor) {
    nor->random = nor->random * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint8_t)(nor->random >> 56);
}

// Returns 1 when the operation must stop without any effect.
static int begin_operation(nor_t *nor, uint32_t offset, uint32_t size) {
    if (nor->dead) {
        return 1;
    }
    if (nor->guard_bytes != 0 && offset < nor->guard_offset + nor->guard_bytes &&
        nor->guard_offset < offset + size) {
        nor->operations_in_guard++;
    }
    nor->operations++;
    if (nor->operations == nor->cut_at) {
        nor->dead = 1;
        return nor->cut_kind == NOR_CUT_BEFORE;
    }
    return 0;
}

static int nor_erase(void *ctx, uint32_t offset) {
    nor_t *nor = ctx;
    uint32_t sector = nor->flash.sector_bytes;
    if (offset % sector != 0 || offset >= nor->flash.bytes) {
        nor->violations |= offset % sector != 0 ? NOR_MISALIGNED : NOR_OUTSIDE;
        return TAC_ERR_FLASH;
    }
    if (begin_operation(nor, offset, sector)) {
        return TAC_ERR_FLASH;
    }
    int torn = nor->dead && nor->cut_kind != NOR_CUT_AFTER;
    for (uint32_t i = 0; i < sector; i++) {
        uint8_t *cell = nor->cells + offset + i;
        if (!torn || nor->cut_kind == NOR_CUT_LATE) {
            *cell = 0xFF;
        } else if (nor->cut_kind == NOR_CUT_PREFIX) {
            *cell = random_byte(nor);
        } else {
            *cell |= random_byte(nor);
        }
    }
    memset(nor->marks + offset, torn ? WEAK : ERASED, sector);
    nor->wear[offset / sector]++;
    return nor->dead ? TAC_ERR_FLASH : TAC_OK;
}

static int is_erased(const nor_t *nor, uint32_t offset, uint32_t size) {
    for (uint32_t i = 0; i < size; i++) {
        if (nor->marks[offset + i] != ERASED) {
            return 0;
        }
    }
    return 1;
}

static int nor_program(void *ctx, uint32_t offset, const uint8_t *data, uint32_t size) {
    nor_t *nor = ctx;
    uint32_t sector = nor->flash.sector_bytes;
    uint32_t unit = nor->flash.write_bytes;
    if (offset >= nor->flash.bytes || size > nor->flash.bytes - offset) {
        nor->violations |= NOR_OUTSIDE;
        return TAC_ERR_FLASH;
    }
    if (size == 0 || offset % unit != 0 || size % unit != 0) {
        nor->violations |= NOR_MISALIGNED;
        return TAC_ERR_FLASH;
    }
    if (offset % sector + size > sector) {
        nor->violations |= NOR_CROSSES_SECTOR;
        return TAC_ERR_FLASH;
    }
    if (!nor->dead && !is_erased(nor, offset, size)) {
        nor->violations |= NOR_NOT_ERASED;
        return TAC_ERR_FLASH;
    }
    if (begin_operation(nor, offset, size)) {
        return TAC_ERR_FLASH;
    }
    uint32_t done = size;
    if (nor->dead && nor->cut_kind == NOR_CUT_PREFIX) {
        done = 1 + (uint32_t)random_byte(nor) * (size - 1) / 256;
    }
    for (uint32_t i = 0; i < done; i++) {
        uint8_t value = data[i];
        if (nor->dead && nor->cut_kind == NOR_CUT_BITS) {
            value |= random_byte(nor); // some bits not yet at 0
        }
        if (nor->stuck_at == 0 || nor->stuck_at != offset + i) {
            nor->cells[offset + i] &= value;
        }
        nor->marks[offset + i] = PROGRAMMED;
    }
    return nor->dead ? TAC_ERR_FLASH : TAC_OK;
}

nor_t *nor_new(uint32_t bytes, uint32_t sector_bytes, uint32_t write_bytes, uint64_t seed) {
    nor_t *nor = calloc(1, sizeof *nor);
    nor->cells = malloc(bytes);
    nor->marks = calloc(bytes, 1);
    nor->wear = calloc(bytes / sector_bytes, sizeof *nor->wear);
    memset(nor->cells, 0xFF, bytes);
    nor->random = seed;
    nor->flash.base = nor->cells;
    nor->flash.bytes = bytes;
    nor->flash.sector_bytes = sector_bytes;
    nor->flash.write_bytes = write_bytes;
    nor->flash.erase = nor_erase;
    nor->flash.program = nor_program;
    nor->flash.ctx = nor;
    return nor;
}

void nor_free(nor_t *nor) {
    free(nor->cells);
    free(nor->marks);
    free(nor->wear);
    free(nor);
}

const tac_flash_t *nor_flash(const nor_t *nor) {
    return &nor->flash;
}

void nor_cut(nor_t *nor, uint32_t n, uint32_t kind) {
    nor->cut_at = n == 0 ? 0 : nor->operations + n;
    nor->cut_kind = kind;
}

void nor_power_on(nor_t *nor) {
    if (!nor->dead) {
        return;
    }
    nor->dead = 0;
    nor->cut_at = 0;
    for (uint32_t i = 0; i < nor->flash.bytes; i++) {
        if (nor->marks[i] == WEAK && (random_byte(nor) & 1) != 0) {
            nor->cells[i] = random_byte(nor);
        }
    }
}

void nor_stick(nor_t *nor, uint32_t offset) {
    nor->stuck_at = offset;
}

void nor_guard(nor_t *nor, uint32_t offset, uint32_t bytes) {
    nor->guard_offset = offset;
    nor->guard_bytes = bytes;
    nor->operations_in_guard = 0;
}

// Any content; bytes that are not 0xFF count as programmed.
void nor_load(nor_t *nor, uint32_t offset, const uint8_t *data, uint32_t size) {
    memcpy(nor->cells + offset, data, size);
    for (uint32_t i = 0; i < size; i++) {
        nor->marks[offset + i] = data[i] == 0xFF ? ERASED : PROGRAMMED;
    }
}

void nor_read(const nor_t *nor, uint32_t offset, uint8_t *data, uint32_t size) {
    memcpy(data, nor->cells + offset, size);
}

uint32_t nor_fact(const nor_t *nor, uint32_t which) {
    uint32_t most = 0;
    for (uint32_t i = 0; i < nor->flash.bytes / nor->flash.sector_bytes; i++) {
        most = nor->wear[i] > most ? nor->wear[i] : most;
    }
    uint32_t facts[] = {nor->operations, nor->dead, nor->violations, nor->operations_in_guard,
                        most};
    return which < 5 ? facts[which] : 0;
}

uint32_t nor_wear(const nor_t *nor, uint32_t sector) {
    return nor->wear[sector];
}

void nor_copy(nor_t *to, const nor_t *from) {
    memcpy(to->cells, from->cells, from->flash.bytes);
    memcpy(to->marks, from->marks, from->flash.bytes);
}
