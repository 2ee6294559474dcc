// SPDX-License-Identifier: MIT
// Every entry: u8 kind, u8 content bytes, u16 ~(kind, bytes), u32 sequence, content, u32 CRC-32 of
// all before it; padded with 0xFF to the program unit. Little-endian.
//
// A sector begins with a HEAD entry: sequence = the first one of this sector, content = u32 number
// of the sector, u32 acknowledged. Numbers grow by one from sector to sector, so the highest one is
// the newest and the place of number n is (n - 1) % sectors. Then RECORDs, and ACKs whose sequence
// is what the reader has. Where a program was torn, as much is passed over as the largest entry
// takes: every cell that may be half programmed lies in it, and a reader finds the entry behind it.
#include "store/telemetry.h"

#include <string.h>

#include "store/crc32.h"

enum {
    KIND_HEAD = 1,
    KIND_RECORD = 2,
    KIND_ACK = 3,
    HEADER_BYTES = 8,
    CRC_BYTES = 4,
    HEAD_CONTENT = 8,
    UNIT_MAX = 256,
    ENTRY_MAX = HEADER_BYTES + TAC_TELEMETRY_RECORD_MAX + CRC_BYTES,
    ENTRY_ROOM = (ENTRY_MAX + UNIT_MAX - 1) / UNIT_MAX * UNIT_MAX, // any entry, padded
    LAST = 0x7FFFFFFF, // no flash part lives that long; more is garbage
};

typedef struct entry {
    uint8_t kind;
    uint8_t bytes;
    uint32_t sequence;
    const uint8_t *content;
} entry_t;

static uint32_t get32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void put32(uint8_t *p, uint32_t value) {
    for (unsigned i = 0; i < 4; i++) {
        p[i] = (uint8_t)(value >> (8 * i));
    }
}

static uint32_t padded(const tac_flash_t *flash, uint32_t bytes) {
    const uint32_t unit = flash->write_bytes;
    return (HEADER_BYTES + bytes + CRC_BYTES + unit - 1) / unit * unit;
}

// From a torn entry to the next place of one, at most to the end of the sector.
static uint32_t skipped(const tac_telemetry_t *log, uint32_t at) {
    const uint32_t left = log->flash->sector_bytes - at;
    const uint32_t largest = padded(log->flash, TAC_TELEMETRY_RECORD_MAX);
    return largest < left ? largest : left;
}

static const uint8_t *sector_at(const tac_telemetry_t *log, uint32_t place) {
    return log->flash->base + log->offset + place * log->flash->sector_bytes;
}

// The good entry at `at` of a sector. Nonzero when there is one.
static int read_entry(const tac_telemetry_t *log, const uint8_t *sector, uint32_t at,
                      entry_t *entry) {
    if (log->flash->sector_bytes - at < HEADER_BYTES + CRC_BYTES) {
        return 0;
    }
    const uint8_t *p = sector + at;
    if (p[0] < KIND_HEAD || p[0] > KIND_ACK || (p[0] ^ p[2]) != 0xFF || (p[1] ^ p[3]) != 0xFF ||
        padded(log->flash, p[1]) > log->flash->sector_bytes - at) {
        return 0;
    }
    if (p[0] == KIND_RECORD && (p[1] == 0 || p[1] > TAC_TELEMETRY_RECORD_MAX)) {
        return 0; // forged: readers of records of ours would not get past it
    }
    *entry = (entry_t){p[0], p[1], get32(p + 4), p + HEADER_BYTES};
    return entry->sequence <= LAST &&
           get32(entry->content + p[1]) == tac_crc32(p, HEADER_BYTES + (uint32_t)p[1]);
}

// The first good entry from *at on, and *at behind it. Nonzero when there is one.
static int next_entry(const tac_telemetry_t *log, const uint8_t *sector, uint32_t *at,
                      entry_t *entry) {
    while (log->flash->sector_bytes - *at >= HEADER_BYTES + CRC_BYTES) {
        if (read_entry(log, sector, *at, entry)) {
            *at += padded(log->flash, entry->bytes);
            return 1;
        }
        *at += skipped(log, *at);
    }
    return 0;
}

// The head of the sector at a place: its number, or 0.
static uint32_t read_head(const tac_telemetry_t *log, uint32_t place, entry_t *head) {
    if (!read_entry(log, sector_at(log, place), 0, head) || head->kind != KIND_HEAD ||
        head->bytes != HEAD_CONTENT || head->sequence == 0) {
        return 0;
    }
    const uint32_t number = get32(head->content);
    if (number == 0 || number > LAST || (number - 1) % log->sectors != place) {
        return 0;
    }
    return number;
}

