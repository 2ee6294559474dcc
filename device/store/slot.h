// SPDX-License-Identifier: MIT
// Two equal package slots and their append-only journal in two alternating sectors.
//
// The journal is the only truth about a slot; a slot's content counts only as far as a journal
// record says. Verification of signature, target and schedule is the caller's (tactus/package.py);
// this room keeps the order of writes so that at every power cut the last confirmed package still
// loads. DESIGN.md beside this file.
#ifndef TAC_STORE_SLOT_H
#define TAC_STORE_SLOT_H

#include "store/flash.h"
#include "store/sha256.h"

enum {
    TAC_SLOTS = 2,
    TAC_STORE_WRITE_MAX = 256, // largest program unit
    TAC_STORE_MORE = 1,        // of tac_store_finish()
};

enum tac_slot_state {
    TAC_SLOT_EMPTY = 0,
    TAC_SLOT_RECEIVING = 1, // length and SHA-256 announced; received bytes grow
    TAC_SLOT_STAGED = 2,    // complete, digest right, verified by the caller
    TAC_SLOT_PENDING = 3,   // chosen for the next load
    TAC_SLOT_TRIED = 4,     // load attempted, not yet confirmed
    TAC_SLOT_CONFIRMED = 5,
    TAC_SLOT_BAD = 6, // reason holds the positive error code
};

// `reason` of a PENDING or TRIED slot that was CONFIRMED before: going back needs no trial window.
#define TAC_SLOT_PROVEN 1

typedef struct tac_slot_info {
    uint8_t state;
    uint8_t reason;
    uint32_t length;    // announced bytes
    uint32_t received;  // bytes accepted; less than one program unit of them waits in RAM for the
                        // next call
    uint32_t sequence;  // of the journal record that set the state, less where it was set back; the
                        // higher CONFIRMED one is the current one
    uint8_t sha256[32]; // of the whole file as sent
} tac_slot_info_t;

typedef struct tac_store_layout {
    uint32_t journal_offset; // two sectors
    uint32_t slot_offset[TAC_SLOTS];
    uint32_t slot_bytes; // multiple of the sector
} tac_store_layout_t;

// What no later package may fall below.
typedef struct tac_floors {
    uint32_t counter;     // security counter
    uint32_t key_version; // of the key set
} tac_floors_t;

typedef struct tac_store {
    const tac_flash_t *flash;
    tac_store_layout_t layout;
    tac_slot_info_t slots[TAC_SLOTS];
    tac_floors_t floors;         // raised by confirm only
    uint32_t sequence;           // last used
    uint32_t journal_sector;     // 0 or 1: the one that holds the newest record
    uint32_t journal_fill;       // bytes used in it
    uint8_t finished[TAC_SLOTS]; // finish() found the digest right; lost by any change of state and
                                 // by a reset
    uint8_t tail_slot;           // whose received % write_bytes bytes wait in tail
    uint8_t tail[TAC_STORE_WRITE_MAX];
    tac_sha256_t hash; // of the first `hashed` bytes that flash holds of hash_slot
    uint32_t hashed;
    uint8_t hash_slot;
} tac_store_t;

// Reads the journal; any flash content is acceptable input, nothing is written. 0, or
// TAC_ERR_ARGUMENT for a layout that overlaps, leaves the flash or is not made of whole sectors.
// flash must outlive st.
int tac_store_open(tac_store_t *st, const tac_flash_t *flash, const tac_store_layout_t *layout);
// Boot decision. TRIED and unconfirmed -> BAD(reason): 1..255, what the board knows of how the
// trial ended; but where that is a mere reset (-TAC_ERR_PKG_TRIAL) and the slot is TAC_SLOT_PROVEN
// -> CONFIRMED again, older than the other one. Returns the slot to load: the PENDING one (caller
// then marks it TRIED before verifying and running it), else the newest CONFIRMED, else
// TAC_ERR_NOT_FOUND; TAC_ERR_ARGUMENT for reason 0.
int tac_store_select(tac_store_t *st, uint8_t reason);
// Announces an upload of 1..slot_bytes bytes. Same length and sha as a RECEIVING slot resumes:
// returns the offset to continue at (at most 4 KiB or one sector before the cut after a reset,
// exact otherwise), and of a slot that is BAD by a mere reset on trial length: its bytes are there,
// finish() hashes them all; else 0. Refuses (TAC_ERR_STATE) the slot that is TRIED, and the newest
// CONFIRMED one. Sectors are erased as writes reach them.
int tac_store_begin(tac_store_t *st, unsigned slot, uint32_t length, const uint8_t sha256[32]);
// Appends at `offset`, which must equal received (TAC_ERR_ARGUMENT). Any size up to the announced
// length (TAC_ERR_SPACE). After TAC_ERR_FLASH go on at the slot's `received`: it may have gone back
// to a sector's start.
int tac_store_write(tac_store_t *st, unsigned slot, uint32_t offset, const uint8_t *data,
                    uint32_t size);
// All bytes there and SHA-256 right? Call it until it is not TAC_STORE_MORE: each call hashes at
// most most_bytes of flash, 1 or more. What was written since the last reset is hashed already, so
// that only an upload that was interrupted takes more than one call. 0, TAC_ERR_STATE or
// TAC_ERR_PKG_DIGEST (slot becomes BAD).
int tac_store_finish(tac_store_t *st, unsigned slot, uint32_t most_bytes);
// Moves a slot along; other moves: TAC_ERR_STATE.
//   RECEIVING, after finish() -> STAGED       STAGED -> PENDING, PENDING -> STAGED
//   CONFIRMED, not the newest -> PENDING      PENDING -> TRIED, TRIED -> CONFIRMED
//   all but EMPTY and BAD -> BAD(reason), reason 1..255 (TAC_ERR_ARGUMENT)
// At most one slot is PENDING or TRIED. CONFIRMED raises both floors in the same record; lower than
// present: TAC_ERR_PKG_COUNTER, TAC_ERR_PKG_KEYSET_OLD. reason is read for BAD only, floors for
// CONFIRMED only, where it may not be NULL. From CONFIRMED to PENDING and on to TRIED the slot's
// reason is TAC_SLOT_PROVEN.
int tac_store_mark(tac_store_t *st, unsigned slot, uint8_t state, uint8_t reason,
                   const tac_floors_t *floors);
// Back to EMPTY, in the journal only. Refuses (TAC_ERR_STATE) the newest CONFIRMED slot and a TRIED
// one.
int tac_store_erase(tac_store_t *st, unsigned slot);
// The slot's bytes in flash, or NULL for a slot that does not exist. Info says how many count.
const uint8_t *tac_store_data(const tac_store_t *st, unsigned slot);

#endif
