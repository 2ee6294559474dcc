// SPDX-License-Identifier: MIT
// The dispatcher: EDF between ops on an absolute release grid. Contract in sched/sched.h, the rules
// in protocol/SPEC.md section "Statistics", the admission test that goes with them in
// protocol/admission.py. Tasks and modes are in tasks.c, jobs and policies in jobs.c.
//
// Everything is decided at a boundary: entry of tac_sched_run(), the end of an op, the end of a
// wait. A boundary costs O(tasks) plus O(1) per release that came due since the last one.
#include "sched/sched_state.h"

#include "tac_error.h"

uint64_t tac_sched_now_us(const tac_sched_t *s) {
    return s->port.now_us(s->port.ctx) + s->shift_us;
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
        uint64_t deadline_us = tac_job_deadline(task);
        if (best < 0 || deadline_us < best_us || (deadline_us == best_us && s->running == (int)i)) {
            best = (int)i;
            best_us = deadline_us;
        }
    }
    return best;
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
    if (!tac_jobs_may_run(s, index, wcet_us, begin_us)) {
        return begin_us;
    }
    note_switch(s, index, begin_us);
    const uint32_t budget_us = tac_jobs_budget(s, index, begin_us);
    // Where the mandatory part ends the choice is made anew.
    const uint32_t mandatory_ops = tac_plan_header(model->image)->mandatory_ops;
    const uint32_t pause_op = mandatory_ops != 0 && op < mandatory_ops ? mandatory_ops : UINT32_MAX;
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
        if (wcet_us > budget_us || used_us > budget_us - wcet_us || next >= pause_op) {
            break;
        }
        op = next;
    }
    task->used_us = used_us;
    task->end_us = at_us;
    s->loop.ops += count;
    s->loop.op_us += at_us - begin_us;
    tac_stats_stretch(s, index, op, begin_us, tac_clip_us(at_us - begin_us));
    if (*done) {
        task->early = 0;
        tac_jobs_complete(s, index, at_us);
    } else {
        tac_jobs_note_optional(s, index);
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

int tac_sched_run(tac_sched_t *s, uint64_t until_us) {
    if (!s->started) {
        return rest(s, until_us);
    }
    uint64_t now_us = tac_sched_now_us(s);
    for (;;) {
        tac_jobs_catch_up(s, now_us);
        if (s->ended != 0) {
            unsigned index = (unsigned)__builtin_ctz(s->ended);
            s->ended &= (uint16_t)(s->ended - 1u);
            return event(TAC_SCHED_DONE, index);
        }
        int picked = pick(s);
        if (picked < 0) {
            if (s->wanted_mode != s->mode) {
                tac_tasks_change_mode(s, now_us);
            }
            // UNTIL first: a flood on the link must not starve what the caller does on time.
            if (now_us >= until_us) {
                return TAC_SCHED_UNTIL;
            }
            if (s->port.attention(s->port.ctx)) {
                return TAC_SCHED_ATTENTION;
            }
            uint64_t target_us = s->tasks[tac_jobs_next_release(s)].next_release_us;
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
    tac_jobs_finish(s, task, now_us);
    return TAC_OK;
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
