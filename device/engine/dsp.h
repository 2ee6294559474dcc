// SPDX-License-Identifier: MIT
// Armv7E-M DSP instructions as inline functions, each with an exact C twin for every other core.
//
// The packed kernels are written against these, so that one source is fast on an M4 and testable on
// a PC. TAC_DSP chooses the instruction; whoever builds for a core with the DSP extension gets it.
#ifndef TAC_ENGINE_DSP_H
#define TAC_ENGINE_DSP_H

#include <stdint.h>
#include <string.h>

#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__)
#define TAC_DSP 1
#else
#define TAC_DSP 0
#endif

// Little-endian words at any address: one LDR or STR on an M4.
static inline uint32_t tac_load32(const void *at) {
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}
static inline void tac_store32(void *at, uint32_t word) {
    memcpy(at, &word, sizeof word);
}

#if TAC_DSP
#define TAC_DSP_2(name, mnemonic)                                                                  \
    static inline int32_t name(int32_t a, int32_t b, int32_t c) {                                  \
        int32_t d;                                                                                 \
        __asm__(mnemonic " %0, %1, %2, %3" : "=r"(d) : "r"(a), "r"(b), "r"(c));                    \
        return d;                                                                                  \
    }
TAC_DSP_2(tac_smlad, "smlad")   // c + a.lo * b.lo + a.hi * b.hi
TAC_DSP_2(tac_smmla, "smmla")   // high word of (c << 32) + a * b
TAC_DSP_2(tac_smmlar, "smmlar") // the same + 2^31 before the low word is dropped
#undef TAC_DSP_2

// Bytes 0 and 2 (1 and 3 for _odd), sign-extended, as two halfwords.
static inline uint32_t tac_sxtb16(uint32_t a) {
    uint32_t d;
    __asm__("sxtb16 %0, %1" : "=r"(d) : "r"(a));
    return d;
}
static inline uint32_t tac_sxtb16_odd(uint32_t a) {
    uint32_t d;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(d) : "r"(a));
    return d;
}
// Adds them to the halfwords of sum.
static inline uint32_t tac_sxtab16(uint32_t sum, uint32_t a) {
    uint32_t d;
    __asm__("sxtab16 %0, %1, %2" : "=r"(d) : "r"(sum), "r"(a));
    return d;
}
static inline uint32_t tac_sxtab16_odd(uint32_t sum, uint32_t a) {
    uint32_t d;
    __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(d) : "r"(sum), "r"(a));
    return d;
}
// Low halfwords of a and b; high halfwords of a and b. a ends up below.
static inline uint32_t tac_pack_low(uint32_t a, uint32_t b) {
    uint32_t d;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(d) : "r"(a), "r"(b));
    return d;
}
static inline uint32_t tac_pack_high(uint32_t a, uint32_t b) {
    uint32_t d;
    __asm__("pkhtb %0, %1, %2, asr #16" : "=r"(d) : "r"(b), "r"(a));
    return d;
}
// The larger of each pair of signed bytes.
static inline uint32_t tac_max4(uint32_t a, uint32_t b) {
    uint32_t d;
    __asm__("ssub8 %0, %1, %2\n\tsel %0, %1, %2" : "=&r"(d) : "r"(a), "r"(b));
    return d;
}
// By how much each halfword of a is above that of b, unsigned; 0 where it is not.
static inline uint32_t tac_above16(uint32_t a, uint32_t b) {
    uint32_t d;
    __asm__("uqsub16 %0, %1, %2" : "=r"(d) : "r"(a), "r"(b));
    return d;
}
static inline int32_t tac_ssat8(int32_t a) {
    int32_t d;
    __asm__("ssat %0, #8, %1" : "=r"(d) : "r"(a));
    return d;
}
#else
static inline int32_t tac_smlad(int32_t a, int32_t b, int32_t c) {
    int32_t low = (int16_t)a * (int16_t)b, high = (a >> 16) * (b >> 16);
    return (int32_t)((uint32_t)c + (uint32_t)low + (uint32_t)high);
}
static inline int32_t tac_smmla(int32_t a, int32_t b, int32_t c) {
    uint64_t sum = ((uint64_t)(uint32_t)c << 32) + (uint64_t)((int64_t)a * b);
    return (int32_t)(uint32_t)(sum >> 32);
}
static inline int32_t tac_smmlar(int32_t a, int32_t b, int32_t c) {
    uint64_t sum = ((uint64_t)(uint32_t)c << 32) + (uint64_t)((int64_t)a * b) + (1u << 31);
    return (int32_t)(uint32_t)(sum >> 32);
}
static inline uint32_t tac_sxtb16(uint32_t a) {
    return (uint32_t)(uint16_t)(int8_t)a | (uint32_t)(int8_t)(a >> 16) << 16;
}
static inline uint32_t tac_sxtb16_odd(uint32_t a) {
    return tac_sxtb16(a >> 8);
}
static inline uint32_t tac_sxtab16(uint32_t sum, uint32_t a) {
    uint32_t x = tac_sxtb16(a);
    return ((sum + x) & 0xFFFFu) | ((sum & 0xFFFF0000u) + (x & 0xFFFF0000u));
}
static inline uint32_t tac_sxtab16_odd(uint32_t sum, uint32_t a) {
    return tac_sxtab16(sum, a >> 8);
}
static inline uint32_t tac_pack_low(uint32_t a, uint32_t b) {
    return (a & 0xFFFFu) | b << 16;
}
static inline uint32_t tac_pack_high(uint32_t a, uint32_t b) {
    return a >> 16 | (b & 0xFFFF0000u);
}
static inline uint32_t tac_max4(uint32_t a, uint32_t b) {
    uint32_t d = 0;
    for (uint32_t i = 0; i < 32; i += 8) {
        d |= ((int8_t)(a >> i) >= (int8_t)(b >> i) ? a : b) & 0xFFu << i;
    }
    return d;
}
static inline uint32_t tac_above16(uint32_t a, uint32_t b) {
    const uint32_t low = a & 0xFFFFu, high = a >> 16;
    return (low > (b & 0xFFFFu) ? low - (b & 0xFFFFu) : 0) | (high > b >> 16 ? high - (b >> 16) : 0)
                                                                 << 16;
}
static inline int32_t tac_ssat8(int32_t a) {
    return a < INT8_MIN ? INT8_MIN : a > INT8_MAX ? INT8_MAX : a;
}
#endif

#endif
