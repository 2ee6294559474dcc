// SPDX-License-Identifier: MIT
// SHA-512 (FIPS 180-4 section 6.4), streaming. Used by the Ed25519 check only.
#ifndef TAC_STORE_SHA512_H
#define TAC_STORE_SHA512_H

#include <stddef.h>
#include <stdint.h>

typedef struct tac_sha512 {
    uint64_t state[8];
    uint64_t bytes;
    uint8_t block[128];
} tac_sha512_t;

void tac_sha512_init(tac_sha512_t *h);
void tac_sha512_update(tac_sha512_t *h, const uint8_t *data, size_t size);
void tac_sha512_final(tac_sha512_t *h, uint8_t digest[64]);

#endif
