// SPDX-License-Identifier: MIT
// The dispatcher: EDF between ops on an absolute release grid. Contract in sched/sched.h, the rules
// in protocol/SPEC.md section "Statistics", the admission test that goes with them in
// protocol/admission.py.
//
// Everything is decided at a boundary: entry of tac_sched_run(), the end of an op, the end of a
// wait. A boundary costs O(tasks) plus O(1) per release that came due since the last one.
#include "sched/sched_state.h"

#include <string.h>

#include "tac_error.h"

void tac_sched_init(tac_sched_t *s, const tac_sched_port_t *port) {
    memset(s, 0, sizeof *s);
    s->port = *port;
    s->speed = 1;
    s->running = -1;
}

int tac_sched_add(tac_sched_t *s, tac_model_t *model, const tac_task_params_t *params) {
    if (s->started) {
        return TAC_ERR_STATE;
    }
    if (s->task_count >= TAC_TASKS_MAX) {
        return TAC_ERR_SPACE;
    }
    if (model == NULL || model->units_left == 0 || params->budget_us == 0 ||
        params->budget_us > params->deadline_us || params->deadline_us > params->period_us ||
        params->policy > TAC_POLICY_COUNT_ONLY) {
        return TAC_ERR_ARGUMENT;
    }
    tac_task_t *task = &s->tasks[s->task_count];
    memset(task, 0, sizeof *task);
    task->params = *params;
    task->model = model;
    return s->task_count++;
}

uint64_t tac_sched_now_us(const tac_sched_t *s) {
    return s->port.now_us(s->port.ctx) + s->shift_us;
}

int tac_sched_start(tac_sched_t *s, uint32_t delay_us, uint32_t speed) {
    if (speed == 0) {
        return TAC_ERR_ARGUMENT;
    }
    if (s->task_count == 0) {
        return TAC_ERR_STATE;
    }
    tac_stats_clear(s);
    s->speed = speed;
    s->running = -1;
    s->zero_us = tac_sched_now_us(s);
    for (unsigned i = 0; i < s->task_count; i++) {
        tac_task_t *task = &s->tasks[i];
        task->next_release_us = s->zero_us + delay_us;
        task->next_job = 0;
        task->state = TAC_JOB_NONE;
        task->skip_next = 0;
        task->held = 0;
    }
    s->started = 1;
    return TAC_OK;
}

void tac_sched_stop(tac_sched_t *s) {
    s->started = 0;
}

static uint64_t job_deadline(const tac_task_t *task) {
    return task->release_us + task->params.deadline_us;
}

static void take(tac_task_t *task, uint32_t job, uint64_t release_us) {
    task->state = TAC_JOB_PENDING;
    task->started = 0;
    task->overrun = 0;
    task->used_us = 0;
    task->tag = 0;
    task->job = job;
    task->release_us = release_us;
    task->stats.released++;
}

static void clear(tac_sched_t *s, unsigned index) {
    s->tasks[index].state = TAC_JOB_NONE;
    if (s->running == (int)index) {
        s->running = -1;
    }
}

// What the abort policy does to a job.
static void drop(tac_sched_t *s, unsigned index, uint64_t now_us) {
    tac_stats_aborted(s, index, now_us);
    clear(s, index);
}

// One release of the grid. A job that is still active at the next release of its task is past its
// deadline (D <= T), so the policy decides: abort drops the job, skip_next and degrade drop the
// release, count_only holds one release and drops further ones.
static void release(tac_sched_t *s, unsigned index, uint64_t now_us) {
    tac_task_t *task = &s->tasks[index];
    uint64_t at_us = task->next_release_us;
    uint32_t job = task->next_job++;
    task->next_release_us += task->params.period_us;
    tac_stats_event(s, at_us,
                    (tac_event_t){.kind = TAC_EVENT_RELEASE,
                                  .task = (uint8_t)index,
                                  .job = job,
                                  .value = tac_clip_us(now_us - at_us)});
    if (task->state != TAC_JOB_NONE && task->params.policy == TAC_POLICY_ABORT) {
        drop(s, index, now_us);
    }
    if (task->state == TAC_JOB_NONE && !task->skip_next) {
        take(task, job, at_us);
        return;
    }
    if (task->params.policy == TAC_POLICY_COUNT_ONLY && !task->held) {
        task->held = 1;
        task->held_job = job;
        task->held_release_us = at_us;
        return;
    }
    task->skip_next = 0;
    task->stats.released++;
    tac_stats_skipped(s, index, job, at_us, now_us);
}

