// SPDX-License-Identifier: MIT
// DWCONV2D 3x3 packed for Armv7E-M DSP (engine/packed.h): four channels at a time, with stride 1
// two output rows at once.
//
// Stage 1 turns the 4 (3) input rows of four channels into a plane a channel: for each column the
// halfwords (row 0, row 1) and (row 2, row 3): 28 (25) instructions for four channels and a column.
// Stage 2 walks a plane: one LDM fetches three columns; the weights of a kernel column are the
// halfwords (w0, w1) and (w1, w2), so that 12 SMLAxy make two outputs, 18 MACs, one below the
// other: 30 instructions with ReLU, 51 otherwise; with other strides 20 and 30 for one output. A
// channel costs 23 more. Cortex-M4 cycles of the loop with ReLU, by the table of the core's manual:
// about 47 for two outputs, 35 for one.
//
// Step: a row pair (a row), a tile of columns, four channels, in this order of loops; rows and
// tiles from the last one backwards with TAC_OP_REVERSE. It loads all it needs before it stores. A
// last row without a partner stores both results in one place, its own one last. Channels that are
// left over are computed together with some of the block before.
// Conditions: in_c = out_c >= 4, kernel 3x3, dilation 1, any stride and padding, and packed.h's.
#include "engine/packed.h"

// What stage 2 needs of four channels; the asm reads it by position.
typedef struct block {
    const int32_t *planes;
    const int32_t *w;   // stream
    int8_t *out;        // channel 0, first column
    uint32_t second;    // bytes to the same place of the second row, 0 = there is none
    uint32_t out_pixel; // bytes to the next column
    uint32_t span;      // bytes of a plane that outputs start at
    uint32_t plane;     // bytes of a plane
    uint32_t advance;   // bytes from one window to the next
    int32_t low, high;
} block_t;

