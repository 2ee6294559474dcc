// SPDX-License-Identifier: MIT
// The dispatcher's state: for the owner's static allocation, and between the files
// of this folder.
// Everyone else goes through sched/sched.h. About 25 KiB with the default ring sizes, three
// quarters of it the results ring.
#ifndef TAC_SCHED_SCHED_STATE_H
#define TAC_SCHED_SCHED_STATE_H

#include "sched/sched.h"

_Static_assert((TAC_RESULTS_MAX & (TAC_RESULTS_MAX - 1)) == 0, "results ring: a power of two");
_Static_assert((TAC_EVENTS_MAX & (TAC_EVENTS_MAX - 1)) == 0, "event ring: a power of two");
_Static_assert(TAC_TASKS_MAX <= 16, "events carry the task above bit 4 and arrays are scanned");

// The one active job of a task. Only tac_sched_run() leads from one state to another, apart from
// begin (WANTED -> BEGUN) and skip (WANTED -> NONE).
enum tac_job_state {
    TAC_JOB_NONE = 0,    // between jobs
    TAC_JOB_PENDING = 1, // released
    TAC_JOB_WANTED = 2,  // START was returned; waits for begin or skip, not eligible
    TAC_JOB_BEGUN = 3,   // has its input; runs op by op
};

enum tac_event_kind {
    TAC_EVENT_RELEASE = 1,
    TAC_EVENT_START = 2,
    TAC_EVENT_OP = 3,
    TAC_EVENT_PREEMPTED = 4,
    TAC_EVENT_DONE = 5,
    TAC_EVENT_LATE = 6,
    TAC_EVENT_ABORTED = 7,
    TAC_EVENT_SKIPPED = 8,
    TAC_EVENT_BACKGROUND = 9,
    TAC_EVENT_MODE = 10,
    TAC_EVENT_EARLY = 11,
};

#define TAC_EVENT_NO_TASK 255u // `task` of a background or mode event

typedef struct tac_task {
    tac_task_params_t params; // of the present mode; a period of 0 means that the task is off
    tac_model_t *model;       // of the active job's variant
    tac_model_t *models[TAC_VARIANTS];
    uint32_t lite_budget_us;
    uint8_t mode_variant;               // what the present mode begins jobs with
    uint8_t timing_set;                 // bit per mode that says something of its own
    tac_timing_t timing[TAC_MODES_MAX]; // [0] = as added

    uint64_t next_release_us; // r_k of the next release, k = next_job
    uint32_t next_job;

    uint8_t state;     // enum tac_job_state of the active job; what follows is its
    uint8_t started;   // its first op has begun
    uint8_t overrun;   // it went over its budget
    uint8_t skip_next; // of the task: the next release is to be skipped
    uint8_t held;      // of the task: a release waits behind the active job (count_only)
    uint8_t has_start; // of the task: last_start_us is valid
    uint8_t misses_16; // of the task: misses in the last 16 and 64 outcomes
    uint8_t misses_64;
    uint8_t degraded;  // of the task: its next jobs are lite
    uint8_t room_jobs; // of the task: lite jobs in a row that left room for the full variant
    uint8_t variant;   // of the active job
    uint8_t early;     // of the job that was done last: it ended with the early answer
    uint32_t job;
    uint32_t tag;
    uint32_t used_us;
    uint64_t release_us;
    uint64_t end_us; // of its last op

    uint32_t held_job;
    uint64_t held_release_us;

    uint32_t last_start_us; // start latency of the job that started last
    uint64_t misses;        // outcomes, newest in bit 0, 1 = missed
    tac_task_stats_t stats;
} tac_task_t;

