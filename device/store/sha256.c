// SPDX-License-Identifier: MIT
#include "store/sha256.h"

#include <string.h>

static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

// A macro: as a function it stays a call at -Os.
#define ROTATE(x, n) ((x) >> (n) | (x) << (32 - (n)))

static void compress(uint32_t state[8], const uint8_t block[64]) {
    // The message schedule is a ring of 16 words: 64 bytes of stack instead of 256.
    uint32_t w[16];
    for (unsigned i = 0; i < 16; i++) {
        const uint8_t *p = block + 4 * i;
        w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (unsigned i = 0; i < 64; i++) {
        if (i >= 16) {
            uint32_t x = w[(i + 1) & 15];
            uint32_t y = w[(i + 14) & 15];
            w[i & 15] += w[(i + 9) & 15] + (ROTATE(x, 7) ^ ROTATE(x, 18) ^ x >> 3) +
                         (ROTATE(y, 17) ^ ROTATE(y, 19) ^ y >> 10);
        }
        uint32_t t1 = h + (ROTATE(e, 6) ^ ROTATE(e, 11) ^ ROTATE(e, 25)) + ((e & f) ^ (~e & g)) +
                      K[i] + w[i & 15];
        uint32_t t2 =
            (ROTATE(a, 2) ^ ROTATE(a, 13) ^ ROTATE(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
        h = g;
        g = f;
        f = e;
        e = d + t1;
        d = c;
        c = b;
        b = a;
        a = t1 + t2;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
    state[5] += f;
    state[6] += g;
    state[7] += h;
}

void tac_sha256_init(tac_sha256_t *h) {
    static const uint32_t start[8] = {
        0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
    };
    memcpy(h->state, start, sizeof start);
    h->bytes = 0;
}

void tac_sha256_update(tac_sha256_t *h, const uint8_t *data, size_t size) {
    while (size > 0) {
        size_t fill = (size_t)(h->bytes & 63);
        size_t take = 64 - fill < size ? 64 - fill : size;
        if (take == 64) {
            compress(h->state, data); // whole blocks are read where they lie
        } else {
            memcpy(h->block + fill, data, take);
            if (fill + take == 64) {
                compress(h->state, h->block);
            }
        }
        h->bytes += take;
        data += take;
        size -= take;
    }
}

void tac_sha256_final(tac_sha256_t *h, uint8_t digest[32]) {
    uint64_t bits = h->bytes * 8;
    size_t fill = (size_t)(h->bytes & 63);
    h->block[fill++] = 0x80;
    if (fill > 56) {
        memset(h->block + fill, 0, 64 - fill);
        compress(h->state, h->block);
        fill = 0;
    }
    memset(h->block + fill, 0, 56 - fill);
    for (unsigned i = 0; i < 8; i++) {
        h->block[56 + i] = (uint8_t)(bits >> (56 - 8 * i));
    }
    compress(h->state, h->block);
    for (unsigned i = 0; i < 32; i++) {
        digest[i] = (uint8_t)(h->state[i / 4] >> (24 - 8 * (i % 4)));
    }
}