#if TAC_DSP
// r0 plane, r1-r6 weights, r7-r12 three columns. On the stack: 0 bias, 4 mult, 8 constant, 12
// shift, 16 out, 20 second, 24 end of the plane's windows, 28 out_pixel, 32 w, 36 channel's out, 40
// planes, 44 end of w, 48 block, 52 span, 56 plane, 60 advance.
__asm__(".syntax unified\n"
        ".thumb\n"
        // In: \acc = sum; r8 bias, r9 mult, r10 constant, r11 shift. Out: \acc = the output. \t is
        // free, and only used without ReLU.
        ".macro TAC_DW_FINISH relu, acc, t\n"
        "add \\acc, r8, \\acc, lsl #1\n"
        ".if \\relu\n"
        "smmlar \\acc, \\acc, r9, r10\n"
        "asr \\acc, \\acc, r11\n"
        "ssat \\acc, #8, \\acc\n"
        ".else\n"
        "smmlar \\t, \\acc, r9, r10\n"
        "add \\t, \\t, \\acc, asr #31\n"
        "asr \\acc, \\t, r11\n"
        "ldr \\t, [sp, #48]\n"
        "ldr \\t, [\\t, #32]\n"
        "cmp \\acc, \\t\n"
        "it lt\n"
        "movlt \\acc, \\t\n"
        "ldr \\t, [sp, #48]\n"
        "ldr \\t, [\\t, #36]\n"
        "cmp \\acc, \\t\n"
        "it gt\n"
        "movgt \\acc, \\t\n"
        ".endif\n"
        ".endm\n"
        ".macro TAC_DW_BLOCK name, relu, pair\n"
        ".section .text.\\name, \"ax\", %progbits\n"
        ".balign 4\n"
        ".type \\name, %function\n"
        ".thumb_func\n"
        "\\name:\n"
        "push {r4-r11, lr}\n"
        "sub sp, #64\n"
        "ldm r0, {r1-r8}\n" // planes, w, out, second, out_pixel, span, plane, advance
        "strd r0, r6, [sp, #48]\n"
        "strd r7, r8, [sp, #56]\n"
        "str r1, [sp, #40]\n"
        "str r4, [sp, #20]\n"
        "str r5, [sp, #28]\n"
        "mov r7, r2\n"
        "add r2, #96\n" // four records
        "str r2, [sp, #44]\n"
        "mov r12, r3\n"
        "2:\n"
        "ldm r7!, {r1, r3, r5, r8-r10}\n"
        "rbit r11, r10\n"
        "clz r11, r11\n"
        "add r11, #1\n"
        "str r7, [sp, #32]\n"
        "stm sp, {r8-r12}\n"
        "add r12, #1\n"
        "ldr r0, [sp, #40]\n"
        "str r12, [sp, #36]\n"
        "ldrd r7, r8, [sp, #52]\n"
        "add r8, r0\n"
        "str r8, [sp, #40]\n"
        "add r7, r0\n"
        "str r7, [sp, #24]\n"
        "sxtb16 r2, r1, ror #8\n"
        "sxtb16 r1, r1\n"
        "sxtb16 r4, r3, ror #8\n"
        "sxtb16 r3, r3\n"
        "sxtb16 r6, r5, ror #8\n"
        "sxtb16 r5, r5\n"
        "3:\n"
        "ldm r0, {r7-r12}\n"
        ".if \\pair\n"
        "adds r0, #8\n"
        "smuad lr, r7, r1\n"
        "smultb r7, r7, r1\n"
        "smlabt lr, r8, r2, lr\n"
        "smlad r7, r8, r2, r7\n"
        "smlad lr, r9, r3, lr\n"
        "smlatb r7, r9, r3, r7\n"
        "smlabt lr, r10, r4, lr\n"
        "smlad r7, r10, r4, r7\n"
        "smlad lr, r11, r5, lr\n"
        "smlatb r7, r11, r5, r7\n"
        "smlabt lr, r12, r6, lr\n"
        "smlad r7, r12, r6, r7\n"
        "ldm sp, {r8-r12}\n"
        "TAC_DW_FINISH \\relu, r7, r12\n"
        "TAC_DW_FINISH \\relu, lr, r12\n"
        ".if \\relu == 0\n"
        "ldr r12, [sp, #16]\n"
        ".endif\n"
        "ldr r8, [sp, #20]\n"
        "strb r7, [r12, r8]\n"
        ".else\n"
        "smuad lr, r7, r1\n"
        "smlabt lr, r8, r2, lr\n"
        "smlad lr, r9, r3, lr\n"
        "smlabt lr, r10, r4, lr\n"
        "smlad lr, r11, r5, lr\n"
        "smlabt lr, r12, r6, lr\n"
        "ldr r7, [sp, #60]\n"
        "add r0, r0, r7\n"
        "ldm sp, {r8-r12}\n"
        "TAC_DW_FINISH \\relu, lr, r7\n"
        ".endif\n"
        "ldrd r8, r9, [sp, #24]\n" // end, out_pixel
        "strb lr, [r12]\n"
        "add r12, r9\n"
        "str r12, [sp, #16]\n"
        "cmp r0, r8\n"
        "bne 3b\n"
        "ldrd r7, r12, [sp, #32]\n"
        "ldr r8, [sp, #44]\n"
        "cmp r7, r8\n"
        "bne 2b\n"
        "add sp, #64\n"
        "pop {r4-r11, pc}\n"
        ".size \\name, .-\\name\n"
        ".endm\n"
        "TAC_DW_BLOCK tac_dw_pair_relu, 1, 1\n"
        "TAC_DW_BLOCK tac_dw_pair_clamp, 0, 1\n"
        "TAC_DW_BLOCK tac_dw_row_relu, 1, 0\n"
        "TAC_DW_BLOCK tac_dw_row_clamp, 0, 0\n"
        ".text\n");
