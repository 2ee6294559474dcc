// SPDX-License-Identifier: MIT
// The dispatcher: EDF with preemption between ops, on an absolute release grid r_k = r_0 + k*T.
//
// One tac_sched_t is the whole state; the caller owns it (static memory). The caller's loop is
//     for (;;) switch (tac_sched_run(s, until) & 15) { START: fill the input, tac_sched_begin();
//     ... }
// so that sources and sinks stay outside. Integers only, microseconds, 64-bit clock.
// All statistics are relative to the grid; definitions in protocol/SPEC.md section "Statistics".
#ifndef TAC_SCHED_SCHED_H
#define TAC_SCHED_SCHED_H

#include "engine/exec.h"
#include "sched/hist.h"

#ifndef TAC_TASKS_MAX
#define TAC_TASKS_MAX 4
#endif
#ifndef TAC_RESULTS_MAX
#define TAC_RESULTS_MAX 512 // power of two
#endif
#define TAC_EVENTS_MAX 32
#define TAC_RESULT_BYTES 16
#define TAC_VARIANTS 2 // of a task's model: full and lite
#define TAC_MODES_MAX 4
#define TAC_DEGRADE_HOLD 16 // lite jobs in a row with room for the full variant that bring it back

enum tac_policy {
    TAC_POLICY_ABORT = 0,
    TAC_POLICY_SKIP_NEXT = 1,
    TAC_POLICY_DEGRADE = 2,
    TAC_POLICY_COUNT_ONLY = 3
};

// What tac_sched_run() came back for: kind | task << 4.
enum tac_sched_event {
    TAC_SCHED_START = 1, // the task's job is next and wants its input: write it into the model of
                         // tac_sched_variant(), then tac_sched_begin() or _skip()
    TAC_SCHED_DONE = 2, // the job finished; its output is in place until the next START of the task
    TAC_SCHED_ATTENTION = 3, // idle, and the port's attention() says that background work waits
    TAC_SCHED_UNTIL = 4,     // idle, and until_us has passed
    TAC_SCHED_STOPPED = 5,   // not started
};

typedef struct tac_sched_port {
    uint64_t (*now_us)(void *ctx); // monotonic
    void (*wait_until)(void *ctx,
                       uint64_t at_us); // sleep; may return early, at the latest at at_us
    int (*attention)(void *ctx);        // nonzero when background work waits; cheap
    void *ctx;
} tac_sched_port_t;

enum tac_variant { TAC_VARIANT_FULL = 0, TAC_VARIANT_LITE = 1 };

typedef struct tac_task_params {
    uint32_t period_us, deadline_us, budget_us; // 0 < budget <= deadline <= period
    uint8_t policy;                             // enum tac_policy
    uint8_t whole; // nonzero: from START to DONE no other job runs, so that arena may be shared
} tac_task_params_t;

typedef struct tac_timing {                     // of one task in one mode
    uint32_t period_us, deadline_us, budget_us; // as above; period 0 = the task is off
    uint8_t variant;                            // enum tac_variant: what its jobs begin with
} tac_timing_t;

typedef struct tac_task_stats {
    uint32_t released, done, missed_late, aborted, skipped;
    uint32_t wcet_exceeded;       // ops that ran longer than their record declares
    uint32_t budget_exceeded;     // jobs stopped by or run past their budget
    uint32_t mk16_max, mk64_max;  // most misses seen in any 16 / 64 consecutive releases
    uint32_t cycle_jitter_max_us; // max |start_k - start_(k-1) - T|
    int32_t lateness_max_us;      // max(end - absolute deadline)
    tac_hist_t start;             // start latency
    tac_hist_t response;          // response time of finished jobs
    uint32_t exec_n, exec_min_us, exec_max_us; // net of preemption
    uint64_t exec_sum_us;
    uint32_t done_lite;          // of `done`, those of the lite variant
    uint32_t degraded, restored; // times the degrade policy went to lite and back
    uint32_t restarted;          // jobs begun again on the lite variant within their budget
    uint32_t wcet_excess_max_us; // worst op: by how much, and which
    uint16_t wcet_excess_op;
} tac_task_stats_t;

typedef struct tac_loop_stats { // of the whole board, scheduler's clock
    uint64_t idle_us, op_us, background_us;
    uint32_t ops, preemptions;
    uint32_t background_count, background_max_us;
    uint32_t mode_switches, mode_wait_max_us;
    uint32_t gc_count, gc_forced, gc_pause_max_us;
} tac_loop_stats_t;

