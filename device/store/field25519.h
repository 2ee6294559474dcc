// SPDX-License-Identifier: MIT
// Arithmetic modulo p = 2^255 - 19 for the Ed25519 check.
//
// An element is any 256-bit number, little-endian words; many numbers stand for one element until
// tac_fe_pack(). Results may be the place of an operand. Time may depend on values: no secrets
// here. Cost on a Cortex-M4 at -O2, instructions: mul 190, add 60, sub 90, invert and root 50,000.
#ifndef TAC_STORE_FIELD25519_H
#define TAC_STORE_FIELD25519_H

#include <stdint.h>

enum { TAC_FE_WORDS = 8, TAC_FE_BYTES = 32 };

typedef struct tac_fe {
    uint32_t word[TAC_FE_WORDS];
} tac_fe_t;

void tac_fe_add(tac_fe_t *r, const tac_fe_t *a, const tac_fe_t *b);
void tac_fe_sub(tac_fe_t *r, const tac_fe_t *a, const tac_fe_t *b);
void tac_fe_mul(tac_fe_t *r, const tac_fe_t *a, const tac_fe_t *b);
void tac_fe_invert(tac_fe_t *r, const tac_fe_t *a); // a^(p - 2): 0 for 0
// a^((p - 5) / 8), of which square roots are made (RFC 8032 section 5.1.3)
void tac_fe_root(tac_fe_t *r, const tac_fe_t *a);
// Little-endian bytes, all 256 bits of them.
void tac_fe_load(tac_fe_t *r, const uint8_t bytes[TAC_FE_BYTES]);
// The one number below p; its top bit is 0.
void tac_fe_pack(uint8_t bytes[TAC_FE_BYTES], const tac_fe_t *a);

#endif
