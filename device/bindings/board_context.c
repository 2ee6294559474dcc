// SPDX-License-Identifier: MIT
#include "bindings/board_context.h"

#include <stdbool.h>
#include <string.h>

#include "bindings/board_link.h"
#include "bindings/board_store.h"
#include "engine/exec.h"
#include "port/port.h"
#include "sched/frame.h"
#include "sched/sched.h"
#include "sched/sched_state.h"
#include "tac_board.h"

enum {
    LOW_BITS = 0x3fffffff,
    PAINT_GUARD = 1024, // bytes past an arena where a kernel that leaves it would show
};

static struct {
    _Alignas(16) uint8_t arena[TAC_BOARD_ARENA_BYTES];
    tac_model_t models[TAC_TASKS_MAX][TAC_VARIANTS];
    uint32_t model_count;
    uint64_t limit_us; // of the run that _feed() goes on with, scheduler's clock
    int wanting;       // task that START was returned for, or -1
    tac_sched_t sched;
    bool running; // the scheduler is started: the arena is in use
    bool painted; // and nothing but the tasks wrote to it since
} board;

// ---- glue to the port

static uint64_t clock_now(void *ctx) {
    (void)ctx;
    return tac_port_now_us();
}

static void clock_wait(void *ctx, uint64_t at_us) {
    (void)ctx;
    tac_port_wait_until(at_us);
}

static int attention(void *ctx) {
    (void)ctx;
    // Pumping here keeps partial messages and log noise out of Python: it wakes for complete
    // messages only.
    return tac_port_interrupted() != 0 || tac_board_link_poll() > 0;
}

static const tac_sched_port_t sched_port = {clock_now, clock_wait, attention, NULL};

// ---- board

int tac_board_open(const char *flash_path, int link_fd) {
    tac_board_store_close();
    tac_board_sched_reset();
    int rc = tac_port_open(flash_path, link_fd);
    if (rc != TAC_OK) {
        return rc;
    }
    rc = tac_board_store_open();
    if (rc != TAC_OK) {
        return rc;
    }
    tac_board_link_open();
    return TAC_OK;
}

void tac_board_memory(tac_memory_part_t parts[TAC_MEMORY_PARTS]) {
    uint32_t total = 0, statics = 0, heap = 0, stack = 0;
    tac_port_memory(&total, &statics, &heap, &stack);
    const uint32_t arena = sizeof board.arena;
    const uint32_t statistics = sizeof board.sched;
    const uint32_t link = tac_board_link_ram();
    const uint32_t ours = arena + statistics + link;
    const uint32_t used = statics + heap + stack;
    parts[0] = (tac_memory_part_t){"arena", arena};
    parts[1] = (tac_memory_part_t){"statistics and results", statistics};
    parts[2] = (tac_memory_part_t){"link buffers", link};
    parts[3] = (tac_memory_part_t){"interpreter heap", heap};
    parts[4] = (tac_memory_part_t){"stacks", stack};
    parts[5] = (tac_memory_part_t){"other static", statics > ours ? statics - ours : 0};
    parts[6] = (tac_memory_part_t){"free/unused", total > used ? total - used : 0};
}

uint32_t tac_board_kernels(void) {
    return ((1u << TAC_OP_KIND_END) - 1u) & ~1u;
}

// ---- engine

static uint32_t io_bytes(const uint8_t *image, unsigned first, unsigned count) {
    const tac_plan_io_t *io = tac_plan_io(image);
    uint32_t sum = 0;
    for (unsigned i = first; i < first + count; i++) {
        sum += io[i].bytes;
    }
    return sum;
}

// How often an op runs: once, or at each of its steps in a segment.
static uint32_t turns_of(const uint8_t *image, unsigned op) {
    const tac_segment_t *segment = tac_plan_segments(image);
    for (unsigned left = tac_plan_header(image)->segment_count; left > 0; left--, segment++) {
        if (op < segment->first_op || op >= (unsigned)segment->first_op + segment->op_count) {
            continue;
        }
        const tac_step_t *steps = tac_segment_steps(image, segment);
        uint32_t turns = 0;
        for (unsigned i = 0; i < segment->step_count; i++) {
            turns += steps[i].what == op - segment->first_op;
        }
        return turns;
    }
    return 1;
}

