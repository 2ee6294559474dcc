// SPDX-License-Identifier: MIT
// STRIDED and CONST: what could not become a decision about layout. Any copy between two orders of
// axes, a slice, a repetition or a concatenation is one walk over six axes.
#include "engine/kernel.h"

// The innermost axis: `count` elements of `size` bytes, steps in bytes.
static void copy_run(const uint8_t *in, uint8_t *out, uint32_t count, uint32_t read, uint32_t write,
                     uint32_t size) {
    if (read == size && write == size) {
        memmove(out, in, (size_t)count * size);
        return;
    }
    for (; count > 0; count--) {
        if (size == 1) {
            *out = *in;
        } else {
            memmove(out, in, 4);
        }
        in += read;
        out += write;
    }
}

void tac_kernel_strided(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    enum { OUTER = TAC_STRIDED_AXES - 1 };
    const int32_t *extents = tac_table(image, op->weights);
    const int32_t *reads = extents + TAC_STRIDED_AXES, *writes = reads + TAC_STRIDED_AXES;
    const uint32_t size = (uint32_t)op->param0, run = (uint32_t)extents[OUTER];
    const uint8_t *in = arena + op->in0;
    uint8_t *out = arena + op->out;
    int32_t index[OUTER] = {0};
    for (uint32_t left = op->count / run; left > 0; left--) {
        copy_run(in, out, run, (uint32_t)reads[OUTER] * size, (uint32_t)writes[OUTER] * size, size);
        for (uint32_t axis = OUTER; axis-- > 0;) {
            const uint32_t read = (uint32_t)reads[axis] * size;
            const uint32_t write = (uint32_t)writes[axis] * size;
            if (++index[axis] < extents[axis]) {
                in += read;
                out += write;
                break;
            }
            index[axis] = 0;
            in -= read * (uint32_t)(extents[axis] - 1);
            out -= write * (uint32_t)(extents[axis] - 1);
        }
    }
}

void tac_kernel_const(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    memcpy(arena + op->out, image + op->weights, op->count);
}
