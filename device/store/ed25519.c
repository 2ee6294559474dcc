// SPDX-License-Identifier: MIT
// [S]B - [h]A in one ladder over signed digits of both scalars, then its encoding against R.
//
// No library that could be had lets go half-way, and a check that does not is as long as many
// periods of the tasks beside it. What is own here is arithmetic with public numbers.
#include "store/ed25519.h"

#include <string.h>

#include "tac_error.h"

enum {
    KEY_WIDTH = 4,  // digits of h: odd, below 2^3, so TAC_ED25519_TABLE points of the key
    BASE_WIDTH = 5, // digits of S: odd, below 2^4
    BASE_POINTS = 8,
    LADDER_BITS = 24, // a step
};

enum stage { HASHING, KEY, LADDER, ENCODING, GOOD, BAD };

typedef struct base_point { // of z = 1
    tac_fe_t plus, minus, t2d;
} base_point_t;

static const tac_fe_t D = {{0x135978a3, 0x75eb4dca, 0x4141d8ab, 0x00700a4d, 0x7779e898, 0x8cc74079,
                            0x2b6ffe73, 0x52036cee}};
static const tac_fe_t D2 = {{0x26b2f159, 0xebd69b94, 0x8283b156, 0x00e0149a, 0xeef3d130, 0x198e80f2,
                             0x56dffce7, 0x2406d9dc}}; // 2d
static const tac_fe_t ROOT_OF_MINUS_1 = {{0x4a0ea0b0, 0xc4ee1b27, 0xad2fe478, 0x2f431806,
                                          0x3dfbd7a7, 0x2b4d0099, 0x4fc1df0b, 0x2b832480}};
