// SPDX-License-Identifier: MIT
// DWCONV2D 3x3 packed for Armv7E-M DSP (engine/packed.h): four channels at a time, with stride 1
// two output rows at once.
//
// Stage 1 turns the 4 (3) input rows of four channels into a plane a channel: for each column the
// halfwords (row 0, row 1) and (row 2, row 3): 26 (23) instructions for four channels and a column.
// Stage 2 walks a plane: one LDM fetches three columns; the weights of a kernel column are the
// halfwords (w0, w1) and (w1, w2), so that 12 SMLAxy make two outputs, 18 MACs, one below the
// other: 31 instructions with ReLU, 47 otherwise; with other strides 19 and 26 for one output. A
// channel costs 26 more. Cortex-M4 cycles of the loop with ReLU, by the table of the core's manual:
// about 47 for two outputs, 34 for one.
//
// Step: a row pair (a row), a tile of columns, four channels, in this order of loops; rows and
// tiles from the last one backwards with TAC_OP_REVERSE. It loads all it needs before it stores. A
// last row without a partner stores both results in one place, its own one last. Channels that are
// left over are computed together with some of the block before.
// Conditions: in_c = out_c >= 4, kernel 3x3, dilation 1, any stride and padding, and packed.h's.
#include "engine/packed.h"

// What both stages need for the blocks of a step; it lies on the asm's stack as here.
typedef struct blocks {
    int32_t constants[4]; // of a channel: bias, mult, constant, shift
    int8_t *out;          // next channel, first column
    uint32_t advance;     // bytes of a plane from one window to the next
    const int32_t *end;   // of the windows in a plane
    uint32_t out_pixel;   // bytes to the next column
    const int32_t *w;     // stream
    const int32_t *block; // end of a block in it
    const int32_t *w_end;
    uint32_t span;       // bytes of a plane that windows start at
    int32_t gap;         // bytes from there to the next plane
    int32_t rewind;      // bytes from behind the last column to the first one of the next channel
    uint32_t second;     // bytes to the same place of the second row, 0 = there is none
    int32_t *planes;     // of four channels
    uint32_t after;      // where to go on after stage 1: blank, or stage 2
    const int8_t *at[4]; // channel 0 of the column behind the last one inside the input
    int32_t *to;         // place of the first one in the first plane
    uint32_t pitch;      // bytes from column to column
    uint32_t plane;      // bytes of a plane
    int32_t start;       // bytes from `at` to the next block in the first column, below zero
    int32_t low, high;
    uint32_t outside; // bits: rows outside the input
    int32_t zero;     // what they read as
    const int32_t *planes_end;
    uint32_t stage2; // where to go on after stage 1 and what follows it
    uint32_t blank;  // 0; to a multiple of words
} blocks_t;