void tac_dw_pair_relu(const block_t *block), tac_dw_pair_clamp(const block_t *block);
void tac_dw_row_relu(const block_t *block), tac_dw_row_clamp(const block_t *block);
#else
static int32_t finish(const block_t *block, int relu, const int32_t *w, int32_t sum) {
    int32_t twice = (int32_t)((uint32_t)w[3] + ((uint32_t)sum << 1));
    int32_t y = tac_smmlar(twice, w[4], w[5]);
    const uint32_t shift = tac_packed_dw_shift(w[5]);
    if (relu) {
        return tac_ssat8(y >> shift);
    }
    return tac_clamp(tac_packed_away(y, twice) >> shift, block->low, block->high);
}

static void block_in_c(const block_t *block, int relu, int pair) {
    const int32_t *w = block->w, *plane = block->planes;
    for (uint32_t c = 0; c < 4; c++, w += TAC_PACKED_DW_WORDS, plane += block->plane / 4) {
        int8_t *out = block->out + c;
        for (uint32_t at = 0; at != block->span; at += block->advance, out += block->out_pixel) {
            const int32_t *x = plane + at / 4;
            int32_t first = 0, second = 0;
            for (int column = 0; column < 3; column++, x += 2) {
                const int32_t w01 = (int32_t)tac_sxtb16((uint32_t)w[column]);
                const int32_t w12 = (int32_t)tac_sxtb16_odd((uint32_t)w[column]);
                first = tac_smlad(x[0], w01, first) + (int16_t)x[1] * (w12 >> 16);
                second = tac_smlad(x[1], w12, second) + (x[0] >> 16) * (int16_t)w01;
            }
            if (pair) {
                out[block->second] = (int8_t)finish(block, relu, w, second);
            }
            out[0] = (int8_t)finish(block, relu, w, first);
        }
    }
}
static void tac_dw_pair_relu(const block_t *block) {
    block_in_c(block, 1, 1);
}
static void tac_dw_pair_clamp(const block_t *block) {
    block_in_c(block, 0, 1);
}
static void tac_dw_row_relu(const block_t *block) {
    block_in_c(block, 1, 0);
}
static void tac_dw_row_clamp(const block_t *block) {
    block_in_c(block, 0, 0);
}
#endif

// What stage 1 needs of a step; the asm reads it by position.
typedef struct rows {
    const int8_t *at[4]; // channel 0 of the first column inside the input
    int32_t *to;         // its place in the first plane
    uint32_t pitch;      // bytes from column to column
    uint32_t plane;      // bytes of a plane
    uint32_t bytes;      // of all columns, above zero
} rows_t;