int tac_board_plan_info(const uint8_t *image, size_t bytes, uint32_t limit_us,
                        tac_plan_summary_t *summary) {
    const int rc = tac_plan_check(image, bytes, UINT32_MAX);
    if (rc != TAC_OK) {
        return rc;
    }
    const tac_plan_header_t *header = tac_plan_header(image);
    *summary = (tac_plan_summary_t){
        .op_count = header->op_count,
        .arena_bytes = header->arena_bytes,
        .input_bytes = io_bytes(image, 0, header->input_count),
        .output_bytes = io_bytes(image, header->input_count, header->output_count),
        .kernels = header->kernels,
    };
    const tac_op_t *ops = tac_plan_ops(image);
    for (unsigned i = 0; i < header->op_count; i++) {
        // An image may declare any time: a sum that wraps must not look small.
        const uint64_t sum = summary->wcet_total_us + (uint64_t)ops[i].wcet_us * turns_of(image, i);
        summary->wcet_total_us = sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
        if (i < header->mandatory_ops) {
            summary->mandatory_us = summary->wcet_total_us;
        }
        if (ops[i].wcet_us > summary->wcet_max_us && ops[i].wcet_us <= limit_us) {
            summary->wcet_max_us = ops[i].wcet_us;
        }
    }
    return TAC_OK;
}

int tac_board_engine_run(const uint8_t *image, size_t image_bytes, const uint8_t *data,
                         size_t data_bytes, uint8_t *out, size_t out_bytes) {
    if (board.running) {
        return TAC_ERR_STATE;
    }
    tac_model_t model;
    const int rc = tac_model_init(&model, image, image_bytes, board.arena, sizeof board.arena);
    if (rc != TAC_OK) {
        return rc;
    }
    const tac_plan_header_t *header = tac_plan_header(image);
    const uint32_t outputs = io_bytes(image, header->input_count, header->output_count);
    if (data_bytes != io_bytes(image, 0, header->input_count)) {
        return TAC_ERR_ARGUMENT;
    }
    if (out_bytes < outputs) {
        return TAC_ERR_SPACE;
    }
    board.painted = false;
    tac_exec_reset(&model);
    uint32_t bytes = 0;
    for (unsigned i = 0; i < header->input_count; i++, data += bytes) {
        uint8_t *input = tac_model_input(&model, i, &bytes);
        memcpy(input, data, bytes);
    }
    while (tac_exec_step(&model) > 0) {
    }
    for (unsigned i = 0; i < header->output_count; i++, out += bytes) {
        const uint8_t *output = tac_model_output(&model, i, &bytes);
        memcpy(out, output, bytes);
    }
    return (int)outputs;
}

// ---- painted arena

// Each word has a paint of its own: bytes that a kernel leaves do not look untouched, but for a
// few by chance at the very end.
static uint32_t paint_of(uint32_t word) {
    return word * 0x9E3779B1u ^ 0xA5A5A5A5u;
}

static void paint_arena(void) {
    board.painted = true;
    for (uint32_t word = 0; word < sizeof board.arena / 4; word++) {
        const uint32_t paint = paint_of(word);
        memcpy(board.arena + 4 * (size_t)word, &paint, sizeof paint);
    }
}

static bool is_painted(size_t at) {
    const uint32_t paint = paint_of((uint32_t)(at / 4));
    uint8_t bytes[4];
    memcpy(bytes, &paint, sizeof paint);
    return board.arena[at] == bytes[at % 4];
}

static size_t arena_begin(uint32_t task) {
    return (size_t)(board.models[task][TAC_VARIANT_FULL].arena - board.arena);
}

static size_t arena_end(uint32_t task) {
    uint32_t most = 0;
    for (uint32_t variant = 0; variant < TAC_VARIANTS; variant++) {
        const uint8_t *image = board.models[task][variant].image;
        if (image && tac_plan_header(image)->arena_bytes > most) {
            most = tac_plan_header(image)->arena_bytes;
        }
    }
    return arena_begin(task) + most;
}

uint32_t tac_board_arena_touched(uint32_t task) {
    if (task >= board.model_count || !board.painted) {
        return 0;
    }
    const size_t begin = arena_begin(task);
    size_t planned = begin;
    for (uint32_t i = 0; i < board.model_count; i++) { // all that share the arena
        if (arena_begin(i) == begin && arena_end(i) > planned) {
            planned = arena_end(i);
        }
    }
    size_t end = sizeof board.arena;
    if (end - planned > PAINT_GUARD) {
        end = planned + PAINT_GUARD;
    }
    for (uint32_t i = 0; i < board.model_count; i++) { // what another task writes is not ours
        const size_t other = arena_begin(i);
        if (other >= planned && other < end) {
            end = other;
        }
    }
    while (end > begin && is_painted(end - 1)) {
        end--;
    }
    return (uint32_t)(end - begin);
}

// ---- measured op times