// Records of the sector at a place and, when asked, how many of them nobody has taken.
static uint32_t content_bytes(const tac_telemetry_t *log, uint32_t place, uint32_t *unread) {
    entry_t entry;
    uint32_t sum = 0;
    const uint32_t number = read_head(log, place, &entry);
    if (number == 0 || number > log->number || number + log->sectors <= log->number) {
        return 0;
    }
    for (uint32_t at = 0; next_entry(log, sector_at(log, place), &at, &entry);) {
        if (entry.kind == KIND_RECORD) {
            sum += entry.bytes;
            *unread += entry.sequence > log->acknowledged;
        }
    }
    return sum;
}

static uint32_t count_bytes(const tac_telemetry_t *log) {
    uint32_t sum = 0, unread = 0;
    for (uint32_t place = 0; place < log->sectors; place++) {
        sum += content_bytes(log, place, &unread);
    }
    return sum;
}

int tac_telemetry_open(tac_telemetry_t *log, const tac_flash_t *flash, uint32_t offset,
                       uint32_t bytes) {
    const uint32_t unit = flash->write_bytes;
    const uint32_t sector_bytes = flash->sector_bytes;
    memset(log, 0, sizeof *log);
    if (unit == 0 || unit > UNIT_MAX || (unit & (unit - 1)) != 0 || sector_bytes == 0 ||
        sector_bytes % unit != 0 || sector_bytes < 3 * ENTRY_ROOM || offset % sector_bytes != 0 ||
        bytes % sector_bytes != 0 || bytes / sector_bytes < TAC_TELEMETRY_SECTORS_MIN ||
        (uint64_t)offset + bytes > flash->bytes) {
        return TAC_ERR_ARGUMENT;
    }
    log->flash = flash;
    log->offset = offset;
    log->sectors = bytes / sector_bytes;
    log->next = 1;
    entry_t entry;
    for (uint32_t place = 0; place < log->sectors; place++) {
        const uint32_t number = read_head(log, place, &entry);
        if (number > log->number) {
            log->number = number;
            log->next = entry.sequence;
            log->acknowledged = get32(entry.content + 4);
        }
    }
    if (log->number == 0) {
        return TAC_OK;
    }
    const uint8_t *sector = sector_at(log, (log->number - 1) % log->sectors);
    uint32_t used = sector_bytes;
    while (used > 0 && sector[used - 1] == 0xFF) {
        used--;
    }
    while (log->fill < used) {
        if (!read_entry(log, sector, log->fill, &entry)) {
            // Torn. Its number is not given again: should these cells read right one day, it is
            // another record than the one that comes next.
            log->next += log->next < LAST;
            log->fill += skipped(log, log->fill);
            continue;
        }
        if (entry.kind == KIND_RECORD) {
            log->next = entry.sequence < LAST ? entry.sequence + 1 : LAST;
        } else if (entry.kind == KIND_ACK && entry.sequence > log->acknowledged) {
            log->acknowledged = entry.sequence;
        }
        log->fill += padded(flash, entry.bytes);
    }
    if (log->acknowledged >= log->next) {
        log->acknowledged = log->next - 1; // forged content only
    }
    log->bytes = count_bytes(log);
    return TAC_OK;
}

static int program_entry(tac_telemetry_t *log, uint8_t kind, uint32_t sequence,
                         const uint8_t *content, uint32_t bytes) {
    uint8_t entry[ENTRY_ROOM];
    const uint32_t size = padded(log->flash, bytes);
    const uint32_t at =
        log->offset + (log->number - 1) % log->sectors * log->flash->sector_bytes + log->fill;
    memset(entry, 0xFF, sizeof entry);
    entry[0] = kind;
    entry[1] = (uint8_t)bytes;
    entry[2] = (uint8_t)~kind;
    entry[3] = (uint8_t)~bytes;
    put32(entry + 4, sequence);
    if (bytes > 0) {
        memcpy(entry + HEADER_BYTES, content, bytes);
    }
    put32(entry + HEADER_BYTES + bytes, tac_crc32(entry, HEADER_BYTES + bytes));
    if (log->flash->program(log->flash->ctx, at, entry, size) != 0 ||
        memcmp(log->flash->base + at, entry, size) != 0) {
        log->fill = log->flash->sector_bytes; // worn flash: no more of this sector
        return TAC_ERR_FLASH;
    }
    log->fill += size;
    return TAC_OK;
}

// Erases the oldest sector. Until a head is in it the sector before is the newest.
static int erase_oldest(tac_telemetry_t *log) {
    const uint32_t place = log->number % log->sectors;
    uint32_t unread = 0;
    if (log->number >= LAST) {
        return TAC_ERR_SPACE;
    }
    log->bytes -= content_bytes(log, place, &unread);
    log->lost += unread;
    log->prepared =
        log->flash->erase(log->flash->ctx, log->offset + place * log->flash->sector_bytes) == 0;
    if (log->prepared == 0) {
        log->bytes = count_bytes(log); // what it left can be read, or not
        return TAC_ERR_FLASH;
    }
    return TAC_OK;
}

