// SPDX-License-Identifier: MIT
#include "bindings/board_telemetry.h"

#include <stdbool.h>
#include <string.h>

#include "port/port.h"
#include "sched/hist.h"
#include "store/telemetry.h"
#include "tac_board.h"

_Static_assert(TAC_BOARD_TELEMETRY_BYTES >= TAC_TELEMETRY_SECTORS_MIN * TAC_BOARD_SECTOR_BYTES &&
                   TAC_BOARD_TELEMETRY_OFFSET + TAC_BOARD_TELEMETRY_BYTES <= TAC_BOARD_FLASH_BYTES,
               "telemetry in the flash map");

enum { HIST_HEAD_BYTES = 21 };

static struct {
    tac_telemetry_t log;
    bool open;
} ring;

int tac_board_telemetry_open(const tac_flash_t *flash) {
    const int rc =
        tac_telemetry_open(&ring.log, flash, TAC_BOARD_TELEMETRY_OFFSET, TAC_BOARD_TELEMETRY_BYTES);
    ring.open = rc == TAC_OK;
    return rc;
}

int tac_board_telemetry_info(tac_board_telemetry_t *info) {
    if (!ring.open) {
        return TAC_ERR_STATE;
    }
    tac_telemetry_record_t first;
    *info = (tac_board_telemetry_t){
        .oldest = tac_telemetry_find(&ring.log, 0, &first) ? first.sequence : ring.log.next,
        .next = ring.log.next,
        .acknowledged = ring.log.acknowledged,
        .lost = ring.log.lost,
        .bytes = ring.log.bytes,
    };
    return TAC_OK;
}

int tac_board_telemetry_prepare(void) {
    return ring.open ? tac_telemetry_prepare(&ring.log) : TAC_ERR_STATE;
}

int tac_board_telemetry_append(const uint8_t *data, size_t bytes) {
    if (!ring.open) {
        return TAC_ERR_STATE;
    }
    return bytes > TAC_TELEMETRY_RECORD_MAX
               ? TAC_ERR_SPACE
               : tac_telemetry_append(&ring.log, data, (uint32_t)bytes);
}

int tac_board_telemetry_acknowledge(uint32_t sequence) {
    return ring.open ? tac_telemetry_acknowledge(&ring.log, sequence) : TAC_ERR_STATE;
}

static void put_u32(uint8_t *at, uint32_t value) {
    for (unsigned i = 0; i < 4; i++) {
        at[i] = (uint8_t)(value >> (8 * i));
    }
}

int tac_board_telemetry_records(uint32_t cursor, uint8_t *buf, size_t size) {
    if (!ring.open) {
        return TAC_ERR_STATE;
    }
    size_t fill = 4;
    if (size < fill) {
        return TAC_ERR_SPACE;
    }
    tac_telemetry_record_t record;
    for (int found = tac_telemetry_find(&ring.log, cursor, &record); found;
         found = tac_telemetry_next(&ring.log, &record)) {
        if (size - fill < TAC_BOARD_TELEMETRY_HEAD + record.bytes) {
            if (fill == 4) {
                return TAC_ERR_SPACE;
            }
            break;
        }
        put_u32(buf + fill, record.sequence);
        buf[fill + 4] = (uint8_t)record.bytes;
        memcpy(buf + fill + TAC_BOARD_TELEMETRY_HEAD, record.data, record.bytes);
        fill += TAC_BOARD_TELEMETRY_HEAD + record.bytes;
        cursor = record.sequence + 1;
    }
    put_u32(buf, cursor);
    return (int)fill;
}

int tac_board_telemetry_contents(uint32_t cursor, uint32_t skip, uint32_t last, uint8_t *buf,
                                 size_t size) {
    if (!ring.open) {
        return TAC_ERR_STATE;
    }
    size_t fill = TAC_BOARD_TELEMETRY_CURSOR;
    if (size < fill) {
        return TAC_ERR_SPACE;
    }
    tac_telemetry_record_t record;
    int found = tac_telemetry_find(&ring.log, cursor, &record);
    if (skip > 0 && (!found || record.sequence != cursor || skip > record.bytes)) {
        return TAC_ERR_ARGUMENT;
    }
    for (; found && record.sequence <= last && fill < size;
         found = tac_telemetry_next(&ring.log, &record)) {
        const size_t left = record.bytes - skip;
        const size_t bytes = left < size - fill ? left : size - fill;
        memcpy(buf + fill, record.data + skip, bytes);
        fill += bytes;
        if (bytes < left) {
            cursor = record.sequence;
            skip += (uint32_t)bytes;
            break;
        }
        cursor = record.sequence + 1;
        skip = 0;
    }
    put_u32(buf, cursor);
    put_u32(buf + 4, skip);
    return (int)fill;
}

static uint32_t get_u32(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

int tac_board_percentiles(const uint8_t *data, size_t size, size_t at, uint32_t found[3]) {
    if (at > size || size - at < HIST_HEAD_BYTES) {
        return TAC_ERR_CORRUPT;
    }
    const uint32_t n = get_u32(data + at), max_us = get_u32(data + at + 8);
    const uint32_t ranks[] = {n / 2 + n % 2, n - n / 100};
    const unsigned used = data[at + 20];
    uint64_t seen = 0;
    found[0] = found[1] = found[2] = max_us;
    at += HIST_HEAD_BYTES;
    for (unsigned bucket = 0; bucket < used; bucket++) {
        if (size - at < 2) {
            return TAC_ERR_CORRUPT;
        }
        const unsigned index = data[at++];
        uint32_t count = 0;
        for (unsigned shift = 0;; shift += 7) {
            if (at >= size || shift > 28) {
                return TAC_ERR_CORRUPT;
            }
            count |= (uint32_t)(data[at] & 0x7fu) << shift;
            if (data[at++] < 0x80) {
                break;
            }
        }
        for (unsigned i = 0; i < 2; i++) {
            const uint32_t upper = tac_hist_upper(index);
            if (seen < ranks[i] && seen + count >= ranks[i] && index + 1 < TAC_HIST_BUCKETS &&
                upper < max_us) {
                found[i] = upper;
            }
        }
        seen += count;
    }
    return (int)at;
}

uint64_t tac_board_time_ms(void) {
    return tac_port_now_us() / 1000u;
}