// xorshift32 (Marsaglia, "Xorshift RNGs", 2003): the same bytes on every board.
static void fill_pattern(uint8_t *data, uint32_t bytes, uint32_t pattern, uint32_t seed) {
    uint32_t state = seed == 0 ? 1 : seed;
    for (uint32_t i = 0; i < bytes; i++) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        const uint8_t made[] = {(uint8_t)(state >> 24), (uint8_t)(0x80u - (state >> 31)), 0x80,
                                0x7f, (uint8_t)((state >> 24) % 5u - 2u)};
        data[i] = made[pattern];
    }
}

int tac_board_engine_times(const uint8_t *image, size_t image_bytes, uint32_t pattern,
                           uint32_t seed, uint8_t *times, size_t times_bytes) {
    if (board.running) {
        return TAC_ERR_STATE;
    }
    if (pattern > 4) {
        return TAC_ERR_ARGUMENT;
    }
    tac_model_t model;
    const int rc = tac_model_init(&model, image, image_bytes, board.arena, sizeof board.arena);
    if (rc != TAC_OK) {
        return rc;
    }
    const tac_plan_header_t *header = tac_plan_header(image);
    if (times_bytes != header->op_count * sizeof(uint32_t)) {
        return TAC_ERR_SPACE;
    }
    tac_exec_reset(&model);
    for (unsigned i = 0; i < header->input_count; i++) {
        uint32_t bytes = 0;
        uint8_t *input = tac_model_input(&model, i, &bytes);
        fill_pattern(input, bytes, pattern, seed + i);
    }
    uint64_t sum_us = 0;
    int left;
    do {
        uint8_t *at = times + tac_exec_op(&model) * sizeof(uint32_t);
        const uint64_t begin_us = tac_port_now_us();
        left = tac_exec_step(&model);
        const uint32_t took_us = (uint32_t)(tac_port_now_us() - begin_us);
        uint32_t longest_us;
        memcpy(&longest_us, at, sizeof longest_us);
        if (took_us > longest_us) {
            memcpy(at, &took_us, sizeof took_us);
        }
        sum_us += took_us;
    } while (left > 0);
    return (int)(sum_us & LOW_BITS);
}

// ---- scheduler

void tac_board_sched_reset(void) {
    tac_sched_init(&board.sched, &sched_port);
    board.model_count = 0;
    board.wanting = -1;
    board.running = board.painted = false;
}

int tac_board_sched_add(const uint8_t *image, size_t bytes, uint32_t arena_offset,
                        uint32_t period_us, uint32_t deadline_us, uint32_t budget_us,
                        uint32_t policy, uint32_t whole) {
    if (board.running) {
        return TAC_ERR_STATE;
    }
    if (board.model_count == TAC_TASKS_MAX) {
        return TAC_ERR_SPACE;
    }
    if (arena_offset % TAC_PLAN_ALIGN != 0 || policy > TAC_POLICY_COUNT_ONLY) {
        return TAC_ERR_ARGUMENT;
    }
    if (arena_offset > sizeof board.arena) {
        return TAC_ERR_PLAN_ARENA;
    }
    tac_model_t *model = &board.models[board.model_count][TAC_VARIANT_FULL];
    board.models[board.model_count][TAC_VARIANT_LITE].image = NULL;
    int rc = tac_model_init(model, image, bytes, board.arena + arena_offset,
                            sizeof board.arena - arena_offset);
    if (rc != TAC_OK) {
        return rc;
    }
    const tac_task_params_t params = {period_us, deadline_us, budget_us, (uint8_t)policy,
                                      whole != 0};
    rc = tac_sched_add(&board.sched, model, &params);
    if (rc >= 0) {
        board.model_count++;
    }
    return rc;
}

int tac_board_sched_add_lite(uint32_t task, const uint8_t *image, size_t bytes,
                             uint32_t budget_us) {
    if (board.running) {
        return TAC_ERR_STATE;
    }
    if (task >= board.model_count) {
        return TAC_ERR_NOT_FOUND;
    }
    uint8_t *arena = board.models[task][TAC_VARIANT_FULL].arena;
    tac_model_t *model = &board.models[task][TAC_VARIANT_LITE];
    const int rc = tac_model_init(model, image, bytes, arena,
                                  sizeof board.arena - (size_t)(arena - board.arena));
    return rc != TAC_OK ? rc : tac_sched_add_lite(&board.sched, task, model, budget_us);
}

int tac_board_sched_set_mode(uint32_t mode, uint32_t task, uint32_t period_us, uint32_t deadline_us,
                             uint32_t budget_us, uint32_t variant) {
    if (variant >= TAC_VARIANTS) {
        return TAC_ERR_ARGUMENT;
    }
    const tac_timing_t timing = {period_us, deadline_us, budget_us, (uint8_t)variant};
    return tac_sched_set_mode(&board.sched, mode, task, &timing);
}

