// SPDX-License-Identifier: MIT
// The static context of a board: arena, models, scheduler (board_context.c), store (board_store.c)
// and link buffers (board_link.c), glued to the port.
//
// Both bindings of `_tactus` (cpython/, micropython/) are thin wrappers of these functions. No
// interpreter header is used here. Functions that return int return >= 0 or a tac_error.h code;
// those that need the flash return TAC_ERR_STATE before tac_board_open(). One thread at a time.
#ifndef TAC_BOARD_CONTEXT_H
#define TAC_BOARD_CONTEXT_H

#include <stddef.h>
#include <stdint.h>

#include "sched/sched.h"
#include "store/slot.h"
#include "tac_error.h"

typedef struct tac_view { // bytes that somebody else owns; data == NULL when there are none
    uint8_t *data;
    uint32_t bytes;
} tac_view_t;

typedef struct tac_plan_summary {
    uint32_t op_count, arena_bytes, input_bytes, output_bytes, wcet_total_us, wcet_max_us, kernels;
    uint32_t mandatory_us; // of wcet_total_us, what the early answer takes; 0 = no early exit
} tac_plan_summary_t;

enum { TAC_MEMORY_PARTS = 7 };
typedef struct tac_memory_part {
    const char *name;
    uint32_t bytes;
} tac_memory_part_t;

// Opens port, flash, store and console. Forgets tasks and a half-received message. See
// tac_port_open().
int tac_board_open(const char *flash_path, int link_fd);
// Who takes what of RAM. The parts sum up to the RAM of the board; where it has no fixed RAM, only
// ours are nonzero.
void tac_board_memory(tac_memory_part_t parts[TAC_MEMORY_PARTS]);
uint32_t tac_board_kernels(void);     // bit set of the op kinds this engine runs
tac_view_t tac_board_root_keys(void); // 32 bytes each, one after the other; read only

// Engine. The image is checked by each call that takes one.
// wcet_max_us: of the ops of at most limit_us; with a job's budget, of those that it may run.
int tac_board_plan_info(const uint8_t *image, size_t bytes, uint32_t limit_us,
                        tac_plan_summary_t *summary);
// One shot at arena offset 0: data = all inputs, concatenated; out receives all outputs. Returns
// the bytes written. TAC_ERR_STATE while the scheduler runs, TAC_ERR_ARGUMENT when data has another
// size, TAC_ERR_SPACE for out.
int tac_board_engine_run(const uint8_t *image, size_t image_bytes, const uint8_t *data,
                         size_t data_bytes, uint8_t *out, size_t out_bytes);
// One run at arena offset 0 on made-up input: measures each op as the dispatcher does. times: one
// u32 (this CPU's byte order) per op record, raised where an op took longer, us. pattern: 0 random
// bytes, 1 random extremes, 2 all -128, 3 all 127, 4 small values around zero; seed for 0, 1 and 4.
// Returns the sum of this run's ops, us, or an error as _engine_run() does.
int tac_board_engine_times(const uint8_t *image, size_t image_bytes, uint32_t pattern,
                           uint32_t seed, uint8_t *times, size_t times_bytes);

// Scheduler. Tasks are indices as returned by _add(). policy: enum tac_policy; whole:
// tac_task_params_t.
void tac_board_sched_reset(void);
int tac_board_sched_add(const uint8_t *image, size_t bytes, uint32_t arena_offset,
                        uint32_t period_us, uint32_t deadline_us, uint32_t budget_us,
                        uint32_t policy, uint32_t whole);
// The lite variant lies where the full one does.
int tac_board_sched_add_lite(uint32_t task, const uint8_t *image, size_t bytes, uint32_t budget_us);
int tac_board_sched_set_mode(uint32_t mode, uint32_t task, uint32_t period_us, uint32_t deadline_us,
                             uint32_t budget_us, uint32_t variant);
