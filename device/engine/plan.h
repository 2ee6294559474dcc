// SPDX-License-Identifier: MIT
// The plan image: one compiled model, read in place from flash. protocol/SPEC.md, "Plan image".
//
// Little-endian, position-independent, base and every table 16-byte aligned. A header, an I/O
// table, fixed-size op records, then constants. Records hold everything precomputed; nothing is
// relocated or allocated on the device. Activations are NHWC int8 with batch 1 unless an op says
// otherwise. "Image offset" counts bytes from the header, "arena offset" bytes from the arena
// start.
#ifndef TAC_ENGINE_PLAN_H
#define TAC_ENGINE_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include "tac_error.h"

#define TAC_PLAN_MAGIC 0x50434154u // "TACP"
#define TAC_PLAN_VERSION 1u
#define TAC_PLAN_ALIGN 16u
#define TAC_PLAN_OPS_MAX 1024u
#define TAC_PLAN_IO_MAX 8u
#define TAC_PLAN_WORK_MAX (1u << 30) // inner-loop turns of one record (MACs, window taps, elements)

// Operator kinds. Numbers are stable; `kernels` in the header is the bit set (1u << kind).
//
// Semantics are those of ExecuTorch's cortex_m Python reference ops, bit for bit. Above each kind
// stand the fields it uses besides kind and wcet_us; every other field must be zero. WINDOW means
//   in0 out in_h in_w in_c out_h out_w out_c k_h k_w stride_h stride_w dil_h dil_w (both >= 1)
//   pad_t pad_l row_begin row_end act_min act_max
// `out` is the address of the whole output tensor (row 0), whatever the rows of the record. Kinds
// with `count` have no rows: tile them by offsets and count. `out` may equal an input of QUANTIZE,
// ADD, CLAMP, SOFTMAX, COPY and LUT (element i is read before it is written). Input and output may
// overlap further at the distances that host/compile/plan/overlap.py derives from the kernels' step
// order: a step reads all it needs before it writes, writes only its own bytes of the output, and
// no later step reads what an earlier one read last. Any other overlap gives wrong numbers, never a
// wild access.
enum tac_op_kind {
    // f32 -> i8: clamp(rint(x * scale) + out_add), ties to even, NaN -> 0. scale = f32(1 / step).
    // in0 (4-aligned) out out_add act_min act_max scale count
    TAC_OP_QUANTIZE = 1,
    // i8 -> f32: (x + in0_add) * scale.
    // in0 out (4-aligned) in0_add scale count
    TAC_OP_DEQUANTIZE = 2,
    // Weights OHWI; bias int32 or none; mult and shift per output channel. param0 = groups (they
    // divide in_c and out_c), 0 when there is one.
    // WINDOW in0_add out_add weights bias mult shift param0
    TAC_OP_CONV2D = 3,
    // Weights [1,KH,KW,OC]; OC = IC * channel multiplier.
    // WINDOW in0_add out_add weights bias mult shift; flags: TAC_OP_REVERSE where OC = IC
    TAC_OP_DWCONV2D = 4,
    // Weights [out_c, in_c]; mult0/shift0 per tensor; in_h = out_h = number of rows of in_c.
    // in0 out in_h in_c out_h out_c row_begin row_end in0_add out_add act_min act_max weights bias
    // mult0 shift0
    TAC_OP_LINEAR = 5,
    // param0 = left shift, 0..22 (cortex_m: 20); mult/shift 0..2 = in0, in1, output. in_c = 0, or
    // in1 is a vector of in_c elements that repeats.
    // in0 in1 out in_c in0_add in1_add out_add act_min act_max mult0..shift2 param0 count
    TAC_OP_ADD = 6,
    // Dilation 1, in_c = out_c, a tap inside the input in each window; padding never wins.
    // WINDOW
    TAC_OP_MAXPOOL2D = 7,
    // As MAXPOOL2D, in float32 as the reference: (x + in0_add) * scale of the taps inside the input
    // is summed in row order, divided by the number of these taps, divided by scale, rounded to
    // even. scale = f32(mult * 2^shift / 2^31).
    // WINDOW in0_add out_add scale
    TAC_OP_AVGPOOL2D = 8,
    // i8 -> i8 to [act_min, act_max]; relu in the quantized domain.
    // in0 out act_min act_max count
    TAC_OP_CLAMP = 9,
    // count/in_c rows: clamp(rint(256 * e / sum(e)) + out_add) to -128..127, float32, with the
    // table e(d) = f32(exp(-d * input step)), d = 0..255 = row maximum - x, at `weights`.
    // in0 out in_c out_add (-128) weights count
    TAC_OP_SOFTMAX = 10,
    // Bytes; only where a view could not be made an alias.
    // in0 out count
    TAC_OP_COPY = 11,
    // i8 -> i8 through the 256-byte table at `weights` (index = x + 128).
    // in0 out weights count
    TAC_OP_LUT = 12,
    // Constant pad of an NHWC tensor: pad_t rows above and pad_l columns left (negative = crop)
    // and whatever is missing below and right are param0.
    // in0 out in_h in_w in_c out_h out_w out_c (= in_c) pad_t pad_l row_begin row_end param0
    TAC_OP_PAD = 13,
    // Moves `count` elements of param0 bytes (1 or 4): out[i . writes] = in0[i . reads] for every
    // index i of six axes. int32[18] at `weights`: the axes' extents, outermost first (their
    // product
    // is count), then six steps of reads and six of writes, elements, >= 0.
    // in0 out weights param0 count
    TAC_OP_STRIDED = 14,
    // in_c as in ADD.
    // in0 in1 out in_c in0_add in1_add out_add act_min act_max mult0 shift0 count
    TAC_OP_MUL = 15,
    // clamp(rint(f32(in0 + in0_add) / f32(in1 + in1_add) * scale) + out_add); a division by zero
    // gives out_add. in_c as in ADD.
    // in0 in1 out in_c in0_add in1_add out_add act_min act_max scale count
    TAC_OP_DIV = 16,
    // in_c as in ADD.
    // in0 in1 out in_c count
    TAC_OP_MINIMUM = 17,
    TAC_OP_MAXIMUM = 18,
    // in0 [in_h, in_c] times the transposed in1 [out_c, in_c]; in_h = out_h.
    // in0 in1 out in_h in_c out_h out_c row_begin row_end in0_add in1_add out_add act_min act_max
    // mult0 shift0
    TAC_OP_MATMUL = 19,
    // Transposed convolution: input pixel (y, x) reaches the output rows y * stride_h - pad_t + k *
    // dil_h. Weights OHWI; bias int32 or none; mult and shift per output channel.
    // WINDOW in0_add out_add weights bias mult shift
    TAC_OP_TCONV2D = 20,
    // Copies a constant of `count` bytes into the arena.
    // out weights count
    TAC_OP_CONST = 21,
    // float32, for what is not quantized. Tensors 4-aligned; sums run over taps, then channels.
    // param0 = 0: in0 + scale * in1, 1: in0 - scale * in1, 2: in0 * in1, 3: in0 / in1; scale is 1
    // in 2 and 3. in_c as in ADD.
    // in0 in1 out in_c scale param0 count
    TAC_OP_F32_BINARY = 22,
    // param0 = 0: sigmoid, 1: tanh, by polynomials of their own (4 units in the last place).
    // in0 out param0 count
    TAC_OP_F32_UNARY = 23,
    // To the bounds float32[2] at `weights`; NaN stays.
    // in0 out weights count
    TAC_OP_F32_CLAMP = 24,
    // Weights float32 OHWI, bias float32 or none; param0 as in CONV2D.
    // WINDOW without act_min, act_max; weights bias param0
    TAC_OP_F32_CONV2D = 25,
    // As TCONV2D in geometry, as F32_CONV2D in the rest.
    TAC_OP_F32_TCONV2D = 26,
    // As MATMUL.
    // in0 in1 out in_h in_c out_h out_c row_begin row_end
    TAC_OP_F32_MATMUL = 27,
    // count/in_c rows: the sum of each, divided by `scale`.
    // in0 out in_c scale count
    TAC_OP_F32_MEAN = 28,
    // count/in_c rows.
    // in0 out in_c count
    TAC_OP_F32_SOFTMAX = 29,
    TAC_OP_KIND_END = 30,
};