int tac_board_sched_want_mode(uint32_t mode) {
    return tac_sched_want_mode(&board.sched, mode);
}

int tac_board_sched_start(uint32_t delay_us, uint32_t speed) {
    if (board.running) {
        return TAC_ERR_STATE;
    }
    paint_arena();
    const int rc = tac_sched_start(&board.sched, delay_us, speed);
    board.running = rc == TAC_OK;
    return rc;
}

void tac_board_sched_stop(void) {
    tac_sched_stop(&board.sched);
    board.running = false;
}

// A finished job's result is kept by the dispatcher: nothing that Python would have to see.
static int go_on(void) {
    int event;
    do {
        event = tac_sched_run(&board.sched, board.limit_us);
    } while ((event & 15) == TAC_SCHED_DONE);
    if ((event & 15) != TAC_SCHED_START) {
        return event;
    }
    board.wanting = event >> 4;
    const unsigned task = (unsigned)board.wanting;
    const unsigned want = tac_sched_is_again(&board.sched, task)
                              ? TAC_BOARD_LITE_AGAIN
                              : tac_sched_variant(&board.sched, task);
    return (int)(TAC_SCHED_START | (TAC_BOARD_WANTS * task + want) << 4);
}

int tac_board_sched_run(uint32_t limit_us) {
    board.limit_us = tac_sched_now_us(&board.sched) + limit_us;
    return go_on();
}

int tac_board_sched_feed(int32_t tag) {
    if (board.wanting < 0) {
        return TAC_ERR_STATE;
    }
    const unsigned task = (unsigned)board.wanting;
    board.wanting = -1;
    const int rc = tag < 0 ? tac_sched_skip(&board.sched, task)
                           : tac_sched_begin(&board.sched, task, (uint32_t)tag);
    return rc < 0 ? rc : go_on();
}

tac_view_t tac_board_sched_input(uint32_t task, uint32_t variant) {
    tac_view_t view = {NULL, 0};
    const tac_model_t *model = tac_sched_model(&board.sched, task, variant);
    if (model != NULL) {
        view.data = tac_model_input(model, 0, &view.bytes);
    }
    return view;
}

tac_view_t tac_board_sched_output(uint32_t task) {
    tac_view_t view = {NULL, 0};
    const tac_model_t *model =
        tac_sched_model(&board.sched, task, tac_sched_variant(&board.sched, task));
    if (model != NULL) {
        unsigned answer = tac_sched_is_early(&board.sched, task) ? 1 : 0;
        view.data = tac_model_output(model, answer, &view.bytes);
    }
    return view;
}

void tac_board_sched_background(uint32_t started_us, uint32_t is_collection) {
    // The length is real time; where it lies is the scheduler's clock, which idle time may bend.
    const uint32_t length_us = ((uint32_t)tac_port_now_us() - started_us) & LOW_BITS;
    tac_sched_background(&board.sched, tac_sched_now_us(&board.sched) - length_us,
                         is_collection != 0);
}

void tac_board_collected(uint32_t pause_us, int is_forced) {
    tac_sched_collected(&board.sched, pause_us, is_forced);
}

int tac_board_sched_loop(uint8_t *buf, size_t size) {
    return tac_sched_pack_loop(&board.sched, buf, size);
}

int tac_board_sched_frame(uint32_t sequence, uint32_t with_events) {
    uint32_t link[TAC_FRAME_LINK_COUNTERS];
    tac_board_link_counters(link);
    const tac_frame_head_t head = {
        .sequence = sequence,
        .uptime_ms = (uint32_t)(tac_port_now_us() / 1000u) & LOW_BITS,
        .link = link,
        .with_events = with_events != 0,
    };
    const tac_view_t tx = tac_board_link_tx();
    const int bytes = tac_sched_frame_message(&board.sched, &head, tx.data, tx.bytes);
    const int sent = bytes < 0 ? bytes : tac_board_link_send_frame((uint32_t)bytes);
    return sent < 0 ? sent : bytes;
}

const tac_sched_t *tac_board_sched(void) {
    return &board.sched;
}

int tac_board_sched_frozen(void) {
    return tac_sched_events_frozen(&board.sched);
}

int tac_board_sched_longest(uint32_t task, uint32_t longest_us[2]) {
    if (task >= board.sched.task_count) {
        return TAC_ERR_NOT_FOUND;
    }
    const tac_task_stats_t *stats = &board.sched.tasks[task].stats;
    longest_us[0] = stats->start.max_us;
    longest_us[1] = stats->response.max_us;
    return TAC_OK;
}

