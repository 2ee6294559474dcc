// SPDX-License-Identifier: MIT
// The life of a job: released on the grid, treated by its task's overrun policy, ended. The rules
// are in protocol/SPEC.md, section "Statistics".
#include "sched/sched_state.h"

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
    s->optional &= (uint16_t)~(1u << index);
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
// (Under abort they are jobs of their own: tac_jobs_catch_up() drops those past their deadline.)
void tac_jobs_finish(tac_sched_t *s, unsigned index, uint64_t at_us) {
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

unsigned tac_jobs_next_release(const tac_sched_t *s) {
    unsigned first = 0;
    for (unsigned i = 1; i < s->task_count; i++) {
        if (s->tasks[i].next_release_us < s->tasks[first].next_release_us) {
            first = i;
        }
    }
    return first;
}

// Ends a job with the answer that its mandatory part has made. It was complete with its last op,
// whenever it is found out that no further one fits.
static void end_early(tac_sched_t *s, unsigned index, uint64_t now_us) {
    tac_task_t *task = &s->tasks[index];
    tac_stats_early(s, index, now_us);
    task->early = 1;
    s->ended |= (uint16_t)(1u << index);
    tac_jobs_complete(s, index, task->end_us);
}

void tac_jobs_note_optional(tac_sched_t *s, unsigned index) {
    const tac_model_t *model = s->tasks[index].model;
    uint32_t mandatory_ops = tac_plan_header(model->image)->mandatory_ops;
    if (mandatory_ops != 0 && tac_exec_op(model) >= mandatory_ops) {
        s->optional |= (uint16_t)(1u << index);
    }
}

uint32_t tac_jobs_budget(const tac_sched_t *s, unsigned index, uint64_t now_us) {
    const tac_task_t *task = &s->tasks[index];
    if (((unsigned)s->optional >> index & 1u) == 0) {
        return task->overrun ? UINT32_MAX : task->params.budget_us;
    }
    uint64_t deadline_us = tac_job_deadline(task);
    uint64_t reachable_us = task->used_us + (deadline_us > now_us ? deadline_us - now_us : 0);
    return reachable_us < task->params.budget_us ? (uint32_t)reachable_us : task->params.budget_us;
}

// Ends the optional parts that cannot go on within their budgets and before their deadlines, also
// of jobs that others keep from running. Returns the next instant at which this may be so.
static uint64_t settle_optional(tac_sched_t *s, uint64_t now_us) {
    uint64_t look_us = UINT64_MAX;
    for (unsigned i = 0; i < s->task_count; i++) {
        const tac_task_t *task = &s->tasks[i];
        if (((unsigned)s->optional >> i & 1u) == 0) {
            continue;
        }
        uint32_t wcet_us = tac_plan_ops(task->model->image)[tac_exec_op(task->model)].wcet_us;
        uint64_t latest_us = tac_job_deadline(task) - wcet_us; // an op fits: no wrap
        if ((uint64_t)task->used_us + wcet_us > tac_jobs_budget(s, i, now_us)) {
            end_early(s, i, now_us);
        } else if (latest_us < look_us) {
            look_us = latest_us + 1;
        }
    }
    return look_us;
}

void tac_jobs_catch_up(tac_sched_t *s, uint64_t now_us) {
    // First: a job that is complete is not there anymore when its task's next release comes.
    uint64_t optional_us = s->optional ? settle_optional(s, now_us) : UINT64_MAX;
    unsigned first = tac_jobs_next_release(s);
    for (; s->tasks[first].next_release_us <= now_us; first = tac_jobs_next_release(s)) {
        release(s, first, now_us);
    }
    s->look_us = s->tasks[first].next_release_us;
    if (optional_us < s->look_us) {
        s->look_us = optional_us;
    }
    for (unsigned i = 0; i < s->task_count; i++) {
        const tac_task_t *task = &s->tasks[i];
        if (task->params.policy == TAC_POLICY_ABORT && task->state != TAC_JOB_NONE) {
            uint64_t deadline_us = tac_job_deadline(task);
            if (now_us >= deadline_us) {
                drop(s, i, now_us);
            } else if (deadline_us < s->look_us) {
                s->look_us = deadline_us;
            }
        }
    }
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

int tac_jobs_may_run(tac_sched_t *s, unsigned index, uint32_t wcet_us, uint64_t now_us) {
    tac_task_t *task = &s->tasks[index];
    if ((uint64_t)task->used_us + wcet_us <= tac_jobs_budget(s, index, now_us)) {
        return 1;
    }
    if ((unsigned)s->optional >> index & 1u) {
        end_early(s, index, now_us);
        return 0;
    }
    if (task->overrun) {
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

void tac_jobs_complete(tac_sched_t *s, unsigned index, uint64_t end_us) {
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
    tac_jobs_finish(s, index, end_us);
}