static const tac_fe_t ONE = {{1}};
// L, the order of B: 2^252 + 27742317777372353535851937790883648493.
static const uint32_t ORDER[8] = {
    0x5cf5d3ed, 0x5812631a, 0xa2f79cd6, 0x14def9de, 0, 0, 0, 0x10000000,
};
// B, 3B, 5B ... 15B. tests/unit/test_ed25519.py computes them again.
static const base_point_t BASE[BASE_POINTS] = {
    {
        {{0xf58c3b85, 0x2fbc93c6, 0xfb8c0e19, 0xcf932dc6, 0x643d42c2, 0x270b4898, 0x33d4ba65,
          0x07cf9d3a}},
        {{0xd740913e, 0x9d103905, 0xd140beb3, 0xfd399f05, 0x688f8a09, 0xa5c18434, 0x98f81267,
          0x44fd2f92}},
        {{0x877aaa68, 0xabc91205, 0xccaac49e, 0x26d9e823, 0xdd43598c, 0x5a1b7dcb, 0x9f0c65a8,
          0x6f117b68}},
    },
    {
        {{0x4cee9730, 0xaf25b0a8, 0xe8864b8a, 0x025a8430, 0x9f016732, 0xc11b5002, 0x9a80f8f4,
          0x7a164e1b}},
        {{0xa4fcd265, 0x56611fe8, 0xe5c1ba7d, 0x3bd353fd, 0x214bd6bd, 0x8131f31a, 0x555bda62,
          0x2ab91587}},
        {{0x0dd0d889, 0x14ae933f, 0x1c35da62, 0x58942322, 0x8cf2db4c, 0xd170e545, 0x12b9b4c6,
          0x5a2826af}},
    },
    {
        {{0x08a5bb33, 0xa212bc44, 0xc75eed02, 0x8d5048c3, 0x5abfec44, 0xdd1beb0c, 0x46e206eb,
          0x2945ccf1}},
        {{0xa447d6ba, 0x7f9182c3, 0x4b2729b7, 0xd50014d1, 0xb864a087, 0xe33cf11c, 0xeb1b55f3,
          0x154a7e73}},
        {{0x812a8285, 0xbcbbdbf1, 0xd0bdd1fc, 0x270e0807, 0x1bbda72d, 0xb41b670b, 0x6b3bb69a,
          0x43aabe69}},
    },
    {
        {{0x944ea3bf, 0x6b1a5cd0, 0xb39dc0d2, 0x7470353a, 0x28542e49, 0x71b25282, 0x283c927e,
          0x461bea69}},
        {{0xaa3221b1, 0xba6f2c9a, 0x3bba23a7, 0x6ca02153, 0x92192c3a, 0x9dea764f, 0x2e5317e0,
          0x1d6edd5d}},
        {{0x01b8b3a2, 0xf1836dc8, 0x053ea49a, 0xb3035f47, 0x5877adf3, 0x529c41ba, 0x6a0f90a7,
          0x7a9fbb1c}},
    },
    {
        {{0xa6a8632f, 0x9b2e678a, 0x51bc46c5, 0xa6509e6f, 0xc686f5b5, 0xceb233c9, 0x8add7f59,
          0x34b9ed33}},
        {{0x039d8064, 0xf36e217e, 0xf520419b, 0x98a081b6, 0xe75eb044, 0x96cbc608, 0xfadc9c8f,
          0x49c05a51}},
        {{0x9045af1b, 0x06b4e8bf, 0xa719d22f, 0xe2ff83e8, 0x93d4cf16, 0xaaf6fc29, 0x1b008b06,
          0x73c17202}},
    },
    {
        {{0x8a802ade, 0x2fbf0084, 0x02302e27, 0xe5d9fecf, 0x17703406, 0x113e8471, 0x546d8faf,
          0x4275aae2}},
        {{0x49864348, 0x315f5b02, 0x77088381, 0x3ed6b369, 0x6a8deb95, 0xa3a07555, 0x29d5c77f,
          0x18ab5980}},
        {{0xfd6089e9, 0xd82b2cc5, 0x3282e4a4, 0x031eb4a1, 0xb51a8622, 0x44311199, 0xb53df948,
          0x3dc65522}},
    },
    {
        {{0xa2007f6d, 0xbf70c222, 0xb5bcdedb, 0xbf84b39a, 0xfb07ba07, 0x537a0e12, 0xc346f241,
          0x234fd7ee}},
        {{0x327fbf93, 0x506f013b, 0x9b776f6b, 0xaefcebc9, 0xaaad5968, 0x9d12b232, 0x176024a7,
          0x0267882d}},
        {{0x732ea378, 0x5360a119, 0xdf8dd471, 0x2437e6b1, 0x91a7e533, 0xa2ef37f8, 0xaa097863,
          0x497ba6fd}},
    },
    {
        {{0x13cfeaa0, 0x24cecc03, 0x189c246d, 0x8648c28d, 0xc1f2d4d0, 0x2dbdbdfa, 0xf12de72b,
          0x61e22917}},
        {{0x468ccf0b, 0x040bcd86, 0x2a9910d6, 0xd3829ba4, 0x07b25192, 0x75083008, 0x18d05ebf,
          0x43b5cd42}},
        {{0x9bd0b516, 0x5d9a762f, 0x373fdeee, 0xeb38af4e, 0x93d64270, 0x032e5a7d, 0x0ae4d842,
          0x511d6121}},
    },
};

static int words_less(const uint32_t a[8], const uint32_t b[8]) {
    for (unsigned i = 8; i-- > 0;) {
        if (a[i] != b[i]) {
            return a[i] < b[i];
        }
    }
    return 0;
}

// ---- scalars

// n - q * L modulo 2^256
static void subtract_order(uint32_t n[8], uint32_t q) {
    uint32_t carry = 0;
    int64_t borrow = 0;
    for (unsigned i = 0; i < 8; i++) {
        const uint64_t product = (uint64_t)q * ORDER[i] + carry;
        carry = (uint32_t)(product >> 32);
        borrow += (int64_t)n[i] - (uint32_t)product;
        n[i] = (uint32_t)borrow;
        borrow >>= 32;
    }
}

static void add_order(uint32_t n[8]) {
    uint64_t carry = 0;
    for (unsigned i = 0; i < 8; i++) {
        carry += (uint64_t)n[i] + ORDER[i];
        n[i] = (uint32_t)carry;
        carry >>= 32;
    }
}

