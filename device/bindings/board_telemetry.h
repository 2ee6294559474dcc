// SPDX-License-Identifier: MIT
// The telemetry ring of a board (store/telemetry.h) for both bindings of `_tactus`. Functions that
// return int return >= 0 or a tac_error.h code; TAC_ERR_STATE before tac_board_open().
#ifndef TAC_BOARD_TELEMETRY_H
#define TAC_BOARD_TELEMETRY_H

#include <stddef.h>
#include <stdint.h>

#include "store/flash.h"

typedef struct tac_board_telemetry {
    uint32_t oldest;       // sequence of the oldest record that can be read, or next
    uint32_t next;         // of the record that comes next
    uint32_t acknowledged; // a reader has stored all up to this one
    uint32_t lost;         // erased before they were acknowledged, since boot
    uint32_t bytes;        // content of all records
} tac_board_telemetry_t;

enum {
    TAC_BOARD_TELEMETRY_CURSOR = 8, // u32 sequence, u32 bytes of it, in front of what is read
    TAC_BOARD_TELEMETRY_HEAD = 5,   // u32 sequence, u8 bytes, in front of each packed record
};

// Called by tac_board_open().
int tac_board_telemetry_open(const tac_flash_t *flash);
int tac_board_telemetry_info(tac_board_telemetry_t *info);
// Erases a sector ahead when there is soon need of one: 1 when it did, 0.
int tac_board_telemetry_prepare(void);
int tac_board_telemetry_append(const uint8_t *data, size_t bytes);
int tac_board_telemetry_acknowledge(uint32_t sequence);
// Little-endian. Records from `cursor` on as far as they fit, each u32 sequence, u8 n, n bytes.
// buf: u32 the cursor to go on with, then they. Returns the bytes written.
int tac_board_telemetry_records(uint32_t cursor, uint8_t *buf, size_t size);
// The contents of the records from `cursor` to `last`, one behind the other, from byte `skip` of
// the first on. buf: u32 cursor and u32 skip to go on with, then they. Returns the bytes written.
int tac_board_telemetry_contents(uint32_t cursor, uint32_t skip, uint32_t last, uint8_t *buf,
                                 size_t size);
// Of a packed histogram (SPEC.md) at data[at]: 50th and 99th percentile and maximum, us, as
// protocol/histogram.py has them. Returns where it ends; TAC_ERR_CORRUPT.
int tac_board_percentiles(const uint8_t *data, size_t size, size_t at, uint32_t found[3]);
uint64_t tac_board_time_ms(void); // since boot, never wraps in practice

#endif