typedef struct tac_result { // 36 bytes, as shipped
    uint32_t sequence;      // 0, 1, 2, ... over all tasks
    uint32_t tag;           // what the source said at begin
    uint32_t job;           // release number k
    uint32_t response_us;
    uint8_t task;
    uint8_t flags; // bit 0 = late, bit 1 = of the lite variant
    uint8_t bytes; // of output used
    uint8_t reserved;
    uint8_t output[TAC_RESULT_BYTES]; // first bytes of output 0
} tac_result_t;

typedef struct tac_event { // 16 bytes, as shipped
    uint32_t at_us;        // since start, low 32 bits
    uint32_t job;
    uint8_t task;
    uint8_t kind; // 1 release 2 start 3 op 4 preempted 5 done 6 late 7 aborted 8 skipped
                  // 9 background 10 mode
    uint16_t op;
    uint32_t value; // duration or lateness, us
} tac_event_t;

typedef struct tac_sched
    tac_sched_t; // full definition in sched/sched_state.h for the owner's allocation

// Forgets everything, tasks included.
void tac_sched_init(tac_sched_t *s, const tac_sched_port_t *port);
// Adds a task around an initialised model (caller-owned). Returns its index or TAC_ERR_SPACE /
// _ARGUMENT / _STATE.
int tac_sched_add(tac_sched_t *s, tac_model_t *model, const tac_task_params_t *params);
// Gives a task a lighter variant: another initialised model in the same arena, for the degrade
// policy and for modes. budget_us: the sum of its declared times, at most the task's budget.
int tac_sched_add_lite(tac_sched_t *s, unsigned task, tac_model_t *model, uint32_t budget_us);
// Says how a task runs in mode 1..TAC_MODES_MAX-1; without it, as in mode 0, which is what the task
// was added with. Each mode has to be admitted by the caller.
int tac_sched_set_mode(tac_sched_t *s, unsigned mode, unsigned task, const tac_timing_t *timing);
// Wants another mode. It begins, with a new grid, at the first instant at which no job is there:
// mixing two admitted sets is not safe otherwise. The last wish counts.
int tac_sched_want_mode(tac_sched_t *s, unsigned mode);
// First releases, in mode 0, at now + delay_us. `speed` >= 1 shortens idle waiting: while idle the
// scheduler's clock runs `speed` times as fast; busy time, budgets and deadlines are never scaled.
// Statistics are cleared.
int tac_sched_start(tac_sched_t *s, uint32_t delay_us, uint32_t speed);
void tac_sched_stop(tac_sched_t *s);
// Dispatches until something for the caller happens. Never blocks past until_us (scheduler's clock)
// when idle.
int tac_sched_run(tac_sched_t *s, uint64_t until_us);
int tac_sched_begin(tac_sched_t *s, unsigned task, uint32_t tag); // after START
int tac_sched_skip(tac_sched_t *s,
                   unsigned task); // after START: no input; the release counts as skipped
// After START: nonzero when the job had its input before and starts again on the lite variant.
int tac_sched_is_again(const tac_sched_t *s, unsigned task);
unsigned tac_sched_variant(const tac_sched_t *s, unsigned task); // of the active job
tac_model_t *tac_sched_model(const tac_sched_t *s, unsigned task, unsigned variant); // NULL = none
uint64_t tac_sched_now_us(const tac_sched_t *s); // the scheduler's clock
const tac_task_stats_t *tac_sched_stats(const tac_sched_t *s, unsigned task);
const tac_loop_stats_t *tac_sched_loop_stats(const tac_sched_t *s);
// Tells the dispatcher that background work took [from_us, now). is_collection marks its event; the
// longest piece is counted without collections, which have a maximum of their own.
void tac_sched_background(tac_sched_t *s, uint64_t from_us, int is_collection);
// Counts a garbage collection of pause_us. is_forced: not one that the loop placed into slack.
void tac_sched_collected(tac_sched_t *s, uint32_t pause_us, int is_forced);

// Shipping. Each packs little-endian into buf and returns the bytes written or TAC_ERR_SPACE;
// formats in SPEC.md.
int tac_sched_pack_loop(const tac_sched_t *s, uint8_t *buf, size_t size);
int tac_sched_pack_stats(const tac_sched_t *s, unsigned task, uint8_t *buf, size_t size);
// *cursor: next sequence wanted; advanced past what was packed. A cursor older than the ring jumps
// to its oldest.
int tac_sched_pack_results(const tac_sched_t *s, uint32_t *cursor, uint8_t *buf, size_t size);
int tac_sched_pack_events(const tac_sched_t *s, uint8_t *buf,
                          size_t size); // oldest first; frozen at the first miss
int tac_sched_events_frozen(const tac_sched_t *s);

#endif