int tac_board_sched_want_mode(uint32_t mode);
int tac_board_sched_start(uint32_t delay_us, uint32_t speed);
void tac_board_sched_stop(void);
// Bytes of a task's arena up to the last one that anything wrote since the start, which paints it;
// also above the planned size, if it came to that. 0 for no such task, and after a
// one-shot run, which shares the arena. Cost: the untouched bytes, at most 1,024 more than planned.
// Where tasks share bytes, those that any of them wrote; bytes above that are another's do not
// count.
uint32_t tac_board_arena_touched(uint32_t task);
// Runs until a job wants its input, at most until limit_us from now (scheduler's clock) when idle.
// Returns kind | number << 4: of START the number is TAC_BOARD_WANTS * task + variant, or + 2 when
// the job starts again on the lite variant and wants the same input once more; _feed() goes on to
// the same limit, with the tag of the input or, negative, without one. DONE is not returned.
enum { TAC_BOARD_WANTS = 3, TAC_BOARD_LITE_AGAIN = 2 };
int tac_board_sched_run(uint32_t limit_us);
int tac_board_sched_feed(int32_t tag); // TAC_ERR_STATE when nothing was asked for
tac_view_t tac_board_sched_input(uint32_t task, uint32_t variant);
tac_view_t tac_board_sched_output(uint32_t task);
// started_us: low 30 bits of the clock when the work began
void tac_board_sched_background(uint32_t started_us, uint32_t is_collection);
void tac_board_collected(uint32_t pause_us, int is_forced);
int tac_board_sched_loop(uint8_t *buf, size_t size);
const tac_sched_t *tac_board_sched(void); // for what reads it: board_trial.c
// Sends a stream frame (SPEC.md), written into the transmit buffer. with_events: the event ring,
// too, where it is frozen. Returns the bytes of the message; TAC_ERR_SPACE.
int tac_board_sched_frame(uint32_t sequence, uint32_t with_events);
int tac_board_sched_frozen(void); // 1 after the first miss: the event ring stands
// Longest start latency and response time of a task, us; TAC_ERR_NOT_FOUND.
int tac_board_sched_longest(uint32_t task, uint32_t longest_us[2]);
int tac_board_sched_stats(uint32_t task, uint8_t *buf, size_t size);
// buf: u32 next cursor, then at most max_records results.
int tac_board_sched_results(uint32_t cursor, uint32_t max_records, uint8_t *buf, size_t size);
int tac_board_sched_events(uint8_t *buf, size_t size);

// out[i] = clamp(rint((samples[first + i] * lsb) * (1 / scale)) + zero_point), i < count, in
// IEEE-754 float32 without contraction, so that it equals torch.quantize_per_tensor(counts.float()
// * lsb, scale, zero_point). lsb and scale are float32 bit patterns. samples: little-endian int16,
// `bytes` long. TAC_ERR_ARGUMENT: scale is not a normal positive number, lsb not finite, or
// zero_point no int8; TAC_ERR_SPACE: samples or out are too short.
int tac_board_quantize_i16(const uint8_t *samples, size_t bytes, uint32_t first, uint32_t count,
                           uint32_t lsb_bits, uint32_t scale_bits, int32_t zero_point, uint8_t *out,
                           size_t out_bytes);
// The same for a model that takes float32: out[i] = samples[first + i] * lsb.
int tac_board_scale_i16(const uint8_t *samples, size_t bytes, uint32_t first, uint32_t count,
                        uint32_t lsb_bits, uint8_t *out, size_t out_bytes);

// Link. Messages of all links come one by one.
// Takes in received bytes. Length of the message that waits, or 0; one that is longer than
// tac_board_link_rx() lies there as far as it fits.
int tac_board_link_poll(void);
tac_view_t tac_board_link_rx(void);
void tac_board_link_done(void);
tac_view_t tac_board_link_tx(void);
int tac_board_link_send(uint32_t bytes); // to the link that the last message came by
void tac_board_link_stream(void);        // stream frames go there, too, from now on
void tac_board_link_counters(
    uint32_t counters[5]); // frames, errors_crc, errors_format, errors_size, sent

// Store. slot is 0 or 1, otherwise TAC_ERR_ARGUMENT.
int tac_board_slot_info(uint32_t slot, tac_slot_info_t *info);
int tac_board_slot_begin(uint32_t slot, uint32_t length, const uint8_t sha256[32]);
int tac_board_slot_write(uint32_t slot, uint32_t offset, const uint8_t *data, size_t bytes);
int tac_board_slot_finish(uint32_t slot, uint32_t most_bytes);
int tac_board_slot_mark(uint32_t slot, uint32_t state, uint32_t reason, tac_floors_t floors);
int tac_board_slot_erase(uint32_t slot);
// A trial that a reset ended becomes BAD with what tac_port_reset_cause() tells of it.
int tac_board_slot_select(void);
tac_view_t
tac_board_slot_data(uint32_t slot); // the announced length of a non-empty slot; read only
tac_floors_t tac_board_floors(void);
tac_view_t tac_board_replay(void); // read only

#endif