// Stage 1 puts the columns of the channels c..c+3 into four planes; without a fourth row it leaves
// anything in the halfword of that. Where rows lie outside, `blank` puts the zero point into their
// halfwords. Stage 2 makes and stores outputs of four planes.
#if TAC_DSP
// Stage 1: r0-r3 rows, r4 to, r5 pitch, r6 plane, r12 offset in the rows. The planes are stored
// upwards in one column and downwards in the next, so that r4 needs no rewinding.
// Stage 2: r0 plane, r1-r6 weights, r7-r12 three columns.
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
        "ldr \\t, [sp, #100]\n"
        "cmp \\acc, \\t\n"
        "it lt\n"
        "movlt \\acc, \\t\n"
        "ldr \\t, [sp, #104]\n"
        "cmp \\acc, \\t\n"
        "it gt\n"
        "movgt \\acc, \\t\n"
        ".endif\n"
        ".endm\n"
        ".macro TAC_DW_COLUMN four, move\n"
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
        "adds r12, r12, r5\n"
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
        ".macro TAC_DW_STAGE1 kind, four\n"
        ".thumb_func\n"
        "tac_dw_\\kind:\n"
        "add r7, sp, #68\n"
        "ldm r7, {r0-r6, r12}\n"
        "add r8, r12, #4\n"
        "str r8, [sp, #96]\n"
        "1:\n"
        "TAC_DW_COLUMN \\four, add\n"
        "bpl 2f\n"
        "TAC_DW_COLUMN \\four, sub\n"
        "bmi 1b\n"
        "2:\n"
        "ldr pc, [sp, #64]\n"
        ".endm\n"
        ".macro TAC_DW_STAGE2 kind, pair, form, relu\n"
        ".thumb_func\n"
        "tac_dw_\\kind\\()_\\form:\n"
        "ldr r0, [sp, #60]\n"
        "ldr r7, [sp, #32]\n"
        "ldr r12, [sp, #16]\n"
        "add r8, r7, #96\n" // four records
        "str r8, [sp, #36]\n"
        "2:\n"
        "ldm r7!, {r1, r3, r5, r8-r10}\n"
        "rbit r11, r10\n"
        "clz r11, r11\n"
        "add r11, #1\n"
        "str r7, [sp, #32]\n"
        "stm sp, {r8-r12}\n"
        "ldr r8, [sp, #44]\n"
        "add r8, r0\n"
        "str r8, [sp, #24]\n"
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
        "ldr r8, [sp, #56]\n"
        "strb r7, [r12, r8]\n"
        "ldrd r8, r9, [sp, #24]\n" // end, out_pixel
        "strb lr, [r12]\n"
        ".else\n"
        "smuad lr, r7, r1\n"
        "smlabt lr, r8, r2, lr\n"
        "smlad lr, r9, r3, lr\n"
        "smlabt lr, r10, r4, lr\n"
        "smlad lr, r11, r5, lr\n"
        "smlabt r7, r12, r6, lr\n"
        "ldm sp, {r8-r12, lr}\n"
        "add r0, lr\n"
        "TAC_DW_FINISH \\relu, r7, lr\n"
        "ldrd r8, r9, [sp, #24]\n" // end, out_pixel
        "strb r7, [r12]\n"
        ".endif\n"
        "add r12, r9\n"
        "str r12, [sp, #16]\n"
        "cmp r0, r8\n"
        "bne 3b\n"
        "ldrd r8, r9, [sp, #48]\n" // gap, rewind
        "add r0, r8\n"
        "add r12, r9\n"
        "ldrd r7, r8, [sp, #32]\n"
        "cmp r7, r8\n"
        "bne 2b\n"
        "str r12, [sp, #16]\n"
        "ldr r8, [sp, #40]\n"
        "cmp r7, r8\n"
        "bne.w tac_dw_\\kind\n"
        "b.w tac_dw_exit\n"
        ".endm\n"
        ".section .text.tac_dw_run, \"ax\", %progbits\n"
        ".balign 4\n"
        ".type tac_dw_run, %function\n"
        ".thumb_func\n"
        "tac_dw_run:\n"
        "push {r4-r11, lr}\n"
        "sub sp, #128\n"
        "mov lr, sp\n"
        ".rept 4\n"
        "ldm r0!, {r2-r9}\n"
        "stm lr!, {r2-r9}\n"
        ".endr\n"
        "bx r1\n"
        ".thumb_func\n"
        "tac_dw_exit:\n"
        "add sp, #128\n"
        "pop {r4-r11, pc}\n"
        ".thumb_func\n"
        "tac_dw_blank:\n"
        "ldr r7, [sp, #60]\n"
        "ldrd r8, r9, [sp, #108]\n"   // outside, zero
        "ldrd r10, r11, [sp, #116]\n" // planes_end, stage2
        "1:\n"
        "lsrs r8, r8, #1\n"
        "bcc 3f\n"
        "mov r12, r7\n"
        "2:\n"
        "strh r9, [r12]\n"
        "strh r9, [r12, #8]\n"
        "strh r9, [r12, #16]\n"
        "strh r9, [r12, #24]\n"
        "add r12, #32\n"
        "cmp r12, r10\n"
        "bne 2b\n"
        "3:\n"
        "adds r7, #2\n"
        "add r10, #2\n"
        "cmp r8, #0\n"
        "bne 1b\n"
        "bx r11\n"
        "TAC_DW_STAGE1 pair, 1\n"
        "TAC_DW_STAGE2 pair, 1, relu, 1\n"
        "TAC_DW_STAGE2 pair, 1, clamp, 0\n"
        "TAC_DW_STAGE1 row, 0\n"
        "TAC_DW_STAGE2 row, 0, relu, 1\n"
        "TAC_DW_STAGE2 row, 0, clamp, 0\n"
        ".size tac_dw_run, .-tac_dw_run\n"
        ".text\n");
// Runs from `entry`, stage 1 or stage 2 of a block, on to the end of the last block.
void tac_dw_run(const blocks_t *blocks, uint32_t entry);
extern const uint8_t tac_dw_pair[], tac_dw_pair_relu[], tac_dw_pair_clamp[];
extern const uint8_t tac_dw_row[], tac_dw_row_relu[], tac_dw_row_clamp[], tac_dw_blank[];
#define TAC_DW_ENTRY(name) ((uint32_t)tac_dw_##name | 1u)
#else
enum { tac_dw_blank, tac_dw_pair, tac_dw_row, tac_dw_stage2 = 4 };
enum { tac_dw_pair_relu = tac_dw_stage2, tac_dw_pair_clamp, tac_dw_row_relu, tac_dw_row_clamp };
#define TAC_DW_ENTRY(name) ((uint32_t)tac_dw_##name)

