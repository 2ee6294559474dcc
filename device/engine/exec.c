// SPDX-License-Identifier: MIT
#pragma GCC optimize("Os") // once an op or a step; before the includes, so that theirs inline
#include "engine/exec.h"
#include "engine/kernel.h"
#include "engine/packed.h"
#include "engine/segment.h"

#define LINKED(set, kind, kernel) (((set) >> (kind)) & 1u ? (kernel) : NULL)

static tac_kernel_t *const kernels[TAC_OP_KIND_END] = {
    [TAC_OP_QUANTIZE] = LINKED(TAC_KERNELS, TAC_OP_QUANTIZE, tac_kernel_quantize),
    [TAC_OP_DEQUANTIZE] = LINKED(TAC_KERNELS, TAC_OP_DEQUANTIZE, tac_kernel_dequantize),
    [TAC_OP_CONV2D] = LINKED(TAC_KERNELS, TAC_OP_CONV2D, tac_kernel_conv2d),
    [TAC_OP_DWCONV2D] = LINKED(TAC_KERNELS, TAC_OP_DWCONV2D, tac_kernel_dwconv2d),
    [TAC_OP_LINEAR] = LINKED(TAC_KERNELS, TAC_OP_LINEAR, tac_kernel_linear),
    [TAC_OP_ADD] = LINKED(TAC_KERNELS, TAC_OP_ADD, tac_kernel_add),
    [TAC_OP_MAXPOOL2D] = LINKED(TAC_KERNELS, TAC_OP_MAXPOOL2D, tac_kernel_maxpool2d),
    [TAC_OP_AVGPOOL2D] = LINKED(TAC_KERNELS, TAC_OP_AVGPOOL2D, tac_kernel_avgpool2d),
    [TAC_OP_CLAMP] = LINKED(TAC_KERNELS, TAC_OP_CLAMP, tac_kernel_clamp),
    [TAC_OP_SOFTMAX] = LINKED(TAC_KERNELS, TAC_OP_SOFTMAX, tac_kernel_softmax),
    [TAC_OP_COPY] = LINKED(TAC_KERNELS, TAC_OP_COPY, tac_kernel_copy),
    [TAC_OP_LUT] = LINKED(TAC_KERNELS, TAC_OP_LUT, tac_kernel_lut),
    [TAC_OP_PAD] = LINKED(TAC_KERNELS, TAC_OP_PAD, tac_kernel_pad),
    [TAC_OP_STRIDED] = LINKED(TAC_KERNELS, TAC_OP_STRIDED, tac_kernel_strided),
    [TAC_OP_MUL] = LINKED(TAC_KERNELS, TAC_OP_MUL, tac_kernel_mul),
    [TAC_OP_DIV] = LINKED(TAC_KERNELS, TAC_OP_DIV, tac_kernel_div),
    [TAC_OP_MINIMUM] = LINKED(TAC_KERNELS, TAC_OP_MINIMUM, tac_kernel_minimum),
    [TAC_OP_MAXIMUM] = LINKED(TAC_KERNELS, TAC_OP_MAXIMUM, tac_kernel_maximum),
    [TAC_OP_MATMUL] = LINKED(TAC_KERNELS, TAC_OP_MATMUL, tac_kernel_matmul),
    [TAC_OP_TCONV2D] = LINKED(TAC_KERNELS, TAC_OP_TCONV2D, tac_kernel_tconv2d),
    [TAC_OP_CONST] = LINKED(TAC_KERNELS, TAC_OP_CONST, tac_kernel_const),
    [TAC_OP_F32_BINARY] = LINKED(TAC_KERNELS, TAC_OP_F32_BINARY, tac_kernel_f32_binary),
    [TAC_OP_F32_UNARY] = LINKED(TAC_KERNELS, TAC_OP_F32_UNARY, tac_kernel_f32_unary),
    [TAC_OP_F32_CLAMP] = LINKED(TAC_KERNELS, TAC_OP_F32_CLAMP, tac_kernel_f32_clamp),
    [TAC_OP_F32_CONV2D] = LINKED(TAC_KERNELS, TAC_OP_F32_CONV2D, tac_kernel_f32_conv2d),
    [TAC_OP_F32_TCONV2D] = LINKED(TAC_KERNELS, TAC_OP_F32_TCONV2D, tac_kernel_f32_tconv2d),
    [TAC_OP_F32_MATMUL] = LINKED(TAC_KERNELS, TAC_OP_F32_MATMUL, tac_kernel_f32_matmul),
    [TAC_OP_F32_MEAN] = LINKED(TAC_KERNELS, TAC_OP_F32_MEAN, tac_kernel_f32_mean),
    [TAC_OP_F32_SOFTMAX] = LINKED(TAC_KERNELS, TAC_OP_F32_SOFTMAX, tac_kernel_f32_softmax),
};