// The kinds this build of the engine runs, as bit sets like `kernels` below: with plain weights
// (layout 0) and with packed ones (layout 1). A build for known packages names fewer, such as
// -DTAC_KERNELS=0x28u: kernels it does not name are not linked, and images that need them are
// refused.
#ifndef TAC_KERNELS
#define TAC_KERNELS 0xFFFFFFFFu
#endif
#ifndef TAC_PACKED_KERNELS
#define TAC_PACKED_KERNELS 0xFFFFFFFFu
#endif
#define TAC_STRIDED_AXES 6u

// Whether this build runs segments; one that does not refuses images with segments.
#ifndef TAC_SEGMENTS
#define TAC_SEGMENTS 1
#endif
// Whether this build takes images with an early exit.
#ifndef TAC_EARLY_EXITS
#define TAC_EARLY_EXITS 1
#endif

// flags of an op record. REVERSE: the steps of a kernel in mirrored order, last output pixel first;
// CONV2D and DWCONV2D of layout 1 can, DWCONV2D of layout 0 with as many channels out as in. It
// changes only what may overlap. FED: an AVGPOOL2D of one window without padding that takes its
// input row by row; only in a segment.
#define TAC_OP_REVERSE 1u
#define TAC_OP_FED 2u

typedef struct tac_plan_io {
    uint32_t offset; // arena offset, bytes
    uint32_t bytes;
} tac_plan_io_t;