// The digest, a number of 512 bits, modulo L: long division by words. With r < L and q the bits of
// 2^32 r + w from 252 on, q * L misses that number by less than L below and 2^157 above.
static void reduce(uint32_t r[8], const uint8_t digest[64]) {
    memset(r, 0, 8 * sizeof *r);
    for (unsigned i = 16; i-- > 0;) {
        const uint8_t *at = digest + 4 * i;
        const uint32_t q = r[7] >> 28 ? UINT32_MAX : r[7] << 4 | r[6] >> 28;
        memmove(r + 1, r, 7 * sizeof *r);
        r[0] = at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
        subtract_order(r, q);
        if (r[7] >> 31) {
            add_order(r);
        }
    }
}

// n = sum of digit[i] * 2^i, each digit 0 or odd and below 2^(width - 1); of any `width` digits at
// most one is not 0. n < 2^253.
static void recode(int8_t digit[TAC_ED25519_BITS], const uint32_t n[8], unsigned width) {
    const unsigned window = 1u << width;
    unsigned carry = 0;
    memset(digit, 0, TAC_ED25519_BITS);
    for (unsigned i = 0; i < TAC_ED25519_BITS;) {
        const unsigned bit = n[i / 32] >> (i % 32) & 1;
        if (bit == carry) {
            i++;
            continue;
        }
        unsigned value = carry;
        for (unsigned j = 0; j < width && i + j < TAC_ED25519_BITS; j++) {
            value += (n[(i + j) / 32] >> ((i + j) % 32) & 1) << j;
        }
        carry = value >> (width - 1) & 1;
        digit[i] = (int8_t)((int)value - (carry ? (int)window : 0));
        i += width;
    }
}

// ---- points. Additions and doublings end in the same four products.

static void finish(tac_point_t *r, const tac_fe_t *e, const tac_fe_t *f, const tac_fe_t *g,
                   const tac_fe_t *h, int with_t) {
    tac_fe_mul(&r->x, e, f);
    tac_fe_mul(&r->y, g, h);
    tac_fe_mul(&r->z, f, g);
    if (with_t) { // what a doubling comes after needs none
        tac_fe_mul(&r->t, e, h);
    }
}

// dbl-2008-hwcd, all four coordinates negated
static void twice(tac_point_t *r, const tac_point_t *p, int with_t) {
    tac_fe_t e, f, g, h;
    tac_fe_mul(&f, &p->x, &p->x);
    tac_fe_mul(&g, &p->y, &p->y);
    tac_fe_add(&h, &f, &g);
    tac_fe_sub(&g, &g, &f);
    tac_fe_mul(&f, &p->z, &p->z);
    tac_fe_add(&f, &f, &f);
    tac_fe_sub(&f, &f, &g);
    tac_fe_add(&e, &p->x, &p->y);
    tac_fe_mul(&e, &e, &e);
    tac_fe_sub(&e, &e, &h);
    finish(r, &e, &f, &g, &h, with_t);
}

// add-2008-hwcd-3, with the second point as a sum's right-hand side; z2 NULL for 2z = 2. For the
// negative of that point plus and minus change places and t2d its sign.
static void add(tac_point_t *r, const tac_point_t *p, const tac_fe_t *plus, const tac_fe_t *minus,
                const tac_fe_t *z2, const tac_fe_t *t2d, int is_negative, int with_t) {
    tac_fe_t e, f, g, h;
    tac_fe_sub(&e, &p->y, &p->x);
    tac_fe_mul(&e, &e, is_negative ? plus : minus);
    tac_fe_add(&h, &p->y, &p->x);
    tac_fe_mul(&h, &h, is_negative ? minus : plus);
    tac_fe_mul(&f, &p->t, t2d);
    if (z2) {
        tac_fe_mul(&g, &p->z, z2);
    } else {
        tac_fe_add(&g, &p->z, &p->z);
    }
    tac_fe_t *const low = is_negative ? &g : &f, *const high = is_negative ? &f : &g;
    const tac_fe_t c = f, d = g;
    tac_fe_sub(low, &d, &c);
    tac_fe_add(high, &d, &c);
    const tac_fe_t a = e;
    tac_fe_sub(&e, &h, &a);
    tac_fe_add(&h, &h, &a);
    finish(r, &e, &f, &g, &h, with_t);
}

