// SPDX-License-Identifier: MIT
#include "store/journal.h"

#include <string.h>

#include "store/crc32.h"

enum {
    MAGIC = 0x314A5354, // "TSJ1"
    SLOT_AT = 16,
    SLOT_STEP = 48,
    SHA_AT = 16, // within a slot's part
    CRC_AT = TAC_JOURNAL_RECORD_BYTES - 4,
    // 2^31 records outlive any flash part; a larger number is garbage and must not win for ever.
    LAST_SEQUENCE = 0x7FFFFFFF,
};

static uint32_t get32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void put32(uint8_t *p, uint32_t value) {
    for (unsigned i = 0; i < 4; i++) {
        p[i] = (uint8_t)(value >> (8 * i));
    }
}

uint32_t tac_journal_stride(const tac_flash_t *flash) {
    return flash->write_bytes > TAC_JOURNAL_RECORD_BYTES ? flash->write_bytes
                                                         : TAC_JOURNAL_RECORD_BYTES;
}

uint32_t tac_journal_progress_bytes(const tac_flash_t *flash) {
    uint32_t sector = flash->sector_bytes;
    return sector >= TAC_JOURNAL_PROGRESS_BYTES ? sector
                                                : TAC_JOURNAL_PROGRESS_BYTES / sector * sector;
}

static uint32_t sector_offset(const tac_store_t *st, uint32_t sector) {
    return st->layout.journal_offset + sector * st->flash->sector_bytes;
}

static void encode(const tac_store_t *st, const tac_slot_info_t slots[TAC_SLOTS],
                   tac_floors_t floors, uint8_t record[TAC_JOURNAL_RECORD_BYTES]) {
    memset(record, 0, TAC_JOURNAL_RECORD_BYTES);
    put32(record, MAGIC);
    put32(record + 4, st->sequence);
    put32(record + 8, floors.counter);
    put32(record + 12, floors.key_version);
    for (unsigned i = 0; i < TAC_SLOTS; i++) {
        uint8_t *p = record + SLOT_AT + SLOT_STEP * i;
        uint32_t received = slots[i].received;
        if (slots[i].state == TAC_SLOT_RECEIVING) {
            // Beyond this point cells may be half programmed after a cut: the sector is sent again.
            received -= received % tac_journal_progress_bytes(st->flash);
        }
        p[0] = slots[i].state;
        p[1] = slots[i].reason;
        put32(p + 4, slots[i].length);
        put32(p + 8, received);
        put32(p + 12, slots[i].sequence);
        memcpy(p + SHA_AT, slots[i].sha256, sizeof slots[i].sha256);
    }
    put32(record + CRC_AT, tac_crc32(record, CRC_AT));
}

static int slot_is_sane(const tac_store_t *st, const tac_slot_info_t *info, uint32_t sequence) {
    if (info->state > TAC_SLOT_BAD || info->length > st->layout.slot_bytes ||
        info->received > info->length || info->sequence > sequence) {
        return 0;
    }
    if (info->state == TAC_SLOT_RECEIVING) {
        return info->length > 0 && info->received % tac_journal_progress_bytes(st->flash) == 0;
    }
    if (info->state >= TAC_SLOT_STAGED && info->state <= TAC_SLOT_CONFIRMED) {
        return info->length > 0 && info->received == info->length;
    }
    return 1;
}

// A record that is valid and at least as new as what st holds replaces it. Nonzero when it did.
static int take_record(tac_store_t *st, const uint8_t *record) {
    tac_slot_info_t slots[TAC_SLOTS];
    uint32_t sequence = get32(record + 4);

    if (get32(record) != MAGIC || get32(record + CRC_AT) != tac_crc32(record, CRC_AT)) {
        return 0;
    }
    if (sequence == 0 || sequence > LAST_SEQUENCE || sequence < st->sequence) {
        return 0;
    }
    for (unsigned i = 0; i < TAC_SLOTS; i++) {
        const uint8_t *p = record + SLOT_AT + SLOT_STEP * i;
        slots[i].state = p[0];
        slots[i].reason = p[1];
        slots[i].length = get32(p + 4);
        slots[i].received = get32(p + 8);
        slots[i].sequence = get32(p + 12);
        memcpy(slots[i].sha256, p + SHA_AT, sizeof slots[i].sha256);
        if (!slot_is_sane(st, &slots[i], sequence)) {
            return 0;
        }
    }
    memcpy(st->slots, slots, sizeof st->slots);
    st->floors.counter = get32(record + 8);
    st->floors.key_version = get32(record + 12);
    st->sequence = sequence;
    return 1;
}

static int is_erased(const uint8_t *cells, uint32_t size) {
    for (uint32_t i = 0; i < size; i++) {
        if (cells[i] != 0xFF) {
            return 0;
        }
    }
    return 1;
}

void tac_journal_read(tac_store_t *st) {
    uint32_t stride = tac_journal_stride(st->flash);
    uint32_t places = st->flash->sector_bytes / stride;
    uint32_t newest = 0; // place of the newest record in its sector

    memset(st->slots, 0, sizeof st->slots);
    st->floors = (tac_floors_t){0, 0};
    st->sequence = 0;
    // With no valid record sector 1 counts as full, so that the first append erases sector 0 and
    // starts there.
    st->journal_sector = 1;
    st->journal_fill = places * stride;
    for (uint32_t sector = 0; sector < 2; sector++) {
        const uint8_t *base = st->flash->base + sector_offset(st, sector);
        for (uint32_t i = 0; i < places; i++) {
            if (take_record(st, base + i * stride)) {
                st->journal_sector = sector;
                newest = i;
            }
        }
    }
    if (st->sequence == 0) {
        return;
    }
    // Torn records behind the newest one are stepped over, and their numbers with them: should such
    // a record turn readable later, a newer one with a higher number exists.
    const uint8_t *base = st->flash->base + sector_offset(st, st->journal_sector);
    uint32_t used = places;
    while (used > newest + 1 && is_erased(base + (used - 1) * stride, stride)) {
        used--;
    }
    st->journal_fill = used * stride;
    st->sequence += used - (newest + 1);
}

int tac_journal_append(tac_store_t *st, const tac_slot_info_t slots[TAC_SLOTS],
                       tac_floors_t floors) {
    const tac_flash_t *flash = st->flash;
    uint32_t stride = tac_journal_stride(flash);
    uint8_t record[TAC_STORE_WRITE_MAX];
    uint32_t sector = st->journal_sector;
    uint32_t fill = st->journal_fill;

    if (st->sequence >= LAST_SEQUENCE) {
        return TAC_ERR_SPACE;
    }
    st->sequence++;
    if (fill + stride > flash->sector_bytes) {
        // The full sector keeps the newest record until the first one in the other sector is
        // complete.
        sector = 1 - sector;
        fill = 0;
        if (flash->erase(flash->ctx, sector_offset(st, sector)) != 0) {
            return TAC_ERR_FLASH;
        }
    } else {
        st->journal_fill += stride; // these cells are used up, whatever happens
    }
    uint32_t offset = sector_offset(st, sector) + fill;
    memset(record, 0xFF, sizeof record);
    encode(st, slots, floors, record);
    if (flash->program(flash->ctx, offset, record, stride) != 0 ||
        memcmp(flash->base + offset, record, stride) != 0) {
        return TAC_ERR_FLASH;
    }
    st->journal_sector = sector;
    st->journal_fill = fill + stride;
    memmove(st->slots, slots, sizeof st->slots); // a progress record passes st->slots itself
    st->floors = floors;
    return TAC_OK;
}
