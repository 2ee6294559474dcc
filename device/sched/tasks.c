// SPDX-License-Identifier: MIT
// The task set and its modes: what is added, how it starts and stops, when another mode begins.
// Contract in sched/sched.h.
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
    s->optional = s->ended = 0;
    s->zero_us = tac_sched_now_us(s);
    for (unsigned i = 0; i < s->task_count; i++) {
        tac_task_t *task = &s->tasks[i];
        adopt(task, 0, s->zero_us + delay_us);
        task->next_job = 0;
        task->early = 0;
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

// Whoever has input to fetch (WANTED) is a job that is there.
void tac_tasks_change_mode(tac_sched_t *s, uint64_t now_us) {
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

unsigned tac_sched_variant(const tac_sched_t *s, unsigned task) {
    return task < s->task_count ? s->tasks[task].variant : 0;
}

int tac_sched_is_early(const tac_sched_t *s, unsigned task) {
    return task < s->task_count && s->tasks[task].early;
}

int tac_sched_is_again(const tac_sched_t *s, unsigned task) {
    return task < s->task_count && s->tasks[task].started;
}

tac_model_t *tac_sched_model(const tac_sched_t *s, unsigned task, unsigned variant) {
    return task < s->task_count && variant < TAC_VARIANTS ? s->tasks[task].models[variant] : NULL;
}
