// SPDX-License-Identifier: MIT
// SHA-256 (FIPS 180-4 section 6.2), streaming.
#ifndef TAC_STORE_SHA256_H
#define TAC_STORE_SHA256_H

#include <stddef.h>
#include <stdint.h>

typedef struct tac_sha256 {
    uint32_t state[8];
    uint64_t bytes;
    uint8_t block[64];
} tac_sha256_t;

void tac_sha256_init(tac_sha256_t *h);
void tac_sha256_update(tac_sha256_t *h, const uint8_t *data, size_t size);
void tac_sha256_final(tac_sha256_t *h, uint8_t digest[32]);

#endif
