// SPDX-License-Identifier: MIT
// Reads the ops of a patch message (protocol/SPEC.md, "Patch ops"): bytes of a new package out of
// those of the one that is there.
//
// Pure: the caller brings ops, base and room for the result. Any bytes are acceptable as ops; none
// make it read outside ops and base or write outside the room.
#ifndef TAC_PATCH_H
#define TAC_PATCH_H

#include <stdint.h>

// Where in the ops a reader is. Holds no pointers: ops and base may be handed over anew at each
// call.
typedef struct tac_patch {
    uint32_t at;     // byte of the ops that is read next
    uint32_t cursor; // byte of the base
    uint32_t left;   // bytes that the present op still makes
    uint32_t same;   // DIFF: equal bytes before the next changed one
    uint8_t change;  // DIFF: what is added to that one, modulo 256
    uint8_t bit;     // DIFF: bits of ops[at] that are used, 0..7
    uint8_t kind;
    uint8_t same_bits, change_bits; // DIFF: Rice parameters
} tac_patch_t;

typedef struct tac_patch_source {
    const uint8_t *ops, *base;
    uint32_t ops_bytes, base_bytes;
} tac_patch_source_t;

// Starts at the first op, with the cursor at `offset`, which is where in the result they begin.
void tac_patch_start(tac_patch_t *p, uint32_t offset);
// Makes the next bytes, at most `room` <= INT32_MAX of them: their number, less than `room` only at
// the end of the ops; TAC_ERR_ARGUMENT where the ops break a rule or leave the base, and then p is
// not to be used any more. With out == NULL nothing is read from the base nor written: this is how
// ops are checked as a whole before any of them is applied, at a cost that their size bounds.
int tac_patch_next(tac_patch_t *p, const tac_patch_source_t *source, uint8_t *out, uint32_t room);

#endif
