// SPDX-License-Identifier: MIT
#include "store/ed25519.h"

#include "monocypher.h"
#include "store/sha512.h"
#include "tac_error.h"

// [8]A = 0 for the eight points of small order and their non-canonical encodings. With R = neutral,
// S = 0 and h = 1 Monocypher's cofactored equation [8](S*B - h*A - R) = 0 says just that. A table
// of the encodings would cost 224 bytes and could be wrong; this costs about a tenth of a check.
static int is_small_order(const uint8_t key[32]) {
    static const uint8_t neutral[64] = {1};
    static const uint8_t one[32] = {1};
    return crypto_eddsa_check_equation(neutral, key, one) == 0;
}

int tac_ed25519_check(const uint8_t signature[64], const uint8_t key[32], const uint8_t *message,
                      size_t size) {
    tac_sha512_t hash;
    uint8_t digest[64];
    uint8_t h[32];

    if (is_small_order(key)) {
        return TAC_ERR_PKG_SIGNATURE;
    }
    tac_sha512_init(&hash);
    tac_sha512_update(&hash, signature, 32);
    tac_sha512_update(&hash, key, 32);
    tac_sha512_update(&hash, message, size);
    tac_sha512_final(&hash, digest);
    crypto_eddsa_reduce(h, digest);
    // Refuses S >= L and points off the curve itself.
    if (crypto_eddsa_check_equation(signature, key, h) != 0) {
        return TAC_ERR_PKG_SIGNATURE;
    }
    return TAC_OK;
}
