// SPDX-License-Identifier: MIT
// Saturated 32-bit words: 2^256 = 38 (mod p) folds a product in one pass, and UMAAL, two additions
// in a multiplication, needs neither flags nor spare bits.
#include "store/field25519.h"

#include <string.h>

#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__)
#define TAC_UMAAL 1
#else
#define TAC_UMAAL 0
#endif

enum { LOW = 7 }; // words below the top one

#if TAC_UMAAL

// hi:lo = a * b + lo + hi, which always fits.
static inline void umaal(uint32_t *lo, uint32_t *hi, uint32_t a, uint32_t b) {
    __asm__("umaal %0, %1, %2, %3" : "+r"(*lo), "+r"(*hi) : "r"(a), "r"(b));
}

// at[12..27] += at[0..7] * b[0..3]. All fourteen registers: four words of b, a carry for each, a
// window of four words of a, the sum, and one pointer for what is read and written; so a word of
// the sum is loaded and stored once for four products. A compiler does not find this.
static inline void mul_rows(uint32_t *at, const uint32_t *b) {
    register uint32_t *r0 __asm("r0") = at;
    register const uint32_t *r1 __asm("r1") = b;
#define LOAD(w, k) "ldr " #w ", [r0, #4*" #k "]\n ldr r1, [r0, #48+4*" #k "]\n "
#define STORE(k) "str r1, [r0, #48+4*" #k "]\n "
#define COLUMN(w0, w1, w2, w3, k)                                                                  \
    LOAD(w0, k)                                                                                    \
    "umaal r1, r6, " #w0 ", r2\n umaal r1, r7, " #w1 ", r3\n "                                     \
    "umaal r1, r8, " #w2 ", r4\n umaal r1, r9, " #w3 ", r5\n " STORE(k)
    __asm volatile("ldm r1, {r2-r5}\n movs r6, #0\n movs r7, #0\n mov r8, r6\n mov r9, r6\n " //
                   LOAD(r10, 0) "umaal r1, r6, r10, r2\n " STORE(0)                           //
                   LOAD(r11, 1) "umaal r1, r6, r11, r2\n umaal r1, r7, r10, r3\n " STORE(1)   //
                   LOAD(r12, 2) "umaal r1, r6, r12, r2\n umaal r1, r7, r11, r3\n "            //
                                "umaal r1, r8, r10, r4\n " STORE(2)                           //
                   COLUMN(lr, r12, r11, r10, 3)                                               //
                   COLUMN(r10, lr, r12, r11, 4)                                               //
                   COLUMN(r11, r10, lr, r12, 5)                                               //
                   COLUMN(r12, r11, r10, lr, 6)                                               //
                   COLUMN(lr, r12, r11, r10, 7)                                               //
                   "umaal r6, r7, lr, r3\n umaal r6, r8, r12, r4\n umaal r6, r9, r11, r5\n "  //
                   "umaal r7, r8, lr, r4\n umaal r7, r9, r12, r5\n umaal r8, r9, lr, r5\n "   //
                   "add r0, #80\n stm r0, {r6-r9}\n"
                   : "+r"(r0), "+r"(r1)
                   :
                   : "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "lr",
                     "cc", "memory");
#undef COLUMN
#undef STORE
#undef LOAD
}

