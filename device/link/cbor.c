// SPDX-License-Identifier: MIT
#include "link/cbor.h"

enum { SHORT_MAX = 23, ONE_BYTE = 24, EIGHT_BYTES = 27 };

size_t tac_cbor_put_head(uint8_t *out, unsigned major, uint64_t argument) {
    const unsigned type = major << 5;
    if (argument <= SHORT_MAX) {
        out[0] = (uint8_t)(type | (unsigned)argument);
        return 1;
    }
    unsigned code = ONE_BYTE, bytes = 1;
    while (code < EIGHT_BYTES && argument >> (8 * bytes) != 0) {
        code++;
        bytes *= 2;
    }
    out[0] = (uint8_t)(type | code);
    for (unsigned i = bytes; i > 0; i--) {
        out[i] = (uint8_t)argument;
        argument >>= 8;
    }
    return 1 + bytes;
}

int tac_cbor_get_head(const uint8_t *data, size_t size, bool canonical, tac_cbor_head_t *head) {
    if (size == 0) {
        return TAC_CBOR_ENDS_EARLY;
    }
    const unsigned code = data[0] & 31u;
    head->major = data[0] >> 5;
    head->argument = code;
    if (code <= SHORT_MAX || head->major == TAC_CBOR_SIMPLE) {
        return 1;
    }
    if (code > EIGHT_BYTES) {
        return TAC_CBOR_INDEFINITE;
    }
    const unsigned bytes = 1u << (code - ONE_BYTE);
    if (size - 1 < bytes) {
        return TAC_CBOR_ENDS_EARLY;
    }
    uint64_t argument = 0;
    for (unsigned i = 1; i <= bytes; i++) {
        argument = argument << 8 | data[i];
    }
    const uint64_t least = bytes == 1 ? SHORT_MAX + 1u : (uint64_t)1 << (4 * bytes);
    if (canonical && argument < least) {
        return TAC_CBOR_NOT_SHORTEST;
    }
    head->argument = argument;
    return (int)(1 + bytes);
}

// RFC 3629, section 4: after the lead byte, `more` bytes of which the first lies in [low, high].
static unsigned lead(uint8_t byte, uint8_t *low, uint8_t *high) {
    *low = byte == 0xe0 ? 0xa0 : byte == 0xf0 ? 0x90 : 0x80;
    *high = byte == 0xed ? 0x9f : byte == 0xf4 ? 0x8f : 0xbf;
    return byte >= 0xc2 && byte <= 0xdf   ? 1
           : byte >= 0xe0 && byte <= 0xef ? 2
           : byte >= 0xf0 && byte <= 0xf4 ? 3
                                          : 0;
}

bool tac_cbor_is_text(const uint8_t *data, size_t size) {
    for (size_t at = 0; at < size; at++) {
        if (data[at] < 0x80) {
            continue;
        }
        uint8_t low, high;
        const unsigned more = lead(data[at], &low, &high);
        if (more == 0 || size - at <= more) {
            return false;
        }
        for (unsigned i = 1; i <= more; i++) {
            at++;
            if (data[at] < low || data[at] > high) {
                return false;
            }
            low = 0x80, high = 0xbf;
        }
    }
    return true;
}