// Stage 1: the columns of the channels c..c+3 into four planes.
// split4 takes four rows; split3 takes three, and leaves anything in the halfword of the fourth.
#if TAC_DSP
// r0-r3 rows, r4 to, r5 pitch, r6 plane, r12 offset in the rows; their end on the stack. The planes
// are stored upwards in one column and downwards in the next, so that r4 needs no rewinding.
__asm__(".macro TAC_DW_COLUMN four, move\n"
        "ldr r7, [r0, r12]\n"
        "ldr r8, [r1, r12]\n"
        "ldr r9, [r2, r12]\n"
        ".if \\four\n"
        "ldr r10, [r3, r12]\n"
        ".endif\n"
        "pkhbt lr, r7, r8, lsl #16\n" // rows 0 and 1 of channels 0 and 1
        "pkhtb r8, r8, r7, asr #16\n" // of channels 2 and 3
        ".if \\four\n"
        "pkhbt r7, r9, r10, lsl #16\n"
        "pkhtb r9, r10, r9, asr #16\n"
        ".endif\n"
        ".ifc \\move, add\n"
        "TAC_DW_PLANE \\four, lr, r7, 0, 0\n"
        "add r4, r6\n"
        "TAC_DW_PLANE \\four, lr, r7, 8, 8\n"
        "add r4, r6\n"
        "TAC_DW_PLANE \\four, r8, r9, 0, 16\n"
        "add r4, r6\n"
        "TAC_DW_PLANE \\four, r8, r9, 8, 24\n"
        ".else\n"
        "TAC_DW_PLANE \\four, r8, r9, 8, 24\n"
        "sub r4, r6\n"
        "TAC_DW_PLANE \\four, r8, r9, 0, 16\n"
        "sub r4, r6\n"
        "TAC_DW_PLANE \\four, lr, r7, 8, 8\n"
        "sub r4, r6\n"
        "TAC_DW_PLANE \\four, lr, r7, 0, 0\n"
        ".endif\n"
        "adds r4, #8\n"
        "add r12, r5\n"
        "ldr r7, [sp]\n"
        "cmp r12, r7\n"
        ".endm\n"
        ".macro TAC_DW_PLANE four, upper, lower, turn, byte\n"
        "sxtb16 r10, \\upper, ror #\\turn\n"
        ".if \\four\n"
        "sxtb16 r11, \\lower, ror #\\turn\n"
        ".else\n"
        "sxtb r11, r9, ror #\\byte\n"
        ".endif\n"
        "strd r10, r11, [r4]\n"
        ".endm\n"
        ".macro TAC_DW_SPLIT name, four\n"
        ".section .text.\\name, \"ax\", %progbits\n"
        ".balign 4\n"
        ".type \\name, %function\n"
        ".thumb_func\n"
        "\\name:\n"
        "push {r4-r11, lr}\n"
        "sub sp, #4\n"
        "mov r12, r1\n"
        "ldm r0, {r0-r7}\n"
        "add r7, r12\n"
        "str r7, [sp]\n"
        "1:\n"
        "TAC_DW_COLUMN \\four, add\n"
        "beq 2f\n"
        "TAC_DW_COLUMN \\four, sub\n"
        "bne 1b\n"
        "2:\n"
        "add sp, #4\n"
        "pop {r4-r11, pc}\n"
        ".size \\name, .-\\name\n"
        ".endm\n"
        "TAC_DW_SPLIT tac_dw_split4, 1\n"
        "TAC_DW_SPLIT tac_dw_split3, 0\n"
        ".text\n");
void tac_dw_split4(const rows_t *rows, uint32_t c), tac_dw_split3(const rows_t *rows, uint32_t c);
#else
static void split_in_c(const rows_t *rows, uint32_t c, int four) {
    int32_t *to = rows->to;
    for (uint32_t at = c; at != c + rows->bytes; at += rows->pitch, to += 2) {
        for (uint32_t i = 0; i < 4; i++) {
            int32_t *p = to + i * rows->plane / 4;
            p[0] =
                (int32_t)tac_pack_low((uint32_t)rows->at[0][at + i], (uint32_t)rows->at[1][at + i]);
            p[1] = rows->at[2][at + i];
            if (four) {
                p[1] = (int32_t)tac_pack_low((uint32_t)p[1], (uint32_t)rows->at[3][at + i]);
            }
        }
    }
}
static void tac_dw_split4(const rows_t *rows, uint32_t c) {
    split_in_c(rows, c, 1);
}
static void tac_dw_split3(const rows_t *rows, uint32_t c) {
    split_in_c(rows, c, 0);
}
#endif

// Puts the zero point into halfword r of `columns` columns of four planes: a row outside the input.
static void blank_row(int32_t *planes, uint32_t r, uint32_t columns, uint32_t plane, int16_t zero) {
    for (uint32_t c = 0; c < 4; c++) {
        uint8_t *at = (uint8_t *)planes + c * plane + 2 * r;
        for (const uint8_t *end = at + 8 * columns; at != end; at += 8) {
            memcpy(at, &zero, sizeof zero);
        }
    }
}

static void fill(int32_t *to, uint32_t words, uint32_t plane, int32_t value) {
    for (uint32_t c = 0; c < 4; c++, to += plane) {
        for (uint32_t i = 0; i < words; i++) {
            to[i] = value;
        }
    }
}