// r[0..6] = a + b + small, and what is carried
static inline uint32_t add_low(uint32_t *r, const uint32_t *a, const uint32_t *b, uint32_t small) {
    __asm volatile("ldm %[a], {r4-r10}\n adds r4, %[c]\n adcs r5, #0\n adcs r6, #0\n "
                   "adcs r7, r7, #0\n adcs r8, #0\n adcs r9, #0\n adcs r10, #0\n " //
                   "mov %[c], #0\n adc %[c], #0\n "                                //
                   "ldm %[b]!, {r11, r12}\n adds r4, r11\n adcs r5, r12\n "
                   "ldm %[b]!, {r11, r12}\n adcs r6, r11\n adcs r7, r12\n "
                   "ldm %[b]!, {r11, r12}\n adcs r8, r11\n adcs r9, r12\n "
                   "ldr r11, [%[b]]\n adcs r10, r11\n adc %[c], #0\n stm %[r], {r4-r10}\n"
                   : [c] "+&r"(small), [b] "+&r"(b)
                   : [a] "r"(a), [r] "r"(r)
                   : "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "cc", "memory");
    return small;
}

// r[0..6] = a - b - small, and what is borrowed: 0, 1 or 2
static inline uint32_t sub_low(uint32_t *r, const uint32_t *a, const uint32_t *b, uint32_t small) {
    __asm volatile("ldm %[a], {r4-r10}\n subs r4, %[c]\n sbcs r5, #0\n sbcs r6, #0\n "
                   "sbcs r7, r7, #0\n sbcs r8, #0\n sbcs r9, #0\n sbcs r10, #0\n " //
                   "sbc %[c], %[c], %[c]\n "                                       //
                   "ldm %[b]!, {r11, r12}\n subs r4, r11\n sbcs r5, r12\n "
                   "ldm %[b]!, {r11, r12}\n sbcs r6, r11\n sbcs r7, r12\n "
                   "ldm %[b]!, {r11, r12}\n sbcs r8, r11\n sbcs r9, r12\n "
                   "ldr r11, [%[b]]\n sbcs r10, r11\n sbc %[c], #0\n stm %[r], {r4-r10}\n"
                   : [c] "+&r"(small), [b] "+&r"(b)
                   : [a] "r"(a), [r] "r"(r)
                   : "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "cc", "memory");
    return 0 - small;
}

#else

static inline void umaal(uint32_t *lo, uint32_t *hi, uint32_t a, uint32_t b) {
    const uint64_t sum = (uint64_t)a * b + *lo + *hi;
    *lo = (uint32_t)sum;
    *hi = (uint32_t)(sum >> 32);
}

static void mul_rows(uint32_t *at, const uint32_t *b) {
    for (unsigned row = 0; row < 4; row++) {
        uint32_t carry = 0;
        for (unsigned i = 0; i < TAC_FE_WORDS; i++) {
            umaal(&at[12 + row + i], &carry, at[i], b[row]);
        }
        at[12 + TAC_FE_WORDS + row] = carry;
    }
}

static uint32_t add_low(uint32_t *r, const uint32_t *a, const uint32_t *b, uint32_t small) {
    uint64_t carry = small;
    for (unsigned i = 0; i < LOW; i++) {
        carry += (uint64_t)a[i] + b[i];
        r[i] = (uint32_t)carry;
        carry >>= 32;
    }
    return (uint32_t)carry;
}

static uint32_t sub_low(uint32_t *r, const uint32_t *a, const uint32_t *b, uint32_t small) {
    int64_t carry = -(int64_t)small;
    for (unsigned i = 0; i < LOW; i++) {
        carry += (int64_t)a[i] - b[i];
        r[i] = (uint32_t)carry;
        carry >>= 32;
    }
    return (uint32_t)-carry;
}

#endif

void tac_fe_mul(tac_fe_t *r, const tac_fe_t *a, const tac_fe_t *b) {
    // a, four words on, the product: the second half of b finds both four words further.
    static const tac_fe_t zero; // as a copy four instructions, cleared a call of memset()
    uint32_t room[28];
    uint32_t *const t = room + 12;
    memcpy(room, a->word, sizeof a->word);
    memcpy(t, zero.word, sizeof zero.word);
    mul_rows(room, b->word);
    memcpy(room + 4, a->word, sizeof a->word);
    mul_rows(room + 4, b->word + 4);
    // The top word first: what it carries beyond bit 255 comes round as 19 times itself, so that
    // one pass upwards ends below 2^256.
    const uint64_t top = (uint64_t)t[15] * 38 + t[7];
    uint32_t carry = (uint32_t)(top >> 31) * 19;
#pragma GCC unroll 7
    for (unsigned i = 0; i < LOW; i++) {
        uint32_t sum = t[i];
        umaal(&sum, &carry, t[i + 8], 38);
        r->word[i] = sum;
    }
    r->word[7] = ((uint32_t)top & 0x7fffffff) + carry;
}

void tac_fe_add(tac_fe_t *r, const tac_fe_t *a, const tac_fe_t *b) {
    const uint64_t top = (uint64_t)a->word[7] + b->word[7];
    const uint32_t carry = add_low(r->word, a->word, b->word, (uint32_t)(top >> 31) * 19);
    r->word[7] = ((uint32_t)top & 0x7fffffff) + carry;
}

void tac_fe_sub(tac_fe_t *r, const tac_fe_t *a, const tac_fe_t *b) {
    // a - b + 4p with 4p = 2^257 - 4 * 19. One 2^255 stays in the top word, where the borrow of the
    // words below finds something; what goes down to them is never above 0, so nothing overflows.
    const uint64_t top = (UINT64_C(1) << 33) + a->word[7] - b->word[7];
    const uint32_t small = (5 - (uint32_t)(top >> 31)) * 19;
    const uint32_t borrow = sub_low(r->word, a->word, b->word, small);
    r->word[7] = ((uint32_t)top | 0x80000000) - borrow;
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
