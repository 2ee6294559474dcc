// SPDX-License-Identifier: MIT
// The append-only journal behind slot.h: each record is the whole state of the store, the highest
// sequence wins. Record layout, little-endian, 128 bytes, at multiples of max(128, write_bytes) in
// two alternating sectors:
//     0 u32 magic "TSJ1"   4 u32 sequence   8 u32 counter   12 u32 key version
//    16 slot 0: u8 state, u8 reason, u16 0, u32 length, u32 received, u32 sequence, sha256[32]
//    64 slot 1: the same 48 bytes   112 12 bytes 0   124 u32 CRC-32 (IEEE 802.3) of bytes 0..123
#ifndef TAC_STORE_JOURNAL_H
#define TAC_STORE_JOURNAL_H

#include "store/slot.h"

enum {
    TAC_JOURNAL_RECORD_BYTES = 128,
    TAC_JOURNAL_PROGRESS_BYTES =
        4096, // an upload is recorded at least this often, or once a sector
};

// Bytes from one record's start to the next.
uint32_t tac_journal_stride(const tac_flash_t *flash);
// Upload progress is recorded at multiples of this; always whole sectors.
uint32_t tac_journal_progress_bytes(const tac_flash_t *flash);
// Fills slots, floors, sequence and place from flash of any content. Needs st->flash and
// st->layout. Never writes.
void tac_journal_read(tac_store_t *st);
// Writes one record with sequence st->sequence + 1 and, once it reads back right, takes slots and
// floors over into st. Received bytes of a RECEIVING slot are rounded down to what a reset may
// claim. 0, TAC_ERR_FLASH (st as before, sequence and the cells used apart) or TAC_ERR_SPACE
// (sequence numbers used up: forged flash content only).
int tac_journal_append(tac_store_t *st, const tac_slot_info_t slots[TAC_SLOTS],
                       tac_floors_t floors);

#endif
