// SPDX-License-Identifier: MIT
// Ed25519 signature check (RFC 8032 section 5.1.7) in pieces of bounded length.
//
// begin(), update() with the message in any parts, then step() until it no longer returns
// TAC_ED25519_MORE. The context is all there is: it may be dropped at any time. Verification only:
// no secrets are handled, so time may depend on the input. Cost on a Cortex-M4 (-O2): DESIGN.md;
// one step at most TAC_ED25519_STEP_INSTRUCTIONS.
#ifndef TAC_STORE_ED25519_H
#define TAC_STORE_ED25519_H

#include <stddef.h>
#include <stdint.h>

#include "store/field25519.h"
#include "store/sha512.h"

enum {
    TAC_ED25519_MORE = 1,
    TAC_ED25519_STEPS_MAX = 16,
    TAC_ED25519_STEP_INSTRUCTIONS = 80000,
    TAC_ED25519_BITS = 256,
    TAC_ED25519_TABLE = 4,
};

// A point in extended coordinates: affine (x/z, y/z), t = xy/z (Hisil et al., 2008).
typedef struct tac_point {
    tac_fe_t x, y, z, t;
} tac_point_t;

// The same as the right-hand side of an addition: y + x, y - x, 2z, 2dt.
typedef struct tac_cached_point {
    tac_fe_t plus, minus, z2, t2d;
} tac_cached_point_t;

typedef struct tac_ed25519 {
    union {
        tac_sha512_t hash;                         // up to the first step
        tac_cached_point_t odd[TAC_ED25519_TABLE]; // -A, -3A, -5A, -7A
    } u;
    tac_point_t sum;
    int8_t h_digit[TAC_ED25519_BITS], s_digit[TAC_ED25519_BITS]; // signed, odd or 0
    uint8_t signature[64];
    uint8_t key[32];
    int16_t position; // of the ladder
    uint8_t stage;
} tac_ed25519_t;

void tac_ed25519_begin(tac_ed25519_t *check, const uint8_t signature[64], const uint8_t key[32]);
void tac_ed25519_update(tac_ed25519_t *check, const uint8_t *message, size_t size);
// TAC_ED25519_MORE, then 0 when the signature is good, TAC_ERR_PKG_SIGNATURE otherwise, and so ever
// after. Refuses S >= L, keys and R that are no canonical encoding of a point, and keys of small
// order.
int tac_ed25519_step(tac_ed25519_t *check);

// All of it in one call.
int tac_ed25519_check(const uint8_t signature[64], const uint8_t key[32], const uint8_t *message,
                      size_t size);

#endif
