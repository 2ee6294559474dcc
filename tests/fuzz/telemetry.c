// SPDX-License-Identifier: MIT
// The telemetry ring on flash of any content: opens without a write, takes records, gives them in
// order and comes to an end; reads nothing outside its sectors and breaks no flash rule.
// Input: u8 geometry, u16 which entries of a sector get a right head and CRC, u8 calls, 4 bytes
// each call, u8 cut after so many operations, u8 kind of cut, content of the ring.
#include "input.h"
#include "nor_flash.h"
#include "store/crc32.h"
#include "store/telemetry.h"

typedef struct geometry {
    uint32_t sector, unit, sectors;
} geometry_t;

enum { CALLS_MAX = 24, ENTRY_BYTES_MIN = 12 };

// The layout of telemetry.c, from its first lines.
static void seal(uint8_t *sector, const geometry_t *g, uint32_t sealed) {
    uint32_t at = 0;
    for (unsigned i = 0; i < 16 && g->sector - at >= ENTRY_BYTES_MIN; i++) {
        uint8_t *entry = sector + at;
        if (i == 0) {
            entry[0] = 1;
            entry[1] = 8;
        }
        const uint32_t bytes = entry[1];
        const uint32_t room = (ENTRY_BYTES_MIN + bytes + g->unit - 1) / g->unit * g->unit;
        if (room > g->sector - at) {
            return;
        }
        if (sealed >> i & 1) {
            entry[2] = (uint8_t)~entry[0];
            entry[3] = (uint8_t)~entry[1];
            const uint32_t crc = tac_crc32(entry, 8 + bytes);
            for (unsigned k = 0; k < 4; k++) {
                entry[8 + bytes + k] = (uint8_t)(crc >> (8 * k));
            }
        }
        at += room;
    }
}

static void read_all(const tac_telemetry_t *log, uint32_t cursor, uint32_t bytes) {
    uint8_t *record = malloc(TAC_TELEMETRY_RECORD_MAX);
    uint32_t count = 0;
    tac_telemetry_record_t found;
    uint32_t sum = 0;
    for (int is_there = tac_telemetry_find(log, 0, &found); is_there;
         is_there = tac_telemetry_next(log, &found)) {
        MUST(found.bytes > 0 && found.bytes <= TAC_TELEMETRY_RECORD_MAX);
        sum += found.bytes;
    }
    MUST(sum <= log->bytes && log->bytes <= bytes); // less where forged numbers go back
    for (;; count++) {
        MUST(count <= bytes / ENTRY_BYTES_MIN);
        const uint32_t asked = cursor;
        const int size = tac_telemetry_read(log, &cursor, record, TAC_TELEMETRY_RECORD_MAX);
        if (size == 0) {
            break;
        }
        // Content that fits an entry but is longer than any record of ours, or empty, is forged.
        MUST(size > 0 && size <= TAC_TELEMETRY_RECORD_MAX && cursor >= asked);
        cursor++;
    }
    free(record);
}

static void check_log(const tac_telemetry_t *log, const geometry_t *g) {
    MUST(log->next >= 1 && log->acknowledged < log->next);
    MUST(log->fill <= g->sector);
}

static void call(tac_telemetry_t *log, const geometry_t *g, input_t *in) {
    const uint32_t what = take(in, 1), a = take(in, 1), b = take(in, 2);
    uint8_t *record = calloc(1, a + 1);
    const uint32_t before = log->next;
    switch (what % 4) {
    case 0:
    case 1:
        if (tac_telemetry_append(log, record, a) == TAC_OK) {
            MUST(a > 0 && a <= TAC_TELEMETRY_RECORD_MAX && log->next == before + 1);
        }
        break;
    case 2:
        read_all(log, b, g->sectors * g->sector);
        break;
    default:
        if (what & 0x40) {
            MUST(tac_telemetry_prepare(log) <= 1);
        }
        (void)tac_telemetry_acknowledge(log, what & 0x80 ? log->next - 1 : b);
    }
    free(record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const geometry_t geometries[] = {{1024, 1, 3}, {1024, 16, 4}, {4096, 256, 2}};
    input_t in = {data, size};
    const geometry_t *g = &geometries[take(&in, 1) % 3];
    const uint32_t sealed = take(&in, 2);
    const uint32_t calls = take(&in, 1) % (CALLS_MAX + 1);
    uint8_t *script = take_block(&in, 4 * (size_t)calls);
    const uint32_t cut = take(&in, 1), kind = take(&in, 1) % NOR_CUT_KINDS;
    const uint32_t bytes = g->sectors * g->sector;

    const int is_blank = in.size == 0;
    const uint32_t given = in.size < bytes ? (uint32_t)in.size : bytes;
    uint8_t *content = take_block(&in, bytes);
    memset(content + given, 0xFF, bytes - given);
    for (uint32_t i = 0; i < g->sectors && i * g->sector < given; i++) {
        seal(content + i * g->sector, g, sealed);
    }
    // The ring is the whole part: a read outside leaves the block.
    nor_t *nor = nor_new(bytes, g->sector, g->unit, cut);
    nor_load(nor, 0, content, bytes);
    free(content);

    tac_telemetry_t log;
    MUST(tac_telemetry_open(&log, nor_flash(nor), 0, bytes) == TAC_OK);
    MUST(nor_fact(nor, 0) == 0);
    check_log(&log, g);
    read_all(&log, 0, bytes);
    nor_cut(nor, cut, kind);
    input_t steps = {script, 4 * (size_t)calls};
    while (steps.size > 0) {
        call(&log, g, &steps);
        check_log(&log, g);
    }
    nor_power_on(nor);
    nor_cut(nor, 0, 0);
    MUST(tac_telemetry_open(&log, nor_flash(nor), 0, bytes) == TAC_OK);
    check_log(&log, g);
    uint32_t cursor = log.next;
    const uint8_t record[5] = {1, 2, 3, 4, 5};
    const int rc = tac_telemetry_append(&log, record, sizeof record);
    MUST(rc == TAC_OK || rc == TAC_ERR_SPACE);
    if (is_blank) { // no forged numbers: what append() promised is there
        uint8_t back[sizeof record];
        MUST(rc == TAC_OK);
        MUST(tac_telemetry_read(&log, &cursor, back, sizeof back) == sizeof record);
        MUST(cursor + 1 == log.next && memcmp(back, record, sizeof record) == 0);
    }
    read_all(&log, 0, bytes);
    MUST(nor_fact(nor, 2) == 0);
    nor_free(nor);
    free(script);
    return 0;
}
