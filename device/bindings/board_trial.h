// SPDX-License-Identifier: MIT
// What a trial is judged by: the dispatcher's own counters since its start, one integer at a time.
// Reading them costs some ten instructions and allocates nothing.
#ifndef TAC_BOARD_TRIAL_H
#define TAC_BOARD_TRIAL_H

#include <stdint.h>

enum tac_trial_figure {
    TAC_TRIAL_ELAPSED_MS = 0, // since the start, scheduler's clock; it stands while stopped
    TAC_TRIAL_RELEASED = 1,   // of one task: releases so far
    TAC_TRIAL_MISSED = 2,     // late, aborted and skipped ones
    TAC_TRIAL_OVERRUNS = 3,   // jobs beyond their budget
    TAC_TRIAL_START_US = 4,   // largest start latency
    TAC_TRIAL_IS_ON = 5,      // 1 when the task runs in the present mode
    TAC_TRIAL_FIGURES = 6,
};

// A figure, at most 2^30-1. task is not read for ELAPSED. TAC_ERR_ARGUMENT: no such figure or task.
int tac_board_trial(uint32_t figure, uint32_t task);

#endif
