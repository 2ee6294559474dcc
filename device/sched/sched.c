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
    s->holding = -1;
    s->mode_count = 1;
}

static int timing_is_valid(uint32_t period_us, uint32_t deadline_us, uint32_t budget_us) {
    return budget_us != 0 && budget_us <= deadline_us && deadline_us <= period_us;
}

int tac_sched_add(tac_sched_t *s, tac_model_t *model, const tac_task_params_t *params) {
    if (s->started) {
        return TAC_ERR_STATE;
    }
    if (s->task_count >= TAC_TASKS_MAX) {
        return TAC_ERR_SPACE;
    }
    if (model == NULL || model->units_left == 0 || params->policy > TAC_POLICY_COUNT_ONLY ||
        !timing_is_valid(params->period_us, params->deadline_us, params->budget_us)) {
        return TAC_ERR_ARGUMENT;
    }
    tac_task_t *task = &s->tasks[s->task_count];
    memset(task, 0, sizeof *task);
    task->params = *params;
    task->model = model;
    task->models[TAC_VARIANT_FULL] = model;
    task->timing[0] =
        (tac_timing_t){params->period_us, params->deadline_us, params->budget_us, TAC_VARIANT_FULL};
    return s->task_count++;
}

int tac_sched_add_lite(tac_sched_t *s, unsigned index, tac_model_t *model, uint32_t budget_us) {
    if (s->started) {
        return TAC_ERR_STATE;
    }
    if (index >= s->task_count) {
        return TAC_ERR_NOT_FOUND;
    }
    tac_task_t *task = &s->tasks[index];
    if (model == NULL || budget_us == 0 || budget_us > task->timing[0].budget_us) {
        return TAC_ERR_ARGUMENT;
    }
    task->models[TAC_VARIANT_LITE] = model;
    task->lite_budget_us = budget_us;
    return TAC_OK;
}

int tac_sched_set_mode(tac_sched_t *s, unsigned mode, unsigned index, const tac_timing_t *timing) {
    if (s->started) {
        return TAC_ERR_STATE;
    }
    if (index >= s->task_count) {
        return TAC_ERR_NOT_FOUND;
    }
    tac_task_t *task = &s->tasks[index];
    if (mode == 0 || mode >= TAC_MODES_MAX || timing->variant >= TAC_VARIANTS ||
        task->models[timing->variant] == NULL ||
        (timing->period_us != 0 &&
         !timing_is_valid(timing->period_us, timing->deadline_us, timing->budget_us))) {
        return TAC_ERR_ARGUMENT;
    }
    task->timing[mode] = *timing;
    task->timing_set |= (uint8_t)(1u << mode);
    if (mode >= s->mode_count) {
        s->mode_count = (uint8_t)(mode + 1u);
    }
    return TAC_OK;
}

// Makes the task run as its mode says, from a first release at at_us. Between jobs only.
static void adopt(tac_task_t *task, unsigned mode, uint64_t at_us) {
    const tac_timing_t *timing =
        &task->timing[((unsigned)task->timing_set >> mode) & 1u ? mode : 0u];
    task->params.period_us = timing->period_us;
    task->params.deadline_us = timing->deadline_us;
    task->params.budget_us = timing->budget_us;
    task->mode_variant = timing->variant;
    task->next_release_us = timing->period_us == 0 ? UINT64_MAX : at_us;
    task->skip_next = 0;
    task->has_start = 0;
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
    s->holding = -1;
    s->mode = s->wanted_mode = 0;
    s->look_us = 0;
    s->zero_us = tac_sched_now_us(s);
    for (unsigned i = 0; i < s->task_count; i++) {
        tac_task_t *task = &s->tasks[i];
        adopt(task, 0, s->zero_us + delay_us);
        task->next_job = 0;
        task->state = TAC_JOB_NONE;
        task->held = 0;
        task->degraded = 0;
        task->room_jobs = 0;
    }
    s->started = 1;
    return TAC_OK;
}

void tac_sched_stop(tac_sched_t *s) {
    if (s->started) {
        s->stop_us = tac_sched_now_us(s);
    }
    s->started = 0;
}