void tac_packed_dwconv2d(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    const uint32_t channels = op->out_c, in_row = (uint32_t)op->in_w * channels;
    const int8_t *in = (const int8_t *)(arena + op->in0);
    const int16_t zero = (int16_t)-op->in0_add;
    const int32_t zero_pair = (int32_t)tac_pack_low((uint16_t)zero, (uint16_t)zero);
    const int pair = op->stride_h == 1 && op->stride_w == 1;
    const int relu = tac_packed_form(op) == TAC_FORM_RELU;
    void (*const stage2)(const block_t *) = pair ? (relu ? tac_dw_pair_relu : tac_dw_pair_clamp)
                                                 : (relu ? tac_dw_row_relu : tac_dw_row_clamp);
    void (*const split)(const rows_t *, uint32_t) = pair ? tac_dw_split4 : tac_dw_split3;
    int32_t *planes = (int32_t *)(void *)(arena + op->scratch);
    const uint32_t tile = tac_packed_dw_tile(op);
    block_t block = {
        .planes = planes,
        .out_pixel = channels,
        .advance = 8u * op->stride_w,
        .low = op->act_min,
        .high = op->act_max,
    };
    const int reverse = op->flags & TAC_OP_REVERSE;
    const uint32_t height = pair ? 2 : 1, tiles = (op->out_w + tile - 1) / tile;
    const uint32_t steps = (op->row_end - op->row_begin + height - 1u) / height;
    for (uint32_t i = 0; i < steps; i++) {
        const uint32_t oy = op->row_begin + (reverse ? steps - 1 - i : i) * height;
        const int32_t top = (int32_t)(oy * op->stride_h) - op->pad_t;
        const int two = pair && oy + 1 < op->row_end;
        for (uint32_t j = 0; j < tiles; j++) {
            const uint32_t ox = (reverse ? tiles - 1 - j : j) * tile;
            const uint32_t outputs = op->out_w - ox < tile ? op->out_w - ox : tile;
            const uint32_t columns = (outputs - 1) * op->stride_w + 3;
            const int32_t left = (int32_t)(ox * op->stride_w) - op->pad_l;
            const tac_taps_t inside = tac_clip_taps(left, columns, 1, op->in_w);
            block.plane = 8 * columns;
            block.span = outputs * block.advance;
            fill(planes, 2 * inside.begin, 2 * columns, zero_pair);
            fill(planes + 2 * inside.end, 2 * (columns - inside.end), 2 * columns, zero_pair);
            const uint32_t count = inside.end - inside.begin;
            rows_t rows = {
                .to = planes + 2 * inside.begin,
                .pitch = channels,
                .plane = block.plane,
                .bytes = count * channels,
            };
            uint32_t outside = 0;
            for (int32_t r = 0; r < 4; r++) {
                const int32_t y = top + (r == 3 && !two ? 2 : r); // never more than is needed
                const int32_t near = tac_clamp(y, 0, op->in_h - 1);
                outside |= (uint32_t)(y != near && (r < 3 || two)) << r;
                rows.at[r] = in + (uint32_t)near * in_row +
                             (left + (int32_t)inside.begin) * (int32_t)channels;
            }
            block.w = tac_table(image, op->weights);
            block.second = two ? op->out_w * channels : 0;
            int8_t *out = (int8_t *)(arena + op->out) + (oy * op->out_w + ox) * channels;
            for (uint32_t c = 0;;) {
                if (count) {
                    split(&rows, c);
                }
                for (uint32_t r = 0; outside >> r; r++) {
                    if (outside >> r & 1) {
                        blank_row(planes, r, columns, block.plane, zero);
                    }
                }
                block.out = out + c;
                stage2(&block);
                if (c + 4 == channels) {
                    break;
                }
                block.w += 4 * TAC_PACKED_DW_WORDS;
                c += c + 8 <= channels ? 4 : channels - 4 - c;
            }
        }
    }
}