typedef struct tac_plan_header { // 64 bytes
    uint32_t magic;
    uint16_t version;
    uint16_t op_count;
    uint32_t image_bytes; // whole image, multiple of 16
    uint32_t ops_offset;  // image offset of op records
    uint32_t io_offset;   // image offset of tac_plan_io_t[input_count + output_count], inputs first
    uint16_t input_count; // 1..TAC_PLAN_IO_MAX, as output_count
    uint16_t output_count;
    uint32_t arena_bytes;     // peak, scratch included
    uint32_t kernels;         // bit set of the kinds used
    uint32_t target;          // highest layout of any op
    uint32_t segments_offset; // image offset of tac_segment_t[segment_count], 4-aligned; 0 = none
    uint32_t segment_count;
    uint32_t mandatory_ops; // records that make the early answer, output 1; 0 = no early exit
    uint32_t reserved[4];   // zero
} tac_plan_header_t;

// One operator, or one tile of output rows of it. Fields a kind does not use are zero.
typedef struct tac_op { // 128 bytes
    uint8_t kind;       // enum tac_op_kind
    uint8_t layout;     // 0 = plain C; 1 = packed for Armv7E-M DSP, engine/packed.h
    uint16_t flags;     // TAC_OP_REVERSE, TAC_OP_FED or zero
    uint32_t wcet_us;   // declared worst execution time on the target, >= 1
    uint32_t in0;       // arena offsets
    uint32_t in1;
    uint32_t out;
    uint32_t scratch; // layout 1: tac_packed_scratch_bytes() bytes; FED: 4 * in_c; 4-aligned
    uint16_t in_h, in_w, in_c;
    uint16_t out_h, out_w, out_c;
    uint16_t k_h, k_w;
    uint16_t stride_h, stride_w;
    uint16_t dil_h, dil_w;
    int16_t pad_t, pad_l;        // rows above / columns left of the input that read as zero point
    uint16_t row_begin, row_end; // output rows of this record; [0, out_h) when not tiled
    int32_t in0_add; // added to an input element before use: minus its zero point, -127..128
                     // (MUL, DIV: -32767..32767)
    int32_t in1_add;
    int32_t out_add;          // output zero point, -128..127
    int32_t act_min, act_max; // -128 <= act_min <= act_max <= 127
    uint32_t weights;         // image offsets, 0 = absent; weights (layout 1: stream) 16-aligned
    uint32_t bias;            // int32[out_c]; tables 4-aligned
    uint32_t mult;            // int32[out_c], per-channel multipliers (Q31)
    uint32_t shift;           // int32[out_c], > 0 = left
    int32_t mult0, shift0;    // multipliers: Q31, above -2^31; shifts: -31..30
    int32_t mult1, shift1;
    int32_t mult2, shift2;
    float scale;
    int32_t param0;
    uint32_t count; // elements of an elementwise op; records of a layout 1 stream
} tac_op_t;