// The active job ended at at_us, done or for want of input. Releases from before that met an active
// job, and are treated so although nobody looked until now. Then a held release takes the place.
// (Under abort they are jobs of their own: catch_up() drops those past their deadline.)
static void finish(tac_sched_t *s, unsigned index, uint64_t at_us) {
    tac_task_t *task = &s->tasks[index];
    while (task->params.policy != TAC_POLICY_ABORT && task->next_release_us < at_us) {
        release(s, index, at_us);
    }
    clear(s, index);
    if (task->held) {
        task->held = 0;
        take(task, task->held_job, task->held_release_us);
    }
}

// The task with the earliest next release, ties by index.
static unsigned next_release(const tac_sched_t *s) {
    unsigned first = 0;
    for (unsigned i = 1; i < s->task_count; i++) {
        if (s->tasks[i].next_release_us < s->tasks[first].next_release_us) {
            first = i;
        }
    }
    return first;
}

// All releases up to now, in the order of the grid, then what the abort policy drops. Accounts for
// every release on its own, however long the last op or the caller was away.
static void catch_up(tac_sched_t *s, uint64_t now_us) {
    for (unsigned i = next_release(s); s->tasks[i].next_release_us <= now_us; i = next_release(s)) {
        release(s, i, now_us);
    }
    for (unsigned i = 0; i < s->task_count; i++) {
        const tac_task_t *task = &s->tasks[i];
        if (task->params.policy == TAC_POLICY_ABORT && task->state != TAC_JOB_NONE &&
            now_us >= job_deadline(task)) {
            drop(s, i, now_us);
        }
    }
}

// A begun job that runs whole, else the earliest absolute deadline; the running job wins ties, then
// the lower index. -1 when idle.
static int pick(const tac_sched_t *s) {
    int best = -1;
    uint64_t best_us = UINT64_MAX;
    for (unsigned i = 0; i < s->task_count; i++) {
        const tac_task_t *task = &s->tasks[i];
        if (task->state != TAC_JOB_PENDING && task->state != TAC_JOB_BEGUN) {
            continue;
        }
        if (task->state == TAC_JOB_BEGUN && task->params.whole) {
            return (int)i;
        }
        uint64_t deadline_us = job_deadline(task);
        if (best < 0 || deadline_us < best_us || (deadline_us == best_us && s->running == (int)i)) {
            best = (int)i;
            best_us = deadline_us;
        }
    }
    return best;
}

static void overrun(tac_sched_t *s, unsigned index) {
    tac_task_t *task = &s->tasks[index];
    uint8_t policy = task->params.policy;
    tac_stats_overrun(s, index);
    task->overrun = 1;
    // Packages carry no lighter variant yet, so degrade pays an overrun back as skip_next does.
    if (policy == TAC_POLICY_SKIP_NEXT || policy == TAC_POLICY_DEGRADE) {
        task->skip_next = 1;
    }
}

// The check before each op (BROE: budget is asked for before a non-preemptible region, so that no
// debt arises). Returns 0 when the job was dropped.
static int may_run(tac_sched_t *s, unsigned index, uint32_t wcet_us, uint64_t now_us) {
    tac_task_t *task = &s->tasks[index];
    if (task->overrun || (uint64_t)task->used_us + wcet_us <= task->params.budget_us) {
        return 1;
    }
    overrun(s, index);
    if (task->params.policy != TAC_POLICY_ABORT) {
        return 1;
    }
    drop(s, index, now_us);
    return 0;
}

// Runs the next op of a begun job. Returns the time at its end; the job is over when its last op
// is.
static uint64_t run_op(tac_sched_t *s, unsigned index, uint32_t wcet_us, int *done) {
    tac_task_t *task = &s->tasks[index];
    uint16_t op = tac_exec_op(task->model);
    uint64_t begin_us = tac_sched_now_us(s);
    if (s->running >= 0 && s->running != (int)index) {
        const tac_task_t *other = &s->tasks[s->running];
        tac_stats_event(s, begin_us,
                        (tac_event_t){.kind = TAC_EVENT_PREEMPTED,
                                      .task = (uint8_t)s->running,
                                      .job = other->job,
                                      .op = tac_exec_op(other->model),
                                      .value = other->used_us});
    }
    s->running = (int8_t)index;
    if (!task->started) {
        task->started = 1;
        tac_stats_started(s, index, begin_us);
    }
    int left = tac_exec_step(task->model);
    uint64_t end_us = tac_sched_now_us(s);
    uint32_t duration_us = tac_clip_us(end_us - begin_us);
    task->used_us = tac_clip_us((uint64_t)task->used_us + duration_us);
    tac_stats_op(s, index, op, begin_us, duration_us, wcet_us);
    *done = left <= 0;
    if (*done) {
        if (!task->overrun && task->used_us > task->params.budget_us) {
            overrun(s, index); // only the last op was too long: nothing left to check before
        }
        tac_stats_done(s, index, end_us);
        finish(s, index, end_us);
    }
    return end_us;
}

