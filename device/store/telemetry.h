// SPDX-License-Identifier: MIT
// Telemetry: an append-only ring of records in flash sectors of its own, oldest sector erased
// first.
//
// What a record holds is the caller's business (CBOR, protocol/SPEC.md). Each has a sequence
// number; a reader goes on from a cursor, says what it has stored, and drops what it gets twice.
// Layout in telemetry.c, power cuts in DESIGN.md.
#ifndef TAC_STORE_TELEMETRY_H
#define TAC_STORE_TELEMETRY_H

#include "store/flash.h"

enum {
    TAC_TELEMETRY_RECORD_MAX = 192, // bytes of a record's content
    TAC_TELEMETRY_SECTORS_MIN = 2,
};

typedef struct tac_telemetry {
    const tac_flash_t *flash;
    uint32_t offset, sectors;
    uint32_t number;       // of the sector that is written now, counted over all sectors; 0 = none
    uint32_t fill;         // bytes used in it
    uint32_t next;         // sequence number of the next record; the first is 1
    uint32_t acknowledged; // the reader has stored all records up to this one
    uint32_t lost;         // records erased before they were acknowledged, since open
    uint32_t bytes;        // content of all records that can be read
    uint32_t prepared;     // 1: the sector that comes next is erased already
} tac_telemetry_t;

// A record in place, and where the search for the next one goes on.
typedef struct tac_telemetry_record {
    uint32_t sequence;
    const uint8_t *data;
    uint32_t bytes;
    uint32_t number, at; // sector and place behind the record
} tac_telemetry_record_t;

// Finds the end of the ring; any flash content is acceptable input, nothing is written. offset and
// bytes: whole sectors, 2 at least, each with room for two records of the largest size. 0 or
// TAC_ERR_ARGUMENT.
int tac_telemetry_open(tac_telemetry_t *log, const tac_flash_t *flash, uint32_t offset,
                       uint32_t bytes);
// Erases the sector that comes next when the present one has no room for two more records of the
// largest size, so that no append() between has to. 1 when it did, 0 when there was nothing to do.
// What was erased before a reset is not trusted: an erase may have been cut short.
int tac_telemetry_prepare(tac_telemetry_t *log);
// Writes a record of 1..TAC_TELEMETRY_RECORD_MAX bytes (TAC_ERR_ARGUMENT). Once it returns 0 the
// record survives any power cut until the ring comes round. At most one erase and two programs; a
// power cut costs the room of one record.
// After TAC_ERR_FLASH the next call goes on in the next sector.
int tac_telemetry_append(tac_telemetry_t *log, const uint8_t *data, uint32_t size);
// The oldest record with sequence >= cursor. 1, or 0 when there is none. Cost: the heads of all
// sectors and one pass over the entries of one, with their CRC.
int tac_telemetry_find(const tac_telemetry_t *log, uint32_t cursor, tac_telemetry_record_t *record);
// The one after it, as long as nothing was written between. 1, or 0 when there is none.
int tac_telemetry_next(const tac_telemetry_t *log, tac_telemetry_record_t *record);
// The oldest record with sequence >= *cursor: its size, its content in buf, and *cursor = its
// sequence. 0 when there is none, TAC_ERR_SPACE when buf is too small. Records in [cursor asked,
// cursor told) are gone, or were torn by a power cut. Cost: one pass over the headers of a sector
// or two.
int tac_telemetry_read(const tac_telemetry_t *log, uint32_t *cursor, uint8_t *buf, uint32_t size);
// The reader has stored all records up to `sequence`. Smaller than before: nothing happens.
// TAC_ERR_ARGUMENT for one that was not written yet. Takes a place in the ring.
int tac_telemetry_acknowledge(tac_telemetry_t *log, uint32_t sequence);

#endif