// Gives the oldest sector, erased, its head. A cut before the head is whole leads to the same erase
// again: the sector before is the newest, and it is full.
static int enter_sector(tac_telemetry_t *log) {
    uint8_t content[HEAD_CONTENT];
    const int erased = log->prepared ? TAC_OK : erase_oldest(log);
    if (erased != TAC_OK) {
        return erased;
    }
    log->prepared = 0; // also when the head fails: then its cells are used
    tac_telemetry_t entered = *log;
    entered.number++;
    entered.fill = 0;
    put32(content, entered.number);
    put32(content + 4, log->acknowledged);
    const int rc = program_entry(&entered, KIND_HEAD, log->next, content, sizeof content);
    if (rc == TAC_OK) {
        *log = entered;
    }
    return rc;
}

int tac_telemetry_prepare(tac_telemetry_t *log) {
    const uint32_t largest = padded(log->flash, TAC_TELEMETRY_RECORD_MAX);
    if (log->prepared || (log->number > 0 && log->flash->sector_bytes - log->fill >= 2 * largest)) {
        return 0;
    }
    const int rc = erase_oldest(log);
    return rc == TAC_OK ? 1 : rc;
}

static int write_entry(tac_telemetry_t *log, uint8_t kind, uint32_t sequence,
                       const uint8_t *content, uint32_t bytes) {
    if (log->number == 0 || padded(log->flash, bytes) > log->flash->sector_bytes - log->fill) {
        const int rc = enter_sector(log);
        if (rc != TAC_OK) {
            return rc;
        }
    }
    return program_entry(log, kind, sequence, content, bytes);
}

int tac_telemetry_append(tac_telemetry_t *log, const uint8_t *data, uint32_t size) {
    if (size == 0 || size > TAC_TELEMETRY_RECORD_MAX) {
        return TAC_ERR_ARGUMENT;
    }
    if (log->next >= LAST) {
        return TAC_ERR_SPACE;
    }
    const int rc = write_entry(log, KIND_RECORD, log->next, data, size);
    if (rc == TAC_OK || rc == TAC_ERR_FLASH) {
        log->next++; // a record that failed keeps its number
    }
    if (rc == TAC_OK) {
        log->bytes += size;
    } else if (rc == TAC_ERR_FLASH) {
        log->bytes = count_bytes(log); // it may read right all the same
    }
    return rc;
}

int tac_telemetry_acknowledge(tac_telemetry_t *log, uint32_t sequence) {
    if (sequence >= log->next) {
        return TAC_ERR_ARGUMENT;
    }
    if (sequence <= log->acknowledged) {
        return TAC_OK;
    }
    const int rc = write_entry(log, KIND_ACK, sequence, NULL, 0);
    if (rc == TAC_OK) {
        log->acknowledged = sequence;
    }
    return rc;
}

// The first record with sequence >= cursor from the given place on.
static int seek(const tac_telemetry_t *log, uint32_t cursor, tac_telemetry_record_t *record) {
    for (; record->number <= log->number; record->number++, record->at = 0) {
        const uint32_t place = (record->number - 1) % log->sectors;
        entry_t entry;
        if (read_head(log, place, &entry) != record->number) {
            continue;
        }
        while (next_entry(log, sector_at(log, place), &record->at, &entry)) {
            if (entry.kind == KIND_RECORD && entry.sequence >= cursor) {
                record->sequence = entry.sequence;
                record->data = entry.content;
                record->bytes = entry.bytes;
                return 1;
            }
        }
    }
    return 0;
}

int tac_telemetry_find(const tac_telemetry_t *log, uint32_t cursor,
                       tac_telemetry_record_t *record) {
    *record = (tac_telemetry_record_t){0};
    if (log->number == 0) {
        return 0;
    }
    // Of the sectors whose first record comes no later than the cursor, the newest.
    const uint32_t oldest = log->number > log->sectors ? log->number - log->sectors + 1 : 1;
    record->number = oldest;
    for (uint32_t number = log->number; number > oldest; number--) {
        entry_t head = {0};
        if (read_head(log, (number - 1) % log->sectors, &head) == number &&
            head.sequence <= cursor) {
            record->number = number;
            break;
        }
    }
    return seek(log, cursor, record);
}

int tac_telemetry_next(const tac_telemetry_t *log, tac_telemetry_record_t *record) {
    return seek(log, record->sequence + 1, record);
}

int tac_telemetry_read(const tac_telemetry_t *log, uint32_t *cursor, uint8_t *buf, uint32_t size) {
    tac_telemetry_record_t record;
    if (!tac_telemetry_find(log, *cursor, &record)) {
        return 0;
    }
    if (record.bytes > size) {
        return TAC_ERR_SPACE;
    }
    memcpy(buf, record.data, record.bytes);
    *cursor = record.sequence;
    return (int)record.bytes;
}
