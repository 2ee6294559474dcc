// SPDX-License-Identifier: MIT
// The world around the dispatcher under test: a clock that only moves when an op runs or someone
// waits, and an engine whose ops take scripted times. Built with all of device/sched.
#include "sched/sched_state.h"

#include <stdlib.h>
#include <string.h>

#define OPS_MAX 32u

typedef struct stub_model {
    tac_model_t model;
    uint16_t op_count;
    struct {
        tac_plan_header_t header;
        tac_op_t ops[OPS_MAX];
    } image;
    uint8_t output[2][16];     // final and early: their first byte counts steps
    const uint32_t *durations; // real time of each step, one after the other, then around again
    size_t duration_count, next_duration;
    unsigned resets;
} stub_model_t;

typedef struct stub {
    tac_sched_t sched;
    stub_model_t models[2 * TAC_TASKS_MAX]; // the lite ones behind the full ones
    uint64_t now_us;
    const uint64_t *wakes; // ascending instants at which a wait returns early
    size_t wake_count, next_wake;
    uint64_t overshoot_us; // by which a wait returns too late
    uint64_t waited_us;
    int attention;
} stub_t;

static stub_t *current; // the engine's functions carry no context

static uint64_t stub_now(void *ctx) {
    return ((stub_t *)ctx)->now_us;
}

static void stub_wait(void *ctx, uint64_t at_us) {
    stub_t *stub = ctx;
    uint64_t from_us = stub->now_us;
    while (stub->next_wake < stub->wake_count && stub->wakes[stub->next_wake] <= from_us) {
        stub->next_wake++;
    }
    if (stub->next_wake < stub->wake_count && stub->wakes[stub->next_wake] < at_us) {
        stub->now_us = stub->wakes[stub->next_wake++];
    } else if (at_us > stub->now_us) {
        stub->now_us = at_us + stub->overshoot_us;
    }
    stub->waited_us += stub->now_us - from_us;
}

static int stub_attention(void *ctx) {
    return ((stub_t *)ctx)->attention;
}

uint8_t *tac_model_output(const tac_model_t *model, unsigned i, uint32_t *bytes) {
    *bytes = 10;
    return (uint8_t *)(uintptr_t)((const stub_model_t *)(const void *)model)->output[i];
}

void tac_exec_reset(tac_model_t *model) {
    stub_model_t *stub = (stub_model_t *)(void *)model;
    model->next_op = 0;
    model->units_left = stub->op_count;
    stub->resets++;
}

int tac_exec_step(tac_model_t *model) {
    stub_model_t *stub = (stub_model_t *)(void *)model;
    current->now_us += stub->durations[stub->next_duration++ % stub->duration_count];
    model->next_op++;
    stub->output[0][0]++;
    if (model->next_op == stub->image.header.mandatory_ops) {
        stub->output[1][0] = stub->output[0][0];
    }
    return --model->units_left;
}

stub_t *stub_new(uint64_t now_us) {
    stub_t *stub = calloc(1, sizeof *stub);
    if (stub == NULL) {
        abort();
    }
    stub->now_us = now_us;
    tac_sched_port_t port = {stub_now, stub_wait, stub_attention, stub};
    tac_sched_init(&stub->sched, &port);
    current = stub;
    return stub;
}

void stub_free(stub_t *stub) {
    free(stub);
}

tac_sched_t *stub_sched(stub_t *stub) {
    return &stub->sched;
}

static tac_model_t *fill(stub_model_t *model, const uint32_t *wcets, unsigned ops,
                         const uint32_t *durations, size_t duration_count) {
    memset(model, 0, sizeof *model);
    model->image.header.ops_offset =
        (uint32_t)((uint8_t *)model->image.ops - (uint8_t *)&model->image);
    for (unsigned i = 0; i < ops && i < OPS_MAX; i++) {
        model->image.ops[i].wcet_us = wcets[i];
    }
    model->model.image = (const uint8_t *)&model->image;
    model->model.units_left = model->op_count = (uint16_t)ops;
    model->durations = durations;
    model->duration_count = duration_count;
    return &model->model;
}

int stub_add(stub_t *stub, const uint32_t *wcets, unsigned ops, const uint32_t *durations,
             size_t duration_count, const tac_task_params_t *params) {
    unsigned index = stub->sched.task_count;
    if (index >= TAC_TASKS_MAX) {
        return tac_sched_add(&stub->sched, NULL, params);
    }
    return tac_sched_add(&stub->sched,
                         fill(&stub->models[index], wcets, ops, durations, duration_count), params);
}

int stub_add_lite(stub_t *stub, unsigned task, const uint32_t *wcets, unsigned ops,
                  const uint32_t *durations, size_t duration_count, uint32_t budget_us) {
    return tac_sched_add_lite(
        &stub->sched, task,
        fill(&stub->models[TAC_TASKS_MAX + task], wcets, ops, durations, duration_count),
        budget_us);
}

// Names the first `ops` ops of a task's full variant its mandatory part.
void stub_set_mandatory(stub_t *stub, unsigned task, uint32_t ops) {
    stub->models[task].image.header.mandatory_ops = ops;
}

uint64_t stub_clock(const stub_t *stub) {
    return stub->now_us;
}

void stub_pass(stub_t *stub, uint64_t duration_us) {
    stub->now_us += duration_us;
}

void stub_set_wakes(stub_t *stub, const uint64_t *wakes, size_t count) {
    stub->wakes = wakes;
    stub->wake_count = count;
    stub->next_wake = 0;
}

void stub_set_overshoot(stub_t *stub, uint64_t overshoot_us) {
    stub->overshoot_us = overshoot_us;
}

void stub_set_attention(stub_t *stub, int attention) {
    stub->attention = attention;
}

uint64_t stub_waited(const stub_t *stub) {
    return stub->waited_us;
}

unsigned stub_resets(const stub_t *stub, unsigned task) {
    return stub->models[task].resets;
}