// Sleeps towards target_us, during which the scheduler's clock runs `speed` times as fast. A wait
// that returns late runs at normal speed from the target on: the target (a release) is never
// jumped.
static uint64_t sleep_towards(tac_sched_t *s, uint64_t now_us, uint64_t target_us) {
    uint64_t gap_us = target_us - now_us;
    uint64_t real_us = now_us - s->shift_us;
    uint64_t need_us = gap_us / s->speed + (gap_us % s->speed != 0);
    s->port.wait_until(s->port.ctx, real_us + need_us);
    uint64_t passed_us = s->port.now_us(s->port.ctx) - real_us;
    uint64_t advance_us =
        passed_us >= need_us ? gap_us + (passed_us - need_us) : passed_us * s->speed;
    s->shift_us += advance_us - passed_us;
    return now_us + advance_us;
}

static int event(unsigned kind, unsigned task) {
    return (int)(kind | task << 4);
}

// Not started: rests like an idle scheduler, so that the caller's loop needs no sleep of its own.
static int rest(tac_sched_t *s, uint64_t until_us) {
    while (tac_sched_now_us(s) < until_us && !s->port.attention(s->port.ctx)) {
        s->port.wait_until(s->port.ctx, until_us - s->shift_us);
    }
    return TAC_SCHED_STOPPED;
}

int tac_sched_run(tac_sched_t *s, uint64_t until_us) {
    if (!s->started) {
        return rest(s, until_us);
    }
    uint64_t now_us = tac_sched_now_us(s);
    for (;;) {
        catch_up(s, now_us);
        int picked = pick(s);
        if (picked < 0) {
            // UNTIL first: a flood on the link must not starve what the caller does on time.
            if (now_us >= until_us) {
                return TAC_SCHED_UNTIL;
            }
            if (s->port.attention(s->port.ctx)) {
                return TAC_SCHED_ATTENTION;
            }
            uint64_t target_us = s->tasks[next_release(s)].next_release_us;
            now_us = sleep_towards(s, now_us, target_us < until_us ? target_us : until_us);
            continue;
        }
        unsigned index = (unsigned)picked;
        tac_task_t *task = &s->tasks[index];
        if (task->state == TAC_JOB_PENDING) {
            task->state = TAC_JOB_WANTED;
            tac_exec_reset(task->model); // before the caller writes the input, as exec.h asks
            return event(TAC_SCHED_START, index);
        }
        uint32_t wcet_us = tac_plan_ops(task->model->image)[tac_exec_op(task->model)].wcet_us;
        if (!may_run(s, index, wcet_us, now_us)) {
            continue;
        }
        int done = 0;
        now_us = run_op(s, index, wcet_us, &done);
        if (done) {
            return event(TAC_SCHED_DONE, index);
        }
    }
}

int tac_sched_begin(tac_sched_t *s, unsigned task, uint32_t tag) {
    if (task >= s->task_count) {
        return TAC_ERR_NOT_FOUND;
    }
    if (!s->started || s->tasks[task].state != TAC_JOB_WANTED) {
        return TAC_ERR_STATE;
    }
    s->tasks[task].tag = tag;
    s->tasks[task].state = TAC_JOB_BEGUN;
    return TAC_OK;
}

int tac_sched_skip(tac_sched_t *s, unsigned task) {
    if (task >= s->task_count) {
        return TAC_ERR_NOT_FOUND;
    }
    tac_task_t *t = &s->tasks[task];
    if (!s->started || t->state != TAC_JOB_WANTED) {
        return TAC_ERR_STATE;
    }
    uint64_t now_us = tac_sched_now_us(s);
    tac_stats_skipped(s, task, t->job, t->release_us, now_us);
    finish(s, task, now_us);
    return TAC_OK;
}

void tac_sched_background(tac_sched_t *s, uint64_t from_us) {
    uint64_t now_us = tac_sched_now_us(s);
    uint32_t duration_us = now_us > from_us ? tac_clip_us(now_us - from_us) : 0;
    if (duration_us > s->background_max_us) {
        s->background_max_us = duration_us;
    }
    tac_stats_event(s, from_us,
                    (tac_event_t){.kind = TAC_EVENT_BACKGROUND,
                                  .task = TAC_EVENT_NO_TASK,
                                  .value = duration_us});
}