int tac_sched_want_mode(tac_sched_t *s, unsigned mode) {
    if (!s->started) {
        return TAC_ERR_STATE;
    }
    if (mode >= s->mode_count) {
        return TAC_ERR_NOT_FOUND;
    }
    s->wanted_mode = (uint8_t)mode;
    s->wanted_us = tac_sched_now_us(s);
    return TAC_OK;
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
    task->variant = task->degraded ? (uint8_t)TAC_VARIANT_LITE : task->mode_variant;
    task->model = task->models[task->variant];
    task->job = job;
    task->release_us = release_us;
    task->stats.released++;
}

static void clear(tac_sched_t *s, unsigned index) {
    s->tasks[index].state = TAC_JOB_NONE;
    if (s->running == (int)index) {
        s->running = -1;
    }
    if (s->holding == (int)index) {
        s->holding = -1;
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
    unsigned first = next_release(s);
    for (; s->tasks[first].next_release_us <= now_us; first = next_release(s)) {
        release(s, first, now_us);
    }
    s->look_us = s->tasks[first].next_release_us;
    for (unsigned i = 0; i < s->task_count; i++) {
        const tac_task_t *task = &s->tasks[i];
        if (task->params.policy == TAC_POLICY_ABORT && task->state != TAC_JOB_NONE) {
            uint64_t deadline_us = job_deadline(task);
            if (now_us >= deadline_us) {
                drop(s, i, now_us);
            } else if (deadline_us < s->look_us) {
                s->look_us = deadline_us;
            }
        }
    }
}

// Earliest absolute deadline; the running job wins ties, then the lower index. A job that runs
// whole goes before all. -1 when idle.
static int pick(const tac_sched_t *s) {
    if (s->holding >= 0) {
        return s->tasks[s->holding].state == TAC_JOB_BEGUN ? s->holding : -1;
    }
    int best = -1;
    uint64_t best_us = UINT64_MAX;
    for (unsigned i = 0; i < s->task_count; i++) {
        const tac_task_t *task = &s->tasks[i];
        if (task->state != TAC_JOB_PENDING && task->state != TAC_JOB_BEGUN) {
            continue;
        }
        uint64_t deadline_us = job_deadline(task);
        if (best < 0 || deadline_us < best_us || (deadline_us == best_us && s->running == (int)i)) {
            best = (int)i;
            best_us = deadline_us;
        }
    }
    return best;
}

// The degrade policy's way down, after one overrun or one late job. Returns 0 when there is nothing
// lighter than what the job is.
static int go_lite(tac_task_t *task) {
    if (task->params.policy != TAC_POLICY_DEGRADE || task->variant != TAC_VARIANT_FULL ||
        task->models[TAC_VARIANT_LITE] == NULL) {
        return 0;
    }
    if (!task->degraded) {
        task->degraded = 1;
        task->stats.degraded++;
    }
    task->room_jobs = 0;
    return 1;
}

// And its way up: slow, after jobs in a row in which the full variant would have had the time, so
// that a load on the edge does not swing between the two.
static void weigh_return(tac_task_t *task, uint64_t response_us) {
    if (!task->degraded || task->mode_variant != TAC_VARIANT_FULL) {
        return;
    }
    uint32_t saved_us =
        task->params.budget_us > task->used_us ? task->params.budget_us - task->used_us : 0;
    int room = !task->overrun && response_us + saved_us <= task->params.deadline_us;
    task->room_jobs = room ? (uint8_t)(task->room_jobs + 1u) : (uint8_t)0;
    if (task->room_jobs >= TAC_DEGRADE_HOLD) {
        task->degraded = 0;
        task->room_jobs = 0;
        task->stats.restored++;
    }
}

// The job would go, or went, over its budget. Returns what is to be done with it.
enum verdict { RUN_ON, START_AGAIN, DROP };

static enum verdict overrun(tac_sched_t *s, unsigned index) {
    tac_task_t *task = &s->tasks[index];
    uint8_t policy = task->params.policy;
    tac_stats_overrun(s, index);
    if (policy == TAC_POLICY_DEGRADE && go_lite(task)) {
        if ((uint64_t)task->used_us + task->lite_budget_us <= task->params.budget_us) {
            task->stats.restarted++;
            return START_AGAIN;
        }
    } else if (policy == TAC_POLICY_SKIP_NEXT || policy == TAC_POLICY_DEGRADE) {
        task->skip_next = 1;
    }
    task->overrun = 1;
    return policy == TAC_POLICY_ABORT ? DROP : RUN_ON;
}

// The check before each op (BROE: budget is asked for before a non-preemptible region, so that no
// debt arises). Returns 0 when the job does not go on as it is.
static int may_run(tac_sched_t *s, unsigned index, uint32_t wcet_us, uint64_t now_us) {
    tac_task_t *task = &s->tasks[index];
    if (task->overrun || (uint64_t)task->used_us + wcet_us <= task->params.budget_us) {
        return 1;
    }
    switch (overrun(s, index)) {
    case RUN_ON:
        return 1;
    case START_AGAIN: // asks for its input once more: the model may have overwritten it
        task->variant = TAC_VARIANT_LITE;
        task->model = task->models[TAC_VARIANT_LITE];
        task->state = TAC_JOB_PENDING;
        if (s->holding == (int)index) {
            s->holding = -1;
        }
        return 0;
    default:
        drop(s, index, now_us);
        return 0;
    }
}

// The last op of a job has ended.
static void complete(tac_sched_t *s, unsigned index, uint64_t end_us) {
    tac_task_t *task = &s->tasks[index];
    if (!task->overrun && task->used_us > task->params.budget_us) {
        overrun(s, index); // only the last op was too long: nothing left to check before
        task->overrun = 1;
    }
    uint64_t response_us = end_us - task->release_us;
    if (task->params.policy == TAC_POLICY_DEGRADE) {
        if (response_us > task->params.deadline_us) {
            go_lite(task);
        }
        uint32_t budget_us = task->params.budget_us;
        if (task->variant == TAC_VARIANT_LITE) {
            weigh_return(task, response_us);
        } else if (task->degraded &&
                   task->used_us > (uint64_t)budget_us + (budget_us - task->lite_budget_us)) {
            task->skip_next = 1; // more than the next job, being lite, gives back
        }
    }
    tac_stats_done(s, index, end_us);
    finish(s, index, end_us);
}

static void note_switch(tac_sched_t *s, unsigned index, uint64_t at_us) {
    if (s->running >= 0 && s->running != (int)index) {
        const tac_task_t *other = &s->tasks[s->running];
        s->loop.preemptions++;
        tac_stats_event(s, at_us,
                        (tac_event_t){.kind = TAC_EVENT_PREEMPTED,
                                      .task = (uint8_t)s->running,
                                      .job = other->job,
                                      .op = tac_exec_op(other->model),
                                      .value = other->used_us});
    }
    s->running = (int8_t)index;
    if (!s->tasks[index].started) {
        s->tasks[index].started = 1;
        tac_stats_started(s, index, at_us);
    }
}

// Runs ops of a begun job until it is done, a release or a deadline has come that may change the
// choice, or its budget does not hold the next op. Returns the time at the end; *done tells whether
// the job is over. This is the path of every op: all that is not needed between two of them is
// outside of the inner loop. An op's time begins where the one before ended, so that what the
// dispatcher itself takes in between is in somebody's budget.
static uint64_t run_ops(tac_sched_t *s, unsigned index, int *done) {
    tac_task_t *task = &s->tasks[index];
    tac_model_t *model = task->model;
    const tac_op_t *ops = tac_plan_ops(model->image);
    const uint64_t begin_us = tac_sched_now_us(s);
    uint16_t op = tac_exec_op(model);
    uint32_t wcet_us = ops[op].wcet_us;
    *done = 0;
    if (!may_run(s, index, wcet_us, begin_us)) {
        return begin_us;
    }
    note_switch(s, index, begin_us);
    // More budget than any job can use stands for an overrun that the policy lets run on.
    const uint32_t budget_us = task->overrun ? UINT32_MAX : task->params.budget_us;
    const uint64_t look_us = s->look_us;
    uint64_t at_us = begin_us;
    uint32_t used_us = task->used_us, count = 0;
    for (;;) {
        int left = tac_exec_step(model);
        uint64_t end_us = tac_sched_now_us(s);
        uint32_t duration_us = tac_clip_us(end_us - at_us);
        at_us = end_us;
        count++;
        used_us = used_us > UINT32_MAX - duration_us ? UINT32_MAX : used_us + duration_us;
        if (duration_us > wcet_us) {
            tac_stats_wcet_exceeded(s, index, op, duration_us - wcet_us);
        }
        if (left <= 0) {
            *done = 1;
            break;
        }
        if (end_us >= look_us) {
            break;
        }
        uint16_t next = tac_exec_op(model);
        wcet_us = ops[next].wcet_us;
        if (wcet_us > budget_us || used_us > budget_us - wcet_us) {
            break;
        }
        op = next;
    }
    task->used_us = used_us;
    s->loop.ops += count;
    s->loop.op_us += at_us - begin_us;
    tac_stats_stretch(s, index, op, begin_us, tac_clip_us(at_us - begin_us));
    if (*done) {
        complete(s, index, at_us);
    }
    return at_us;
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
    s->loop.idle_us += advance_us;
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

// At an idle instant: the wanted mode begins with a grid of its own. Whoever has input to fetch
// (WANTED) is a job that is there.
static void change_mode(tac_sched_t *s, uint64_t now_us) {
    for (unsigned i = 0; i < s->task_count; i++) {
        if (s->tasks[i].state != TAC_JOB_NONE) {
            return;
        }
    }
    for (unsigned i = 0; i < s->task_count; i++) {
        adopt(&s->tasks[i], s->wanted_mode, now_us);
    }
    uint32_t waited_us = tac_clip_us(now_us - s->wanted_us);
    s->mode = s->wanted_mode;
    s->look_us = 0;
    s->loop.mode_switches++;
    if (waited_us > s->loop.mode_wait_max_us) {
        s->loop.mode_wait_max_us = waited_us;
    }
    tac_stats_event(
        s, now_us,
        (tac_event_t){
            .kind = TAC_EVENT_MODE, .task = TAC_EVENT_NO_TASK, .op = s->mode, .value = waited_us});
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
            if (s->wanted_mode != s->mode) {
                change_mode(s, now_us);
            }
            // UNTIL first: a flood on the link must not starve what the caller does on time.
            if (now_us >= until_us) {
                return TAC_SCHED_UNTIL;
            }
            if (s->port.attention(s->port.ctx)) {
                return TAC_SCHED_ATTENTION;
            }
            uint64_t target_us = s->tasks[next_release(s)].next_release_us;
            if (target_us > now_us) {
                now_us = sleep_towards(s, now_us, target_us < until_us ? target_us : until_us);
            }
            continue;
        }
        unsigned index = (unsigned)picked;
        tac_task_t *task = &s->tasks[index];
        if (task->state == TAC_JOB_PENDING) {
            task->state = TAC_JOB_WANTED;
            if (task->params.whole) {
                s->holding = (int8_t)index;
            }
            tac_exec_reset(task->model); // before the caller writes the input, as exec.h asks
            return event(TAC_SCHED_START, index);
        }
        int done = 0;
        now_us = run_ops(s, index, &done);
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

unsigned tac_sched_variant(const tac_sched_t *s, unsigned task) {
    return task < s->task_count ? s->tasks[task].variant : 0;
}

int tac_sched_is_again(const tac_sched_t *s, unsigned task) {
    return task < s->task_count && s->tasks[task].started;
}

tac_model_t *tac_sched_model(const tac_sched_t *s, unsigned task, unsigned variant) {
    return task < s->task_count && variant < TAC_VARIANTS ? s->tasks[task].models[variant] : NULL;
}

void tac_sched_background(tac_sched_t *s, uint64_t from_us, int is_collection) {
    uint64_t now_us = tac_sched_now_us(s);
    uint32_t duration_us = now_us > from_us ? tac_clip_us(now_us - from_us) : 0;
    s->loop.background_us += duration_us;
    s->loop.background_count++;
    if (!is_collection && duration_us > s->loop.background_max_us) {
        s->loop.background_max_us = duration_us;
    }
    tac_stats_event(s, from_us,
                    (tac_event_t){.kind = TAC_EVENT_BACKGROUND,
                                  .task = TAC_EVENT_NO_TASK,
                                  .op = is_collection ? 1 : 0,
                                  .value = duration_us});
}

void tac_sched_collected(tac_sched_t *s, uint32_t pause_us, int is_forced) {
    s->loop.gc_count++;
    s->loop.gc_forced += is_forced ? 1u : 0u;
    if (pause_us > s->loop.gc_pause_max_us) {
        s->loop.gc_pause_max_us = pause_us;
    }
}