static int32_t finish(const blocks_t *blocks, int relu, const int32_t *w, int32_t sum) {
    int32_t twice = (int32_t)((uint32_t)w[3] + ((uint32_t)sum << 1));
    int32_t y = tac_smmlar(twice, w[4], w[5]);
    const uint32_t shift = tac_packed_dw_shift(w[5]);
    if (relu) {
        return tac_ssat8(y >> shift);
    }
    return tac_clamp(tac_packed_away(y, twice) >> shift, blocks->low, blocks->high);
}

static void stage1(const blocks_t *blocks, int four) {
    int32_t *to = blocks->to;
    for (int32_t at = blocks->start; at < 0; at += (int32_t)blocks->pitch, to += 2) {
        for (int32_t i = 0; i < 4; i++) {
            int32_t *p = to + (uint32_t)i * blocks->plane / 4;
            const int8_t *const *rows = blocks->at;
            p[0] = (int32_t)tac_pack_low((uint32_t)rows[0][at + i], (uint32_t)rows[1][at + i]);
            p[1] = rows[2][at + i];
            if (four) {
                p[1] = (int32_t)tac_pack_low((uint32_t)p[1], (uint32_t)rows[3][at + i]);
            }
        }
    }
}

static void blank(const blocks_t *blocks) {
    for (uint32_t r = 0; blocks->outside >> r; r++) {
        for (int32_t *at = blocks->planes; at != blocks->planes_end; at += 2) {
            if (blocks->outside >> r & 1) {
                memcpy((uint8_t *)at + 2 * r, &blocks->zero, 2);
            }
        }
    }
}

static void stage2(const blocks_t *blocks, int relu, int pair) {
    const int32_t *w = blocks->w, *plane = blocks->planes;
    for (uint32_t c = 0; c < 4; c++, w += TAC_PACKED_DW_WORDS, plane += blocks->plane / 4) {
        int8_t *out = blocks->out + c;
        for (uint32_t at = 0; at != blocks->span; at += blocks->advance, out += blocks->out_pixel) {
            const int32_t *x = plane + at / 4;
            int32_t first = 0, second = 0;
            for (int column = 0; column < 3; column++, x += 2) {
                const int32_t w01 = (int32_t)tac_sxtb16((uint32_t)w[column]);
                const int32_t w12 = (int32_t)tac_sxtb16_odd((uint32_t)w[column]);
                first = tac_smlad(x[0], w01, first) + (int16_t)x[1] * (w12 >> 16);
                second = tac_smlad(x[1], w12, second) + (x[0] >> 16) * (int16_t)w01;
            }
            if (pair) {
                out[blocks->second] = (int8_t)finish(blocks, relu, w, second);
            }
            out[0] = (int8_t)finish(blocks, relu, w, first);
        }
    }
}

static void tac_dw_run(const blocks_t *from, uint32_t entry) {
    blocks_t blocks = *from;
    do {
        if (entry < tac_dw_stage2) {
            stage1(&blocks, entry == tac_dw_pair);
            blocks.start += 4;
            blank(&blocks);
        }
        const uint32_t stage = blocks.stage2;
        stage2(&blocks, stage == tac_dw_pair_relu || stage == tac_dw_row_relu,
               stage < tac_dw_row_relu);
        blocks.out += 4;
        blocks.w += 4 * TAC_PACKED_DW_WORDS;
    } while (blocks.w != blocks.w_end);
}
#endif

static void fill(int32_t *to, uint32_t words, uint32_t plane, int32_t value) {
    for (uint32_t c = words ? 0 : 4; c < 4; c++, to += plane) {
        for (uint32_t i = 0; i < words; i++) {
            to[i] = value;
        }
    }
}

// Sets what depends on the tile of `outputs` columns from ox on, and blanks the columns outside.
// Gives the bytes from the start of an input row to the column behind the last one inside.
static int32_t set_columns(blocks_t *blocks, const tac_op_t *op, uint32_t ox, uint32_t outputs) {
    const int32_t channels = op->out_c;
    const uint32_t columns = (outputs - 1) * op->stride_w + 3;
    const int32_t left = (int32_t)(ox * op->stride_w) - op->pad_l;
    const tac_taps_t inside = tac_clip_taps(left, columns, 1, op->in_w);
    int32_t *const planes = blocks->planes;
    const int32_t zeros = (int32_t)tac_pack_low((uint32_t)blocks->zero, (uint32_t)blocks->zero);
    blocks->plane = 8 * columns;
    blocks->planes_end = planes + 8 * columns;
    blocks->span = outputs * blocks->advance;
    blocks->rewind = 1 - (int32_t)outputs * channels;
    blocks->to = planes + 2 * inside.begin;
    blocks->start = -(int32_t)(inside.end - inside.begin) * channels;
    fill(planes, 2 * inside.begin, 2 * columns, zeros);
    fill(planes + 2 * inside.end, 2 * (columns - inside.end), 2 * columns, zeros);
    return (left + (int32_t)inside.end) * channels;
}