struct tac_sched {
    tac_sched_port_t port;
    uint8_t task_count;
    uint8_t started;
    uint8_t events_frozen;
    int8_t running;    // task of the op that ran last while its job is unfinished, or -1
    int8_t holding;    // task with `whole` between START and the end of its job, or -1
    uint16_t optional; // bit per task: its job has its early answer and runs for a better one
    uint16_t ended;    // bit per task: a job ended early, and DONE is still to be returned
    uint8_t mode, wanted_mode, mode_count;
    uint64_t wanted_us; // when wanted_mode was asked for
    uint64_t look_us;   // until then no release and no deadline can change the choice
    uint64_t stop_us;   // the scheduler's clock at tac_sched_stop()
    uint32_t speed;
    uint64_t shift_us; // the scheduler's clock minus the port's: what idle compression has added
    uint64_t zero_us;  // the scheduler's clock at tac_sched_start()
    tac_loop_stats_t loop;
    uint32_t event_next;      // ring index of the next event
    uint32_t event_count;     // held in the ring
    uint32_t result_sequence; // of the next result
    uint32_t result_count;    // held in the ring
    tac_task_t tasks[TAC_TASKS_MAX];
    tac_event_t events[TAC_EVENTS_MAX];
    tac_result_t results[TAC_RESULTS_MAX];
};

// stats.c, for jobs.c and sched.c: each records one transition of the active job, times on the
// scheduler's clock.
void tac_stats_clear(tac_sched_t *s);
void tac_stats_event(tac_sched_t *s, uint64_t at_us, tac_event_t event); // fills in at_us
void tac_stats_started(tac_sched_t *s, unsigned task, uint64_t at_us);
// Ops of one job in a row: [at_us, at_us + duration_us), `op` is the last one's index.
void tac_stats_stretch(tac_sched_t *s, unsigned task, uint16_t op, uint64_t at_us,
                       uint32_t duration_us);
void tac_stats_wcet_exceeded(tac_sched_t *s, unsigned task, uint16_t op, uint32_t excess_us);
void tac_stats_overrun(tac_sched_t *s, unsigned task);
void tac_stats_done(tac_sched_t *s, unsigned task, uint64_t at_us);
// The optional part of the active job ends; what is not run begins with the model's next op.
void tac_stats_early(tac_sched_t *s, unsigned task, uint64_t at_us);
void tac_stats_aborted(tac_sched_t *s, unsigned task, uint64_t at_us);
// A release that never began; `job` need not be the active one.
void tac_stats_skipped(tac_sched_t *s, unsigned task, uint32_t job, uint64_t release_us,
                       uint64_t at_us);

// jobs.c.
// All releases up to now, in the order of the grid, then what the abort policy drops. Accounts for
// every release on its own, however long the last op or the caller was away.
void tac_jobs_catch_up(tac_sched_t *s, uint64_t now_us);
// The task with the earliest next release, ties by index.
unsigned tac_jobs_next_release(const tac_sched_t *s);
// The check before each op (BROE: budget is asked for before a non-preemptible region, so that no
// debt arises). Returns 0 when the job does not go on as it is.
int tac_jobs_may_run(tac_sched_t *s, unsigned index, uint32_t wcet_us, uint64_t now_us);
// For a job between two ops: notes whether its mandatory part is done.
void tac_jobs_note_optional(tac_sched_t *s, unsigned index);
// Budget that the job's stretch from now_us on may use up: past the mandatory part the time to the
// deadline bounds it, too. More than any job can use stands for an overrun that runs on.
uint32_t tac_jobs_budget(const tac_sched_t *s, unsigned index, uint64_t now_us);
// The last op of a job has ended.
void tac_jobs_complete(tac_sched_t *s, unsigned index, uint64_t end_us);
// The active job ended at at_us, done or for want of input: what comes after it.
void tac_jobs_finish(tac_sched_t *s, unsigned index, uint64_t at_us);

// tasks.c. At an instant at which no job is there, the wanted mode begins with a grid of its own;
// at any other nothing happens.
void tac_tasks_change_mode(tac_sched_t *s, uint64_t now_us);

static inline uint64_t tac_job_deadline(const tac_task_t *task) {
    return task->release_us + task->params.deadline_us;
}

// Durations are shipped in 32 bits; more than 71 minutes saturates.
static inline uint32_t tac_clip_us(uint64_t value_us) {
    return value_us > UINT32_MAX ? UINT32_MAX : (uint32_t)value_us;
}

#endif
