// SPDX-License-Identifier: MIT
// Saturated 32-bit words: 2^256 = 38 (mod p) folds a product in one pass, and UMAAL, two additions
// in a multiplication, needs neither flags nor spare bits.
#include "store/field25519.h"

#include <string.h>

// hi:lo = a * b + lo + hi, which always fits.
#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__)
static inline void umaal(uint32_t *lo, uint32_t *hi, uint32_t a, uint32_t b) {
    __asm__("umaal %0, %1, %2, %3" : "+r"(*lo), "+r"(*hi) : "r"(a), "r"(b));
}
#else
static inline void umaal(uint32_t *lo, uint32_t *hi, uint32_t a, uint32_t b) {
    const uint64_t sum = (uint64_t)a * b + *lo + *hi;
    *lo = (uint32_t)sum;
    *hi = (uint32_t)(sum >> 32);
}
#endif

// Four words of b times all of a, added to t[0..7] and written to t[0..11]. By columns, so that a
// word of t is loaded and stored once for four products and the window of a stays in registers.
static inline __attribute__((always_inline)) void mul_rows(uint32_t *t, const uint32_t *a,
                                                           const uint32_t *b, int adds) {
    const uint32_t b0 = b[0], b1 = b[1], b2 = b[2], b3 = b[3];
    uint32_t c0 = 0, c1 = 0, c2 = 0, c3 = 0;
    uint32_t s = adds ? t[0] : 0;
    umaal(&s, &c0, a[0], b0);
    t[0] = s;
    s = adds ? t[1] : 0;
    umaal(&s, &c0, a[1], b0);
    umaal(&s, &c1, a[0], b1);
    t[1] = s;
    s = adds ? t[2] : 0;
    umaal(&s, &c0, a[2], b0);
    umaal(&s, &c1, a[1], b1);
    umaal(&s, &c2, a[0], b2);
    t[2] = s;
#define COLUMN(k)                                                                                  \
    s = adds ? t[k] : 0;                                                                           \
    umaal(&s, &c0, a[k], b0);                                                                      \
    umaal(&s, &c1, a[(k) - 1], b1);                                                                \
    umaal(&s, &c2, a[(k) - 2], b2);                                                                \
    umaal(&s, &c3, a[(k) - 3], b3);                                                                \
    t[k] = s;
    COLUMN(3)
    COLUMN(4)
    COLUMN(5)
    COLUMN(6)
    COLUMN(7)
#undef COLUMN
    umaal(&c0, &c1, a[7], b1);
    umaal(&c0, &c2, a[6], b2);
    umaal(&c0, &c3, a[5], b3);
    t[8] = c0;
    umaal(&c1, &c2, a[7], b2);
    umaal(&c1, &c3, a[6], b3);
    t[9] = c1;
    umaal(&c2, &c3, a[7], b3);
    t[10] = c2;
    t[11] = c3;
}

void tac_fe_mul(tac_fe_t *r, const tac_fe_t *a, const tac_fe_t *b) {
    uint32_t t[16];
    mul_rows(t, a->word, b->word, 0);
    mul_rows(t + 4, a->word, b->word + 4, 1);
    // The top word first: what it carries beyond bit 255 comes round as 19 times itself, so that
    // one pass upwards ends below 2^256.
    const uint64_t top = (uint64_t)t[15] * 38 + t[7];
    uint32_t carry = (uint32_t)(top >> 31) * 19;
    for (unsigned i = 0; i < 7; i++) {
        umaal(&t[i], &carry, t[i + 8], 38);
        r->word[i] = t[i];
    }
    r->word[7] = ((uint32_t)top & 0x7fffffff) + carry;
}

void tac_fe_add(tac_fe_t *r, const tac_fe_t *a, const tac_fe_t *b) {
    const uint64_t top = (uint64_t)a->word[7] + b->word[7];
    uint32_t carry = (uint32_t)(top >> 31) * 19;
    for (unsigned i = 0; i < 7; i++) {
        uint32_t sum = a->word[i];
        umaal(&sum, &carry, b->word[i], 1);
        r->word[i] = sum;
    }
    r->word[7] = ((uint32_t)top & 0x7fffffff) + carry;
}