static void cache(tac_cached_point_t *r, const tac_point_t *p) {
    tac_fe_add(&r->plus, &p->y, &p->x);
    tac_fe_sub(&r->minus, &p->y, &p->x);
    tac_fe_add(&r->z2, &p->z, &p->z);
    tac_fe_mul(&r->t2d, &p->t, &D2);
}

static int is_zero(const tac_fe_t *a) {
    static const uint8_t zero[TAC_FE_BYTES];
    uint8_t bytes[TAC_FE_BYTES];
    tac_fe_pack(bytes, a);
    return memcmp(bytes, zero, sizeof zero) == 0;
}

static int equals(const tac_fe_t *a, const tac_fe_t *b) {
    tac_fe_t difference;
    tac_fe_sub(&difference, a, b);
    return is_zero(&difference);
}

// The negative of the point that the key encodes (RFC 8032 section 5.1.3). 0 when it encodes none.
static int decode_negative(tac_point_t *r, const uint8_t key[32]) {
    uint8_t bytes[TAC_FE_BYTES];
    tac_fe_t u, v, x;
    memcpy(bytes, key, sizeof bytes);
    bytes[31] &= 0x7f;
    tac_fe_load(&r->y, bytes);
    tac_fe_pack(bytes, &r->y);
    bytes[31] |= key[31] & 0x80;
    if (memcmp(bytes, key, sizeof bytes) != 0) {
        return 0; // y >= p
    }
    tac_fe_mul(&v, &r->y, &r->y);
    tac_fe_sub(&u, &v, &ONE);
    tac_fe_mul(&v, &v, &D);
    tac_fe_add(&v, &v, &ONE); // x^2 = u / v
    tac_fe_mul(&x, &v, &v);
    tac_fe_mul(&x, &x, &v);
    tac_fe_mul(&r->x, &x, &u); // u v^3
    tac_fe_mul(&x, &x, &x);
    tac_fe_mul(&x, &x, &v);
    tac_fe_mul(&x, &x, &u); // u v^7
    tac_fe_root(&x, &x);
    tac_fe_mul(&x, &x, &r->x);
    tac_fe_mul(&v, &v, &x);
    tac_fe_mul(&v, &v, &x);
    if (!equals(&v, &u)) {
        tac_fe_add(&v, &v, &u);
        if (!is_zero(&v)) {
            return 0; // u / v is no square
        }
        tac_fe_mul(&x, &x, &ROOT_OF_MINUS_1);
    }
    tac_fe_pack(bytes, &x);
    if ((bytes[0] & 1) == key[31] >> 7) {
        static const tac_fe_t zero;
        tac_fe_sub(&x, &zero, &x);
    }
    r->x = x;
    r->z = ONE;
    tac_fe_mul(&r->t, &r->x, &r->y);
    return 1;
}

// [8]A = 0 for the eight points of small order, under which anybody's signatures hold.
static int is_small_order(const tac_point_t *p) {
    tac_point_t r = *p;
    for (unsigned i = 0; i < 3; i++) {
        twice(&r, &r, 0);
    }
    return is_zero(&r.x);
}

// ---- stages, each a step

static enum stage recode_scalars(tac_ed25519_t *c) {
    uint8_t digest[64];
    uint32_t n[8];
    tac_sha512_final(&c->u.hash, digest);
    reduce(n, digest);
    recode(c->h_digit, n, KEY_WIDTH);
    tac_fe_t s;
    tac_fe_load(&s, c->signature + 32);
    if (!words_less(s.word, ORDER)) {
        return BAD;
    }
    recode(c->s_digit, s.word, BASE_WIDTH);
    return KEY;
}

