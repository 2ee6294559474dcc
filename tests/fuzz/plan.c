// SPDX-License-Identifier: MIT
// Plan images: one that tac_plan_check() accepts runs without an access outside image and arena,
// and does not change the image. Both are heap blocks of exactly their size.
// Input: the image. The mutator changes bytes as libFuzzer does, or fields of records, and mends
// what would only be refused.
#include "engine/exec.h"
#include "input.h"

enum {
    ARENA_MAX = 1 << 16,
    WORK_MAX = 1 << 18, // inner-loop turns an input may cost
    UNITS_MAX = 1 << 12,
};

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);

static uint64_t times(uint64_t work, uint64_t factor) {
    const uint64_t product = work * (factor > 0 ? factor : 1);
    return product > WORK_MAX ? WORK_MAX : product; // factors are below 2^32: no overflow
}

// No less than the turns of any kernel's loops with this record.
static uint64_t work_of(const tac_op_t *op) {
    uint64_t out = times(times(times(1, op->out_h), op->out_w), op->out_c);
    uint64_t in = times(times(times(1, op->in_h), op->in_w), op->in_c);
    const uint64_t taps = times(times(1, op->k_h), op->k_w);
    out = times(times(out, taps), op->in_c);
    in = times(times(in, taps), op->out_c);
    return out + in + op->count;
}

static int is_cheap(const uint8_t *image) {
    const tac_plan_header_t *header = tac_plan_header(image);
    uint64_t work = 0, units = 0;
    for (uint32_t i = 0; i < header->op_count; i++) {
        work += work_of(tac_plan_ops(image) + i);
    }
    for (uint32_t i = 0; i < header->segment_count; i++) {
        units += tac_plan_segments(image)[i].step_count;
    }
    return work <= WORK_MAX && units <= UNITS_MAX;
}

static uint8_t *exact(size_t bytes) {
    void *memory = NULL;
    if (posix_memalign(&memory, TAC_PLAN_ALIGN, bytes > 0 ? bytes : 1) != 0) {
        abort();
    }
    return memory;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *image = exact(size);
    memcpy(image, data, size);
    if (tac_plan_check(image, size, ARENA_MAX) == TAC_OK && is_cheap(image)) {
        const tac_plan_header_t *header = tac_plan_header(image);
        uint8_t *arena = exact(header->arena_bytes);
        memset(arena, 0x5A, header->arena_bytes);
        tac_model_t model;
        MUST(tac_model_init(&model, image, size, arena, header->arena_bytes) == TAC_OK);
        uint32_t bytes, left = model.units_left, units = 0;
        for (unsigned i = 0; i < header->input_count; i++) {
            uint8_t *input = tac_model_input(&model, i, &bytes);
            memset(input, (int)(0x71 + i), bytes);
        }
        while (left > 0) {
            MUST(tac_exec_op(&model) < header->op_count && units++ <= 2 * UNITS_MAX);
            left = (uint32_t)tac_exec_step(&model);
        }
        MUST(tac_exec_step(&model) == 0 && tac_exec_op(&model) == header->op_count);
        for (unsigned i = 0; i < header->output_count; i++) {
            uint8_t *output = tac_model_output(&model, i, &bytes);
            memset(output, 0, bytes);
        }
        free(arena);
        MUST(memcmp(image, data, size) == 0);
    }
    free(image);
    return 0;
}

static uint32_t draw(uint32_t *state, uint32_t below) {
    *state = *state * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)*state * below >> 32);
}

// One field of one op record, a segment or a step, to a value that some check must notice.
static void change_field(uint8_t *data, size_t size, uint32_t *state) {
    static const uint32_t values[] = {
        0,      1,      2,      3,       4,       5,          7,          8,          15,
        16,     17,     31,     64,      127,     128,        255,        256,        1000,
        0x7FFF, 0x8000, 0xFFFF, 1 << 20, 1 << 30, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF};
    tac_plan_header_t header;
    memcpy(&header, data, sizeof header);
    uint32_t at = header.ops_offset, unit = sizeof(tac_op_t), count = header.op_count;
    if (header.segment_count > 0 && draw(state, 3) == 0) {
        at = header.segments_offset, unit = (uint32_t)(size - at), count = 1;
    }
    if (at >= size || unit == 0 || count == 0 || unit > size - at) {
        return;
    }
    at += draw(state, count) * unit + draw(state, unit);
    const uint32_t bytes = 1u << draw(state, 3);
    at -= at % bytes;
    if (at + bytes <= size) {
        const uint32_t value =
            draw(state, 2) ? values[draw(state, sizeof values / 4)] : data[at] + draw(state, 9) - 4;
        memcpy(data + at, &value, bytes);
    }
}

static void mend(uint8_t *data, size_t size) {
    tac_plan_header_t header;
    memcpy(&header, data, sizeof header);
    header.image_bytes = (uint32_t)size;
    uint32_t kernels = 0, target = 0;
    for (uint32_t i = 0; i < header.op_count; i++) {
        const uint64_t at = header.ops_offset + (uint64_t)i * sizeof(tac_op_t);
        if (at + sizeof(tac_op_t) > size) {
            break;
        }
        kernels |= 1u << (data[at] & 31);
        target = data[at + 1] > target ? data[at + 1] : target;
    }
    header.kernels = kernels;
    header.target = target;
    if (header.arena_bytes > ARENA_MAX) {
        header.arena_bytes %= ARENA_MAX;
    }
    memcpy(data, &header, sizeof header);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed) {
    uint32_t state = seed;
    if (size < sizeof(tac_plan_header_t) || draw(&state, 3) == 0) {
        size = LLVMFuzzerMutate(data, size, max_size);
    } else {
        for (uint32_t n = 1 + draw(&state, 4); n > 0; n--) {
            change_field(data, size, &state);
        }
    }
    if (size >= sizeof(tac_plan_header_t) && draw(&state, 8) != 0) {
        size -= size % TAC_PLAN_ALIGN;
        mend(data, size);
    }
    return size;
}