static tac_kernel_t *const packed_kernels[TAC_OP_KIND_END] = {
    [TAC_OP_CONV2D] = LINKED(TAC_PACKED_KERNELS, TAC_OP_CONV2D, tac_packed_conv2d),
    [TAC_OP_DWCONV2D] = LINKED(TAC_PACKED_KERNELS, TAC_OP_DWCONV2D, tac_packed_dwconv2d),
    [TAC_OP_LINEAR] = LINKED(TAC_PACKED_KERNELS, TAC_OP_LINEAR, tac_packed_linear),
    [TAC_OP_ADD] = LINKED(TAC_PACKED_KERNELS, TAC_OP_ADD, tac_packed_add),
    [TAC_OP_MAXPOOL2D] = LINKED(TAC_PACKED_KERNELS, TAC_OP_MAXPOOL2D, tac_packed_maxpool2d),
    [TAC_OP_AVGPOOL2D] = LINKED(TAC_PACKED_KERNELS, TAC_OP_AVGPOOL2D, tac_packed_avgpool2d),
};

int tac_model_init(tac_model_t *model, const uint8_t *image, size_t image_bytes, uint8_t *arena,
                   size_t arena_bytes) {
    if (!arena || (uintptr_t)arena % TAC_PLAN_ALIGN != 0) {
        return TAC_ERR_ARGUMENT;
    }
    int code = tac_plan_check(image, image_bytes, arena_bytes);
    if (code != TAC_OK) {
        return code;
    }
    model->image = image;
    model->arena = arena;
    tac_exec_reset(model);
    return TAC_OK;
}

uint8_t *tac_model_input(const tac_model_t *model, unsigned i, uint32_t *bytes) {
    const tac_plan_io_t *io = tac_plan_io(model->image) + i;
    *bytes = io->bytes;
    return model->arena + io->offset;
}

uint8_t *tac_model_output(const tac_model_t *model, unsigned i, uint32_t *bytes) {
    return tac_model_input(model, tac_plan_header(model->image)->input_count + i, bytes);
}

#if TAC_SEGMENTS
__attribute__((noinline))
#endif
void tac_exec_kernel(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    (op->layout ? packed_kernels : kernels)[op->kind](op, image, arena);
}

void tac_exec_reset(tac_model_t *model) {
    model->next_op = 0;
#if TAC_SEGMENTS
    model->segment = 0;
    tac_segment_turn(model);
#else
    model->units_left = tac_plan_header(model->image)->op_count;
#endif
}

int tac_exec_step(tac_model_t *model) {
    if (model->units_left == 0) {
        return 0;
    }
#if TAC_SEGMENTS
    if (model->running) {
        tac_segment_step(model);
        return model->units_left;
    }
#endif
    tac_exec_kernel(tac_plan_ops(model->image) + model->next_op, model->image, model->arena);
    model->units_left--;
    model->next_op++;
#if TAC_SEGMENTS
    if (model->next_op == model->until) {
        tac_segment_turn(model);
    }
#endif
    return model->units_left;
}

int tac_exec_run(tac_model_t *model, const tac_clock_t *clock, uint64_t until_us) {
    int left = model->units_left;
    while (left > 0) {
        left = tac_exec_step(model);
        if (clock->now_us(clock->ctx) >= until_us) {
            break;
        }
    }
    return left;
}