static enum stage take_key(tac_ed25519_t *c) {
    tac_point_t point, square;
    if (!decode_negative(&point, c->key) || is_small_order(&point)) {
        return BAD;
    }
    tac_cached_point_t *odd = c->u.odd;
    twice(&square, &point, 1);
    cache(&odd[0], &point);
    for (unsigned i = 1; i < TAC_ED25519_TABLE; i++) {
        const tac_cached_point_t *last = &odd[i - 1];
        add(&point, &square, &last->plus, &last->minus, &last->z2, &last->t2d, 0, 1);
        cache(&odd[i], &point);
    }
    static const tac_point_t neutral = {.y = {{1}}, .z = {{1}}};
    c->sum = neutral;
    c->position = TAC_ED25519_BITS - 1;
    while (c->position >= 0 && !c->h_digit[c->position] && !c->s_digit[c->position]) {
        c->position--;
    }
    return LADDER;
}

static unsigned index_of(int digit) {
    return (unsigned)(digit < 0 ? -digit : digit) / 2;
}

static enum stage climb(tac_ed25519_t *c) {
    for (unsigned left = LADDER_BITS; left > 0 && c->position >= 0; left--, c->position--) {
        const int h = c->h_digit[c->position], s = c->s_digit[c->position];
        twice(&c->sum, &c->sum, h || s);
        if (h) {
            const tac_cached_point_t *p = &c->u.odd[index_of(h)];
            add(&c->sum, &c->sum, &p->plus, &p->minus, &p->z2, &p->t2d, h < 0, s != 0);
        }
        if (s) {
            const base_point_t *p = &BASE[index_of(s)];
            add(&c->sum, &c->sum, &p->plus, &p->minus, NULL, &p->t2d, s < 0, 0);
        }
    }
    return c->position < 0 ? ENCODING : LADDER;
}

static enum stage compare(tac_ed25519_t *c) {
    tac_fe_t inverse, x, y;
    uint8_t bytes[TAC_FE_BYTES], sign[TAC_FE_BYTES];
    tac_fe_invert(&inverse, &c->sum.z);
    tac_fe_mul(&x, &c->sum.x, &inverse);
    tac_fe_mul(&y, &c->sum.y, &inverse);
    tac_fe_pack(sign, &x);
    tac_fe_pack(bytes, &y);
    bytes[31] |= (uint8_t)(sign[0] << 7);
    return memcmp(bytes, c->signature, sizeof bytes) == 0 ? GOOD : BAD;
}

void tac_ed25519_begin(tac_ed25519_t *check, const uint8_t signature[64], const uint8_t key[32]) {
    memcpy(check->signature, signature, sizeof check->signature);
    memcpy(check->key, key, sizeof check->key);
    check->stage = HASHING;
    tac_sha512_init(&check->u.hash);
    tac_sha512_update(&check->u.hash, signature, 32);
    tac_sha512_update(&check->u.hash, key, 32);
}

void tac_ed25519_update(tac_ed25519_t *check, const uint8_t *message, size_t size) {
    if (check->stage == HASHING) {
        tac_sha512_update(&check->u.hash, message, size);
    }
}

int tac_ed25519_step(tac_ed25519_t *check) {
    switch (check->stage) {
    case HASHING:
        check->stage = (uint8_t)recode_scalars(check);
        break;
    case KEY:
        check->stage = (uint8_t)take_key(check);
        break;
    case LADDER:
        check->stage = (uint8_t)climb(check);
        break;
    case ENCODING:
        check->stage = (uint8_t)compare(check);
        break;
    case GOOD:
        return TAC_OK;
    default:
        return TAC_ERR_PKG_SIGNATURE;
    }
    return check->stage == GOOD  ? TAC_OK
           : check->stage == BAD ? TAC_ERR_PKG_SIGNATURE
                                 : TAC_ED25519_MORE;
}

int tac_ed25519_check(const uint8_t signature[64], const uint8_t key[32], const uint8_t *message,
                      size_t size) {
    tac_ed25519_t check;
    int rc;
    tac_ed25519_begin(&check, signature, key);
    tac_ed25519_update(&check, message, size);
    do {
        rc = tac_ed25519_step(&check);
    } while (rc == TAC_ED25519_MORE);
    return rc;
}
