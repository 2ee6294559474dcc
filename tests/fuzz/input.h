// SPDX-License-Identifier: MIT
// The bytes of one fuzzing input, read front to back; behind the end come zeros.
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tac_error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct input {
    const uint8_t *data;
    size_t size; // left
} input_t;

static inline uint32_t take(input_t *in, unsigned bytes) {
    uint32_t value = 0;
    for (unsigned i = 0; i < bytes && in->size > 0; i++, in->data++, in->size--) {
        value |= (uint32_t)*in->data << (8 * i);
    }
    return value;
}

// A heap block of its own, so that one byte too many shows; zeros behind the input's end.
static inline uint8_t *take_block(input_t *in, size_t bytes) {
    uint8_t *block = calloc(1, bytes > 0 ? bytes : 1);
    const size_t part = bytes < in->size ? bytes : in->size;
    if (block == NULL) {
        abort();
    }
    memcpy(block, in->data, part);
    in->data += part;
    in->size -= part;
    return block;
}

// What must hold of any input; a fuzzer stops here.
#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);         \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