// Segments: runs of neighbouring ops that take turns row by row, so that of a tensor between them
// only the rows that are still needed lie in the arena, in a *ring*. Rings do not wrap: rows
// [base, next) of the tensor lie one after the other from the ring's start (the producer's `out`,
// the consumers' `in0` or `in1`) on, and a slide moves them down. A segment's inputs from outside
// and tensors with ring_rows 0 are whole, base 0 for ever.
//
// Kinds: CONV2D, DWCONV2D, MAXPOOL2D, AVGPOOL2D, PAD; ADD, MUL, CLAMP and LUT, whose out_h is then
// the number of rows, which divides count (and in_c of a repeating in1, which is whole and does not
// move, divides a row). Records describe the whole op; row_begin = 0, row_end = out_h.
//
// Each step of the list either runs the next `rows` output rows of an op, for which their input
// rows (clipped to the tensor; at least one, but for PAD) and room in the ring must be there, or
// slides the ring of an op's output: forgets its `rows` oldest rows. A step of a FED op consumes
// the next `rows` input rows, k_h in all; the last one writes the output. A step that is not
// possible is skipped when its turn comes: a wrong list gives wrong numbers, never a wild access.
// The device does not simulate the list at load, which would cost more than all other checks; the
// compiler does.
#define TAC_SEGMENT_OPS_MAX 12u
#define TAC_SEGMENTS_MAX 255u
#define TAC_SEGMENT_UNITS_MAX 60000u // run steps of all segments
#define TAC_STEP_SLIDE 0x80u
#define TAC_LINK_OUTSIDE 0xFFu

typedef struct tac_step {
    uint8_t what; // op of the segment that runs; with TAC_STEP_SLIDE, whose output's ring slides
    uint8_t rows;
} tac_step_t;

// For each op of a segment: the ops of it that make its inputs (not FED, with `out` and rows as in0
// or in1 here) or TAC_LINK_OUTSIDE; and the rows that the ring of its output holds.
typedef struct tac_link {
    uint8_t in0_from, in1_from;
    uint16_t ring_rows; // 0 = the whole tensor
} tac_link_t;

typedef struct tac_segment { // ascending, disjoint
    uint16_t first_op, op_count;
    uint32_t steps; // image offset of tac_step_t[step_count], the first of which runs an op
    uint16_t step_count;
    uint16_t run_steps; // steps that run an op
    uint32_t links;     // image offset of tac_link_t[op_count], 4-aligned
} tac_segment_t;

_Static_assert(sizeof(tac_plan_header_t) == 64, "plan header layout");
_Static_assert(sizeof(tac_op_t) == 128, "op record layout");
_Static_assert(sizeof(tac_step_t) == 2 && sizeof(tac_link_t) == 4, "segment layout");
_Static_assert(sizeof(tac_segment_t) == 16, "segment layout");

// Validates the whole image once, so that execution needs no check: every offset, size, dimension,
// multiplier, shift, clamp and loop bound against image_bytes and arena_bytes. A hostile image that
// passes cannot make the executor read outside image and arena or write outside the arena, and its
// ops end after at most TAC_PLAN_WORK_MAX turns each. image: 16-byte aligned. Cost: O(ops), and
// O(out_c) per op that has per-channel tables. Returns 0, TAC_ERR_ARGUMENT (alignment) or a
// TAC_ERR_PLAN_* code.
int tac_plan_check(const uint8_t *image, size_t image_bytes, size_t arena_bytes);

// Views of a checked image.
static inline const tac_plan_header_t *tac_plan_header(const uint8_t *image) {
    return (const tac_plan_header_t *)(const void *)image;
}
static inline const tac_op_t *tac_plan_ops(const uint8_t *image) {
    return (const tac_op_t *)(const void *)(image + tac_plan_header(image)->ops_offset);
}
static inline const tac_segment_t *tac_plan_segments(const uint8_t *image) {
    return (const tac_segment_t *)(const void *)(image + tac_plan_header(image)->segments_offset);
}
static inline const tac_step_t *tac_segment_steps(const uint8_t *image,
                                                  const tac_segment_t *segment) {
    return (const tac_step_t *)(image + segment->steps);
}
static inline const tac_link_t *tac_segment_links(const uint8_t *image,
                                                  const tac_segment_t *segment) {
    return (const tac_link_t *)(const void *)(image + segment->links);
}
static inline const tac_plan_io_t *tac_plan_io(const uint8_t *image) {
    return (const tac_plan_io_t *)(const void *)(image + tac_plan_header(image)->io_offset);
}

#endif
