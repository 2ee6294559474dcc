// SPDX-License-Identifier: MIT
// Heads and texts of CBOR (RFC 8949) as protocol/SPEC.md section "CBOR profile" wants them. No
// values: bindings build theirs, stream frames are written from the statistics.
#ifndef TAC_LINK_CBOR_H
#define TAC_LINK_CBOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tac_cbor_major {
    TAC_CBOR_UINT,
    TAC_CBOR_NEGATIVE,
    TAC_CBOR_BYTES,
    TAC_CBOR_TEXT,
    TAC_CBOR_ARRAY,
    TAC_CBOR_MAP,
    TAC_CBOR_TAG,
    TAC_CBOR_SIMPLE
};

enum { TAC_CBOR_HEAD_MAX = 9, TAC_CBOR_DEPTH_MAX = 8 };

enum tac_cbor_error {
    TAC_CBOR_ENDS_EARLY = -1,
    TAC_CBOR_INDEFINITE = -2, // or a reserved length
    TAC_CBOR_NOT_SHORTEST = -3,
};

typedef struct tac_cbor_head {
    uint64_t argument; // of major type 7: the additional information itself
    unsigned major;    // enum tac_cbor_major
} tac_cbor_head_t;

// Writes the shortest head; returns its bytes, 1 to TAC_CBOR_HEAD_MAX.
size_t tac_cbor_put_head(uint8_t *out, unsigned major, uint64_t argument);
// Reads a head from the `size` bytes at data; returns its bytes, or enum tac_cbor_error. canonical:
// takes the shortest form only.
int tac_cbor_get_head(const uint8_t *data, size_t size, bool canonical, tac_cbor_head_t *head);
// Whether these bytes are UTF-8 without overlong forms, surrogates and points beyond U+10FFFF.
bool tac_cbor_is_text(const uint8_t *data, size_t size);

#endif