void tac_fe_sub(tac_fe_t *r, const tac_fe_t *a, const tac_fe_t *b) {
    // a - b + 4p with 4p = 2^257 - 4 * 19. One 2^255 stays in the top word, where the borrow of the
    // words below finds something; the carry into them is never above 0, so nothing overflows.
    const uint64_t top = (UINT64_C(1) << 33) + a->word[7] - b->word[7];
    int64_t carry = ((int64_t)(top >> 31) - 5) * 19;
    for (unsigned i = 0; i < 7; i++) {
        carry += (int64_t)a->word[i] - b->word[i];
        r->word[i] = (uint32_t)carry;
        carry >>= 32;
    }
    r->word[7] = ((uint32_t)top | 0x80000000) + (uint32_t)carry;
}

static void square_times(tac_fe_t *r, const tac_fe_t *a, unsigned times) {
    tac_fe_mul(r, a, a);
    while (--times > 0) {
        tac_fe_mul(r, r, r);
    }
}

// r = a^(2^250 - 1), a11 = a^11: where both powers below begin (Bernstein, "Curve25519", 2006).
static void power_250(tac_fe_t *r, tac_fe_t *a11, const tac_fe_t *a) {
    tac_fe_t low, x;
    square_times(&low, a, 1);   // 2
    square_times(&x, &low, 2);  // 8
    tac_fe_mul(&x, &x, a);      // 9
    tac_fe_mul(a11, &x, &low);  // 11
    square_times(&low, a11, 1); // 22
    tac_fe_mul(r, &low, &x);    // 2^5 - 1
    square_times(&x, r, 5);
    tac_fe_mul(r, &x, r); // 2^10 - 1
    square_times(&x, r, 10);
    tac_fe_mul(&low, &x, r); // 2^20 - 1
    square_times(&x, &low, 20);
    tac_fe_mul(&x, &x, &low); // 2^40 - 1
    square_times(&x, &x, 10);
    tac_fe_mul(r, &x, r); // 2^50 - 1
    square_times(&x, r, 50);
    tac_fe_mul(&low, &x, r); // 2^100 - 1
    square_times(&x, &low, 100);
    tac_fe_mul(&x, &x, &low); // 2^200 - 1
    square_times(&x, &x, 50);
    tac_fe_mul(r, &x, r);
}

void tac_fe_invert(tac_fe_t *r, const tac_fe_t *a) {
    tac_fe_t a11, x;
    power_250(&x, &a11, a);
    square_times(&x, &x, 5);
    tac_fe_mul(r, &x, &a11); // 2^255 - 32 + 11
}

void tac_fe_root(tac_fe_t *r, const tac_fe_t *a) {
    tac_fe_t a11, x;
    const tac_fe_t base = *a;
    power_250(&x, &a11, &base);
    square_times(&x, &x, 2);
    tac_fe_mul(r, &x, &base); // 2^252 - 4 + 1
}

void tac_fe_load(tac_fe_t *r, const uint8_t bytes[TAC_FE_BYTES]) {
    for (unsigned i = 0; i < TAC_FE_WORDS; i++) {
        const uint8_t *at = bytes + 4 * i;
        r->word[i] = at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
    }
}

// w + small, modulo 2^256
static void add_small(uint32_t w[TAC_FE_WORDS], uint32_t small) {
    for (unsigned i = 0; i < TAC_FE_WORDS; i++) {
        umaal(&w[i], &small, 0, 0);
    }
}

void tac_fe_pack(uint8_t bytes[TAC_FE_BYTES], const tac_fe_t *a) {
    uint32_t low[TAC_FE_WORDS], less[TAC_FE_WORDS];
    memcpy(low, a->word, sizeof low);
    low[7] &= 0x7fffffff;
    add_small(low, (a->word[7] >> 31) * 19); // below 2^255 + 19, which is less than 2p
    memcpy(less, low, sizeof less);
    add_small(less, 19);
    const uint32_t *word = low;
    if (less[7] >> 31) { // low >= p, and less - 2^255 = low - p
        less[7] &= 0x7fffffff;
        word = less;
    }
    for (unsigned i = 0; i < TAC_FE_BYTES; i++) {
        bytes[i] = (uint8_t)(word[i / 4] >> (8 * (i % 4)));
    }
}