// Some blocks of a step; one by one, and without stage 1, where no column is inside the input.
static void run(blocks_t *blocks, uint32_t stage1, uint32_t count) {
    const uint32_t words = 4 * TAC_PACKED_DW_WORDS;
    if (blocks->start < 0) {
        blocks->w_end = blocks->w + count * words;
        tac_dw_run(blocks, stage1);
        return;
    }
    for (; count > 0; count--) {
        blocks->w_end = blocks->w + words;
        tac_dw_run(blocks, blocks->stage2);
        blocks->w = blocks->w_end;
        blocks->out += 4;
    }
}

void tac_packed_dwconv2d(const tac_op_t *op, const uint8_t *image, uint8_t *arena) {
    const uint32_t channels = op->out_c, in_row = (uint32_t)op->in_w * channels;
    const int8_t *in = (const int8_t *)(arena + op->in0);
    const int pair = op->stride_h == 1 && op->stride_w == 1;
    const int relu = tac_packed_form(op) == TAC_FORM_RELU;
    const uint32_t entry = pair ? TAC_DW_ENTRY(pair) : TAC_DW_ENTRY(row);
    const uint32_t stage = pair ? (relu ? TAC_DW_ENTRY(pair_relu) : TAC_DW_ENTRY(pair_clamp))
                                : (relu ? TAC_DW_ENTRY(row_relu) : TAC_DW_ENTRY(row_clamp));
    int32_t *planes = (int32_t *)(void *)(arena + op->scratch);
    const int32_t *w = tac_table(image, op->weights);
    const uint32_t tile = tac_packed_dw_tile(op);
    blocks_t blocks = {
        .advance = 8u * op->stride_w,
        .out_pixel = channels,
        .gap = 8 * (3 - op->stride_w),
        .planes = planes,
        .pitch = channels,
        .low = op->act_min,
        .high = op->act_max,
        .zero = -op->in0_add,
        .stage2 = stage,
    };
    const int reverse = op->flags & TAC_OP_REVERSE;
    const uint32_t height = pair ? 2 : 1, tiles = (op->out_w + tile - 1) / tile;
    const uint32_t steps = (op->row_end - op->row_begin + height - 1u) / height;
    int32_t behind = 0, start = 0;
    for (uint32_t i = 0; i < steps; i++) {
        const uint32_t oy = op->row_begin + (reverse ? steps - 1 - i : i) * height;
        const int32_t top = (int32_t)(oy * op->stride_h) - op->pad_t;
        const int two = pair && oy + 1 < op->row_end;
        const int8_t *rows[4];
        uint32_t outside = 0;
        for (int32_t r = 0; r < 4; r++) {
            const int32_t y = top + (r == 3 && !two ? 2 : r); // never more than is needed
            const int32_t near = tac_clamp(y, 0, op->in_h - 1);
            outside |= (uint32_t)(y != near && (r < 3 || two)) << r;
            rows[r] = in + (uint32_t)near * in_row;
        }
        blocks.outside = outside;
        blocks.after = outside ? TAC_DW_ENTRY(blank) : stage;
        blocks.second = two ? op->out_w * channels : 0;
        for (uint32_t j = 0; j < tiles; j++) {
            const uint32_t ox = (reverse ? tiles - 1 - j : j) * tile;
            if (i == 0 || tiles > 1) {
                const uint32_t left = op->out_w - ox;
                behind = set_columns(&blocks, op, ox, left < tile ? left : tile);
                start = blocks.start;
            }
            for (int32_t r = 0; r < 4; r++) {
                blocks.at[r] = rows[r] + behind;
            }
            int8_t *const to = (int8_t *)(arena + op->out) + (oy * op->out_w + ox) * channels;
            blocks.start = start;
            blocks.w = w;
            blocks.out = to;
            run(&blocks, entry, channels / 4);
            if (channels % 4) {
                blocks.start = start < 0 ? start + (int32_t)channels - 4 : 0;
                blocks.w = w + channels / 4 * 4 * TAC_PACKED_DW_WORDS;
                blocks.out = to + channels - 4;
                run(&blocks, entry, 1);
            }
        }
    }
}
