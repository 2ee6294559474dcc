// SPDX-License-Identifier: MIT
// Ed25519: no signature, key and message does harm; what is good is good for these bytes only.
// SHA-256, SHA-512, CRC-16 and CRC-32: a message in pieces gives what the whole gives.
// Input: u8, odd for Ed25519; then signature[64], key[32], message, or u16 end of the first piece,
// u16 end of the second, message.
#include "input.h"
#include "link/console.h"
#include "store/crc32.h"
#include "store/ed25519.h"
#include "store/sha256.h"
#include "store/sha512.h"

static void check_signature(input_t *in) {
    uint8_t *signature = take_block(in, 64);
    uint8_t *key = take_block(in, 32);
    const size_t bytes = in->size;
    uint8_t *message = take_block(in, bytes);
    const int rc = tac_ed25519_check(signature, key, message, bytes);
    MUST(rc == TAC_OK || rc == TAC_ERR_PKG_SIGNATURE);
    if (rc == TAC_OK) {
        signature[32 + bytes % 32] ^= 1;
        MUST(tac_ed25519_check(signature, key, message, bytes) == TAC_ERR_PKG_SIGNATURE);
        signature[32 + bytes % 32] ^= 1;
        if (bytes > 0) {
            message[bytes / 2] ^= 0x10;
            MUST(tac_ed25519_check(signature, key, message, bytes) == TAC_ERR_PKG_SIGNATURE);
        }
    }
    free(message);
    free(key);
    free(signature);
}

static void check_digests(input_t *in) {
    size_t cuts[4] = {0};
    cuts[1] = take(in, 2);
    cuts[2] = take(in, 2);
    const size_t bytes = cuts[3] = in->size;
    uint8_t *message = take_block(in, bytes);
    cuts[1] = cuts[1] < bytes ? cuts[1] : bytes;
    cuts[2] = cuts[2] < cuts[1] ? cuts[1] : cuts[2] < bytes ? cuts[2] : bytes;

    tac_sha256_t whole256, parts256;
    tac_sha512_t whole512, parts512;
    uint8_t digests[4][64] = {{0}};
    uint16_t crc = 0;
    tac_sha256_init(&whole256);
    tac_sha256_init(&parts256);
    tac_sha512_init(&whole512);
    tac_sha512_init(&parts512);
    tac_sha256_update(&whole256, message, bytes);
    tac_sha512_update(&whole512, message, bytes);
    for (unsigned i = 0; i < 3; i++) {
        tac_sha256_update(&parts256, message + cuts[i], cuts[i + 1] - cuts[i]);
        tac_sha512_update(&parts512, message + cuts[i], cuts[i + 1] - cuts[i]);
        crc = tac_crc16(crc, message + cuts[i], cuts[i + 1] - cuts[i]);
    }
    tac_sha256_final(&whole256, digests[0]);
    tac_sha256_final(&parts256, digests[1]);
    tac_sha512_final(&whole512, digests[2]);
    tac_sha512_final(&parts512, digests[3]);
    MUST(memcmp(digests[0], digests[1], 64) == 0 && memcmp(digests[2], digests[3], 64) == 0);
    MUST(crc == tac_crc16(0, message, bytes));

    if (bytes > 0) { // a CRC finds every single flipped bit
        const uint32_t crc32 = tac_crc32(message, (uint32_t)bytes);
        message[cuts[1] % bytes] ^= (uint8_t)(1u << (cuts[2] & 7));
        MUST(crc32 != tac_crc32(message, (uint32_t)bytes));
        MUST(crc != tac_crc16(0, message, bytes));
    }
    free(message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input_t in = {data, size};
    if (take(&in, 1) & 1) {
        check_signature(&in);
    } else {
        check_digests(&in);
    }
    return 0;
}