int tac_board_sched_stats(uint32_t task, uint8_t *buf, size_t size) {
    return task < board.model_count ? tac_sched_pack_stats(&board.sched, task, buf, size)
                                    : TAC_ERR_NOT_FOUND;
}

static void put_u32(uint8_t *at, uint32_t value) {
    for (unsigned i = 0; i < 4; i++) {
        at[i] = (uint8_t)(value >> (8 * i));
    }
}

int tac_board_sched_results(uint32_t cursor, uint32_t max_records, uint8_t *buf, size_t size) {
    if (size < 4) {
        return TAC_ERR_SPACE;
    }
    size_t room = size - 4;
    if (max_records < room / sizeof(tac_result_t)) {
        room = max_records * sizeof(tac_result_t);
    }
    const int packed = tac_sched_pack_results(&board.sched, &cursor, buf + 4, room);
    if (packed < 0) {
        return packed;
    }
    put_u32(buf, cursor);
    return packed + 4;
}

int tac_board_sched_events(uint8_t *buf, size_t size) {
    return tac_sched_pack_events(&board.sched, buf, size);
}

// ---- sensor samples as a model takes them

static float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t exponent_of(uint32_t bits) {
    return (bits >> 23) & 0xffu;
}

// 1.5 * 2^23. Added to a float below 2^22 it rounds half to even, without libm, and leaves the
// integer in the low bits of the sum.
static const float ROUND_EVEN = 12582912.0f;
enum { ROUND_EVEN_BITS = 0x4b400000 };

// base: ROUND_EVEN_BITS - zero point
static uint8_t quantized(float steps, uint32_t base) {
    const float sum = steps + ROUND_EVEN;
    uint32_t bits;
    memcpy(&bits, &sum, sizeof bits);
    int32_t q = (int32_t)(bits - base);
    q = q < -128 ? -128 : q > 127 ? 127 : q;
    return (uint8_t)(int8_t)q;
}

static float sample_at(const uint8_t *at) {
    return (float)(int16_t)(uint16_t)(at[0] | (unsigned)at[1] << 8);
}

int tac_board_quantize_i16(const uint8_t *samples, size_t bytes, uint32_t first, uint32_t count,
                           uint32_t lsb_bits, uint32_t scale_bits, int32_t zero_point, uint8_t *out,
                           size_t out_bytes) {
    const uint32_t scale_exponent = exponent_of(scale_bits);
    if ((scale_bits >> 31) != 0 || scale_exponent == 0 || scale_exponent == 0xff ||
        exponent_of(lsb_bits) == 0xff || zero_point < -128 || zero_point > 127) {
        return TAC_ERR_ARGUMENT;
    }
    const size_t available = bytes / 2;
    if (first > available || count > available - first || count > out_bytes) {
        return TAC_ERR_SPACE;
    }
    const float lsb = float_of(lsb_bits);
    const float inverse = 1.0f / float_of(scale_bits);
    const uint8_t *at = samples + 2 * (size_t)first;
    const uint32_t base = ROUND_EVEN_BITS - (uint32_t)zero_point;
    const float largest = 32768.0f * (lsb < 0.0f ? -lsb : lsb) * inverse;
    if (largest < 4194304.0f) { // no sample leaves what quantized() takes
        for (uint32_t i = 0; i < count; i++, at += 2) {
            out[i] = quantized(sample_at(at) * lsb * inverse, base);
        }
        return (int)count;
    }
    for (uint32_t i = 0; i < count; i++, at += 2) {
        const float steps = sample_at(at) * lsb * inverse;
        // Beyond any int8, and small enough.
        out[i] = quantized(steps > 1024.0f ? 1024.0f : steps < -1024.0f ? -1024.0f : steps, base);
    }
    return (int)count;
}

int tac_board_scale_i16(const uint8_t *samples, size_t bytes, uint32_t first, uint32_t count,
                        uint32_t lsb_bits, uint8_t *out, size_t out_bytes) {
    if (exponent_of(lsb_bits) == 0xff) {
        return TAC_ERR_ARGUMENT;
    }
    const size_t available = bytes / 2;
    if (first > available || count > available - first || count > out_bytes / 4) {
        return TAC_ERR_SPACE;
    }
    const float lsb = float_of(lsb_bits);
    const uint8_t *at = samples + 2 * (size_t)first;
    for (uint32_t i = 0; i < count; i++, at += 2, out += 4) {
        const float value = sample_at(at) * lsb;
        memcpy(out, &value, sizeof value);
    }
    return (int)count;
}
