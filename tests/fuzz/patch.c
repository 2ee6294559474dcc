// SPDX-License-Identifier: MIT
// Patch ops: any bytes are refused, or make what measuring them promised; the same in pieces of any
// size; nothing outside of ops, base and room is touched, even when the base becomes shorter
// between two pieces.
// Input: u16 bytes of the base, u16 offset, u8 bytes a piece, u16 bytes of a shorter base, the ops.
#include "input.h"
#include "store/patch.h"

enum { RESULT_MAX = 1 << 16 };

// All of it in pieces into blocks of their own size. The bytes made, or the error.
static int make(const tac_patch_source_t *source, uint32_t offset, uint32_t piece, uint8_t *out) {
    tac_patch_t patch;
    int made, done = 0;
    tac_patch_start(&patch, offset);
    do {
        uint8_t *part = malloc(piece);
        made = tac_patch_next(&patch, source, part, piece);
        MUST(made <= (int)piece);
        if (made > 0) {
            MUST(done + made <= RESULT_MAX);
            memcpy(out + done, part, (size_t)made);
            done += made;
        }
        free(part);
    } while (made == (int)piece && done <= RESULT_MAX - (int)piece);
    return made < 0 ? made : done;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint8_t first[RESULT_MAX], second[RESULT_MAX];
    input_t in = {data, size};
    const uint32_t base_bytes = take(&in, 2) % 5000, offset = take(&in, 2) % 6000;
    const uint32_t piece = 1 + take(&in, 1), shorter = take(&in, 2) % (base_bytes + 1);
    uint8_t *base = malloc(base_bytes + 1);
    for (uint32_t i = 0; i < base_bytes; i++) {
        base[i] = (uint8_t)(i * 7);
    }
    uint8_t *tight = malloc(base_bytes > 0 ? base_bytes : 1);
    memcpy(tight, base, base_bytes);
    const uint32_t ops_bytes = (uint32_t)in.size;
    uint8_t *ops = take_block(&in, ops_bytes);
    tac_patch_source_t source = {
        .ops = ops, .base = tight, .ops_bytes = ops_bytes, .base_bytes = base_bytes};

    tac_patch_t patch;
    tac_patch_start(&patch, offset);
    const int measured = tac_patch_next(&patch, &source, NULL, RESULT_MAX - 512);
    if (measured < RESULT_MAX - 512) {
        const int made = make(&source, offset, piece, first);
        MUST(made == measured);
        MUST(make(&source, offset, 512, second) == made);
        MUST(made < 0 || memcmp(first, second, (size_t)made) == 0);
    }
    // The caller hands over another, shorter base.
    tac_patch_start(&patch, offset);
    uint8_t *part = malloc(piece);
    if (tac_patch_next(&patch, &source, part, piece) == (int)piece) {
        uint8_t *less = malloc(shorter > 0 ? shorter : 1);
        memcpy(less, base, shorter);
        source.base = less;
        source.base_bytes = shorter;
        MUST(tac_patch_next(&patch, &source, part, piece) <= (int)piece);
        free(less);
    }
    free(part);
    free(ops);
    free(tight);
    free(base);
    return 0;
}
