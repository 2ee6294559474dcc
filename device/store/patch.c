// SPDX-License-Identifier: MIT
#include "store/patch.h"

#include <string.h>

#include "tac_error.h"

enum { LITERAL = 0, COPY = 1, DIFF = 2, SEEK = 3 };
enum { HEAD_BYTES_MAX = 4, CHANGE_BITS_MAX = 7 };
enum { ONES_MAX = 24 }; // read at once

void tac_patch_start(tac_patch_t *p, uint32_t offset) {
    *p = (tac_patch_t){.cursor = offset};
}

// LEB128 of at most 28 bits, in its shortest form.
static int read_head(tac_patch_t *p, const tac_patch_source_t *s, uint32_t *value) {
    *value = 0;
    for (unsigned i = 0; i < HEAD_BYTES_MAX && p->at < s->ops_bytes; i++) {
        const uint8_t byte = s->ops[p->at++];
        *value |= (uint32_t)(byte & 0x7F) << (7 * i);
        if (byte < 0x80) {
            return byte == 0 && i > 0 ? TAC_ERR_ARGUMENT : TAC_OK;
        }
    }
    return TAC_ERR_ARGUMENT;
}

// The next 25 bits or more, from the highest on; zeros behind the end.
static uint32_t peek(const tac_patch_t *p, const tac_patch_source_t *s) {
    uint32_t window = 0;
    for (uint32_t i = 0; i < 4; i++) {
        window = window << 8 | (p->at + i < s->ops_bytes ? s->ops[p->at + i] : 0);
    }
    return window << p->bit;
}

static int skip(tac_patch_t *p, const tac_patch_source_t *s, uint32_t bits) {
    const uint32_t to = p->bit + bits;
    p->at += to >> 3;
    p->bit = to & 7;
    return p->at + (p->bit > 0) > s->ops_bytes ? TAC_ERR_ARGUMENT : TAC_OK;
}

// A Rice code: ones, a zero, then `bits` low bits, the highest first. TAC_ERR_ARGUMENT when it is
// more than `most` (< 2^26).
static int read_rice(tac_patch_t *p, const tac_patch_source_t *s, unsigned bits, uint32_t most) {
    uint32_t value = 0, ones;
    do {
        // With a zero at the end, so that there is one to count up to.
        ones = (uint32_t)__builtin_clz(~(peek(p, s) & ~0xFFu));
        value += ones;
        if (value > most >> bits || skip(p, s, ones < ONES_MAX ? ones + 1 : ones) != TAC_OK) {
            return TAC_ERR_ARGUMENT;
        }
    } while (ones == ONES_MAX);
    if (bits > 0) {
        value = value << bits | peek(p, s) >> (32 - bits);
    }
    return value > most                 ? TAC_ERR_ARGUMENT
           : skip(p, s, bits) != TAC_OK ? TAC_ERR_ARGUMENT
                                        : (int)value;
}

// How many equal bytes come next and how the one behind them changed.
static int read_change(tac_patch_t *p, const tac_patch_source_t *s) {
    const int same = read_rice(p, s, p->same_bits, p->left - 1);
    const int size = same < 0 ? same : read_rice(p, s, p->change_bits, UINT8_MAX);
    if (size < 0) {
        return size;
    }
    p->same = (uint32_t)same;
    const int magnitude = (size >> 1) + 1;
    p->change = (uint8_t)(size & 1 ? -magnitude : magnitude);
    return TAC_OK;
}

static int open_diff(tac_patch_t *p, const tac_patch_source_t *s) {
    if (p->at == s->ops_bytes) {
        return TAC_ERR_ARGUMENT;
    }
    const uint8_t bits = s->ops[p->at++];
    p->same_bits = bits & 15;
    p->change_bits = bits >> 4;
    return p->change_bits > CHANGE_BITS_MAX ? TAC_ERR_ARGUMENT : read_change(p, s);
}

static int seek(tac_patch_t *p, const tac_patch_source_t *s, uint32_t distance) {
    const int32_t step = distance & 1 ? -(int32_t)(distance >> 1) - 1 : (int32_t)(distance >> 1);
    const int64_t to = (int64_t)p->cursor + step;
    if (to < 0 || to > s->base_bytes) {
        return TAC_ERR_ARGUMENT;
    }
    p->cursor = (uint32_t)to;
    return TAC_OK;
}

static int open_op(tac_patch_t *p, const tac_patch_source_t *s) {
    uint32_t head;
    int rc = read_head(p, s, &head);
    if (rc != TAC_OK) {
        return rc;
    }
    p->kind = head & 3;
    if (p->kind == SEEK) {
        return seek(p, s, head >> 2);
    }
    p->left = head >> 2;
    if (p->left == 0) {
        return TAC_ERR_ARGUMENT;
    }
    if (p->kind == DIFF) {
        return open_diff(p, s);
    }
    return TAC_OK;
}

// The unused bits of the last byte of a DIFF are zero.
static int close_diff(tac_patch_t *p, const tac_patch_source_t *s) {
    const int is_clean = p->bit == 0 || (uint8_t)(s->ops[p->at] << p->bit) == 0;
    p->at += p->bit > 0;
    p->bit = 0;
    return is_clean ? TAC_OK : TAC_ERR_ARGUMENT;
}

static void put_bytes(tac_patch_t *p, const uint8_t *from, uint8_t *out, uint32_t size) {
    if (out != NULL) {
        memcpy(out, from, size);
    }
    p->cursor += size;
    p->left -= size;
}

// Makes at most `most` > 0 next bytes of a DIFF.
static int put_diff(tac_patch_t *p, const tac_patch_source_t *s, uint8_t *out, uint32_t most) {
    if (p->same > 0) {
        const uint32_t size = p->same < most ? p->same : most;
        p->same -= size;
        put_bytes(p, s->base + p->cursor, out, size);
        return (int)size;
    }
    if (out != NULL) {
        *out = (uint8_t)(s->base[p->cursor] + p->change);
    }
    p->cursor++;
    p->left--;
    const int rc = p->left > 0 ? read_change(p, s) : close_diff(p, s);
    return rc < 0 ? rc : 1;
}

// Makes at most `most` > 0 next bytes of the present op. The bounds are asked for at each piece: a
// caller may hand over other ops or another base in between.
static int put(tac_patch_t *p, const tac_patch_source_t *s, uint8_t *out, uint32_t most) {
    const uint32_t size = p->left < most ? p->left : most;
    if (p->kind == LITERAL) {
        if (p->at > s->ops_bytes || p->left > s->ops_bytes - p->at) {
            return TAC_ERR_ARGUMENT;
        }
        put_bytes(p, s->ops + p->at, out, size);
        p->at += size;
        return (int)size;
    }
    if (p->cursor > s->base_bytes || p->left > s->base_bytes - p->cursor) {
        return TAC_ERR_ARGUMENT;
    }
    if (p->kind == DIFF) {
        return put_diff(p, s, out, size);
    }
    put_bytes(p, s->base + p->cursor, out, size);
    return (int)size;
}

int tac_patch_next(tac_patch_t *p, const tac_patch_source_t *source, uint8_t *out, uint32_t room) {
    uint32_t made = 0;
    while (made < room && (p->left > 0 || p->at < source->ops_bytes)) {
        const int rc = p->left == 0 ? open_op(p, source)
                                    : put(p, source, out != NULL ? out + made : NULL, room - made);
        if (rc < 0) {
            return rc;
        }
        made += (uint32_t)rc; // an op that is opened makes nothing yet
    }
    return (int)made;
}
