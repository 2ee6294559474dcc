// SPDX-License-Identifier: MIT
#include "bindings/board_trial.h"

#include "bindings/board_context.h"
#include "sched/sched_state.h"

enum { FIGURE_MAX = (1 << 30) - 1 };

static int clipped(uint64_t value) {
    return value > FIGURE_MAX ? FIGURE_MAX : (int)value;
}

static uint64_t elapsed_us(const tac_sched_t *sched) {
    const uint64_t now_us = sched->started ? tac_sched_now_us(sched) : sched->stop_us;
    return now_us > sched->zero_us ? now_us - sched->zero_us : 0;
}

int tac_board_trial(uint32_t figure, uint32_t task) {
    const tac_sched_t *sched = tac_board_sched();
    if (figure == TAC_TRIAL_ELAPSED_MS) {
        return clipped(elapsed_us(sched) / 1000u);
    }
    if (task >= sched->task_count) {
        return TAC_ERR_ARGUMENT;
    }
    const tac_task_stats_t *stats = tac_sched_stats(sched, task);
    switch (figure) {
    case TAC_TRIAL_RELEASED:
        return clipped(stats->released);
    case TAC_TRIAL_MISSED:
        return clipped((uint64_t)stats->missed_late + stats->aborted + stats->skipped);
    case TAC_TRIAL_OVERRUNS:
        return clipped(stats->budget_exceeded);
    case TAC_TRIAL_START_US:
        return clipped(stats->start.max_us);
    case TAC_TRIAL_IS_ON:
        return sched->tasks[task].params.period_us > 0;
    default:
        return TAC_ERR_ARGUMENT;
    }
}
