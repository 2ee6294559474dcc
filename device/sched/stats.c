// SPDX-License-Identifier: MIT
// What the dispatcher counts, and the bytes it ships. Definitions and layouts in protocol/SPEC.md
// section "Statistics"; protocol/stats.py reads them.
#include "sched/sched_state.h"

#include <string.h>

#include "tac_error.h"

#define STATS_VERSION 3u
#define STATS_HEAD_BYTES 108u
#define LOOP_VERSION 1u
#define LOOP_BYTES 72u
#define HIST_HEAD_BYTES 21u
#define RESULT_BYTES 36u
#define EVENT_BYTES 16u

void tac_stats_clear(tac_sched_t *s) {
    for (unsigned i = 0; i < s->task_count; i++) {
        tac_task_t *task = &s->tasks[i];
        memset(&task->stats, 0, sizeof task->stats);
        task->misses = 0;
        task->misses_16 = 0;
        task->misses_64 = 0;
        task->has_start = 0;
    }
    memset(&s->loop, 0, sizeof s->loop);
    s->events_frozen = 0;
    s->event_next = 0;
    s->event_count = 0;
    s->result_sequence = 0;
    s->result_count = 0;
}

void tac_stats_event(tac_sched_t *s, uint64_t at_us, tac_event_t event) {
    if (s->events_frozen) {
        return;
    }
    event.at_us = (uint32_t)(at_us - s->zero_us);
    s->events[s->event_next] = event;
    s->event_next = (s->event_next + 1) % TAC_EVENTS_MAX;
    if (s->event_count < TAC_EVENTS_MAX) {
        s->event_count++;
    }
}

// Shifts one outcome into the (m,k) windows. Incremental, because Cortex-M has no population count.
static void outcome(tac_task_t *task, unsigned missed) {
    task->misses_16 = (uint8_t)(task->misses_16 + missed - ((task->misses >> 15) & 1u));
    task->misses_64 = (uint8_t)(task->misses_64 + missed - ((task->misses >> 63) & 1u));
    task->misses = task->misses << 1 | missed;
    if (task->misses_16 > task->stats.mk16_max) {
        task->stats.mk16_max = task->misses_16;
    }
    if (task->misses_64 > task->stats.mk64_max) {
        task->stats.mk64_max = task->misses_64;
    }
}

// A miss of any class: the ring keeps what led to it.
static void missed(tac_sched_t *s, unsigned task, uint64_t at_us, tac_event_t event) {
    event.task = (uint8_t)task;
    tac_stats_event(s, at_us, event);
    s->events_frozen = 1;
    outcome(&s->tasks[task], 1);
}

void tac_stats_started(tac_sched_t *s, unsigned index, uint64_t at_us) {
    tac_task_t *task = &s->tasks[index];
    tac_task_stats_t *stats = &task->stats;
    uint32_t latency_us = tac_clip_us(at_us - task->release_us);
    tac_hist_add(&stats->start, latency_us);
    if (task->has_start) {
        uint32_t jitter_us = latency_us > task->last_start_us ? latency_us - task->last_start_us
                                                              : task->last_start_us - latency_us;
        if (jitter_us > stats->cycle_jitter_max_us) {
            stats->cycle_jitter_max_us = jitter_us;
        }
    }
    task->has_start = 1;
    task->last_start_us = latency_us;
    tac_stats_event(s, at_us,
                    (tac_event_t){.kind = TAC_EVENT_START,
                                  .task = (uint8_t)index,
                                  .job = task->job,
                                  .value = latency_us});
}

void tac_stats_stretch(tac_sched_t *s, unsigned index, uint16_t op, uint64_t at_us,
                       uint32_t duration_us) {
    tac_stats_event(s, at_us,
                    (tac_event_t){.kind = TAC_EVENT_OP,
                                  .task = (uint8_t)index,
                                  .job = s->tasks[index].job,
                                  .op = op,
                                  .value = duration_us});
}

void tac_stats_wcet_exceeded(tac_sched_t *s, unsigned index, uint16_t op, uint32_t excess_us) {
    tac_task_stats_t *stats = &s->tasks[index].stats;
    stats->wcet_exceeded++;
    if (excess_us > stats->wcet_excess_max_us) {
        stats->wcet_excess_max_us = excess_us;
        stats->wcet_excess_op = op;
    }
}

void tac_stats_overrun(tac_sched_t *s, unsigned index) {
    s->tasks[index].stats.budget_exceeded++;
}

static void keep_result(tac_sched_t *s, unsigned index, uint32_t response_us, unsigned late) {
    const tac_task_t *task = &s->tasks[index];
    uint32_t sequence = s->result_sequence++;
    tac_result_t *result = &s->results[sequence % TAC_RESULTS_MAX];
    memset(result, 0, sizeof *result);
    result->sequence = sequence;
    result->tag = task->tag;
    result->job = task->job;
    result->response_us = response_us;
    result->task = (uint8_t)index;
    result->flags = (uint8_t)((late ? 1u : 0u) | (task->variant << 1) | (task->early << 2));
    uint32_t bytes = 0;
    const uint8_t *output = tac_model_output(task->model, task->early, &bytes);
    if (output != NULL) {
        result->bytes = (uint8_t)(bytes < TAC_RESULT_BYTES ? bytes : TAC_RESULT_BYTES);
        memcpy(result->output, output, result->bytes);
    }
    if (s->result_count < TAC_RESULTS_MAX) {
        s->result_count++;
    }
}

void tac_stats_done(tac_sched_t *s, unsigned index, uint64_t at_us) {
    tac_task_t *task = &s->tasks[index];
    tac_task_stats_t *stats = &task->stats;
    uint64_t response_us = at_us - task->release_us;
    uint32_t shipped_us = tac_clip_us(response_us);
    unsigned late = response_us > task->params.deadline_us;
    int64_t lateness_us = (int64_t)response_us - (int64_t)task->params.deadline_us;
    int32_t lateness = lateness_us > INT32_MAX   ? INT32_MAX
                       : lateness_us < INT32_MIN ? INT32_MIN
                                                 : (int32_t)lateness_us;

    if (stats->done == 0 || lateness > stats->lateness_max_us) {
        stats->lateness_max_us = lateness;
    }
    stats->done++;
    stats->done_lite += task->variant;
    stats->early += task->early;
    tac_hist_add(&stats->response, shipped_us);
    if (stats->exec_n == 0 || task->used_us < stats->exec_min_us) {
        stats->exec_min_us = task->used_us;
    }
    if (task->used_us > stats->exec_max_us) {
        stats->exec_max_us = task->used_us;
    }
    stats->exec_n++;
    stats->exec_sum_us += task->used_us;
    keep_result(s, index, shipped_us, late);
    tac_stats_event(
        s, at_us,
        (tac_event_t){
            .kind = TAC_EVENT_DONE, .task = (uint8_t)index, .job = task->job, .value = shipped_us});
    if (late) {
        stats->missed_late++;
        missed(
            s, index, at_us,
            (tac_event_t){.kind = TAC_EVENT_LATE, .job = task->job, .value = (uint32_t)lateness});
    } else {
        outcome(task, 0);
    }
}

void tac_stats_early(tac_sched_t *s, unsigned index, uint64_t at_us) {
    const tac_task_t *task = &s->tasks[index];
    tac_stats_event(s, at_us,
                    (tac_event_t){.kind = TAC_EVENT_EARLY,
                                  .task = (uint8_t)index,
                                  .job = task->job,
                                  .op = tac_exec_op(task->model),
                                  .value = task->used_us});
}

void tac_stats_aborted(tac_sched_t *s, unsigned index, uint64_t at_us) {
    tac_task_t *task = &s->tasks[index];
    task->stats.aborted++;
    missed(s, index, at_us,
           (tac_event_t){.kind = TAC_EVENT_ABORTED,
                         .job = task->job,
                         .op = task->started ? tac_exec_op(task->model) : (uint16_t)0,
                         .value = task->used_us});
}

void tac_stats_skipped(tac_sched_t *s, unsigned index, uint32_t job, uint64_t release_us,
                       uint64_t at_us) {
    s->tasks[index].stats.skipped++;
    missed(s, index, at_us,
           (tac_event_t){
               .kind = TAC_EVENT_SKIPPED, .job = job, .value = tac_clip_us(at_us - release_us)});
}

const tac_task_stats_t *tac_sched_stats(const tac_sched_t *s, unsigned task) {
    return task < s->task_count ? &s->tasks[task].stats : NULL;
}

const tac_loop_stats_t *tac_sched_loop_stats(const tac_sched_t *s) {
    return &s->loop;
}

int tac_sched_events_frozen(const tac_sched_t *s) {
    return s->events_frozen;
}

// ---- shipping: little-endian whatever the CPU -------------------------------------------------

static uint8_t *put_u16(uint8_t *p, uint32_t value) {
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
    return p + 2;
}

static uint8_t *put_u32(uint8_t *p, uint32_t value) {
    return put_u16(put_u16(p, value), value >> 16);
}

static uint8_t *put_u64(uint8_t *p, uint64_t value) {
    return put_u32(put_u32(p, (uint32_t)value), (uint32_t)(value >> 32));
}

static size_t varint_bytes(uint32_t value) {
    size_t bytes = 1;
    while (value >= 0x80) {
        value >>= 7;
        bytes++;
    }
    return bytes;
}

static uint8_t *put_varint(uint8_t *p, uint32_t value) {
    while (value >= 0x80) {
        *p++ = (uint8_t)(value | 0x80u);
        value >>= 7;
    }
    *p++ = (uint8_t)value;
    return p;
}

static size_t hist_bytes(const tac_hist_t *h) {
    size_t bytes = HIST_HEAD_BYTES;
    for (unsigned word = 0; word < sizeof h->used / sizeof h->used[0]; word++) {
        for (uint32_t bits = h->used[word]; bits != 0; bits &= bits - 1) {
            bytes += 1 + varint_bytes(h->buckets[32 * word + (unsigned)__builtin_ctz(bits)]);
        }
    }
    return bytes;
}

static uint8_t *put_hist(uint8_t *p, const tac_hist_t *h) {
    p = put_u32(p, h->n);
    p = put_u32(p, h->min_us);
    p = put_u32(p, h->max_us);
    p = put_u64(p, h->sum_us);
    uint8_t *count = p++;
    *count = 0;
    for (unsigned word = 0; word < sizeof h->used / sizeof h->used[0]; word++) {
        for (uint32_t bits = h->used[word]; bits != 0; bits &= bits - 1) {
            unsigned i = 32 * word + (unsigned)__builtin_ctz(bits);
            (*count)++;
            *p++ = (uint8_t)i;
            p = put_varint(p, h->buckets[i]);
        }
    }
    return p;
}

int tac_sched_pack_stats(const tac_sched_t *s, unsigned index, uint8_t *buf, size_t size) {
    if (index >= s->task_count) {
        return TAC_ERR_NOT_FOUND;
    }
    const tac_task_t *task = &s->tasks[index];
    const tac_task_stats_t *stats = &task->stats;
    if (STATS_HEAD_BYTES + hist_bytes(&stats->start) + hist_bytes(&stats->response) > size) {
        return TAC_ERR_SPACE;
    }
    unsigned flags =
        (task->state != TAC_JOB_NONE ? 1u : 0u) | (s->events_frozen ? 2u : 0u) |
        (task->params.period_us == 0 ? 4u : 0u) |
        (tac_plan_header(task->models[TAC_VARIANT_FULL]->image)->mandatory_ops ? 8u : 0u);
    uint8_t *p = buf;
    *p++ = STATS_VERSION;
    *p++ = (uint8_t)index;
    *p++ = task->params.policy;
    *p++ = (uint8_t)flags;
    p = put_u32(p, stats->released);
    p = put_u32(p, stats->done);
    p = put_u32(p, stats->missed_late);
    p = put_u32(p, stats->aborted);
    p = put_u32(p, stats->skipped);
    p = put_u32(p, stats->wcet_exceeded);
    p = put_u32(p, stats->budget_exceeded);
    p = put_u16(p, stats->mk16_max);
    p = put_u16(p, stats->mk64_max);
    p = put_u32(p, stats->cycle_jitter_max_us);
    p = put_u32(p, (uint32_t)stats->lateness_max_us);
    p = put_u32(p, s->loop.background_max_us);
    p = put_u32(p, stats->exec_n);
    p = put_u32(p, stats->exec_min_us);
    p = put_u32(p, stats->exec_max_us);
    p = put_u64(p, stats->exec_sum_us);
    p = put_u32(p, stats->done_lite);
    p = put_u32(p, stats->degraded);
    p = put_u32(p, stats->restored);
    p = put_u32(p, stats->restarted);
    p = put_u32(p, stats->wcet_excess_max_us);
    p = put_u16(p, stats->wcet_excess_op);
    *p++ = task->degraded ? (uint8_t)TAC_VARIANT_LITE : task->mode_variant;
    *p++ = 0;
    p = put_u32(p, task->params.period_us);
    p = put_u32(p, task->params.deadline_us);
    p = put_u32(p, task->params.budget_us);
    p = put_u32(p, stats->early);
    p = put_hist(p, &stats->start);
    p = put_hist(p, &stats->response);
    return (int)(p - buf);
}

int tac_sched_pack_loop(const tac_sched_t *s, uint8_t *buf, size_t size) {
    if (size < LOOP_BYTES) {
        return TAC_ERR_SPACE;
    }
    const tac_loop_stats_t *loop = &s->loop;
    uint8_t *p = buf;
    *p++ = LOOP_VERSION;
    *p++ = s->mode;
    *p++ = s->wanted_mode;
    *p++ = (uint8_t)((s->started ? 1u : 0u) | (s->events_frozen ? 2u : 0u));
    p = put_u64(p, (s->started ? tac_sched_now_us(s) : s->stop_us) - s->zero_us);
    p = put_u64(p, loop->idle_us);
    p = put_u64(p, loop->op_us);
    p = put_u64(p, loop->background_us);
    p = put_u32(p, loop->ops);
    p = put_u32(p, loop->preemptions);
    p = put_u32(p, loop->background_count);
    p = put_u32(p, loop->background_max_us);
    p = put_u32(p, loop->mode_switches);
    p = put_u32(p, loop->mode_wait_max_us);
    p = put_u32(p, loop->gc_count);
    p = put_u32(p, loop->gc_forced);
    p = put_u32(p, loop->gc_pause_max_us);
    return (int)(p - buf);
}

int tac_sched_pack_results(const tac_sched_t *s, uint32_t *cursor, uint8_t *buf, size_t size) {
    // Modular, so that neither 2^32 results nor a cursor from before a restart lead outside the
    // ring.
    if ((uint32_t)(s->result_sequence - *cursor) > s->result_count) {
        *cursor = s->result_sequence - s->result_count;
    }
    if (*cursor != s->result_sequence && size < RESULT_BYTES) {
        return TAC_ERR_SPACE;
    }
    uint8_t *p = buf;
    for (; *cursor != s->result_sequence && (size_t)(p - buf) + RESULT_BYTES <= size; (*cursor)++) {
        const tac_result_t *result = &s->results[*cursor % TAC_RESULTS_MAX];
        p = put_u32(p, result->sequence);
        p = put_u32(p, result->tag);
        p = put_u32(p, result->job);
        p = put_u32(p, result->response_us);
        *p++ = result->task;
        *p++ = result->flags;
        *p++ = result->bytes;
        *p++ = 0;
        memcpy(p, result->output, TAC_RESULT_BYTES);
        p += TAC_RESULT_BYTES;
    }
    return (int)(p - buf);
}

int tac_sched_pack_events(const tac_sched_t *s, uint8_t *buf, size_t size) {
    if ((size_t)s->event_count * EVENT_BYTES > size) {
        return TAC_ERR_SPACE;
    }
    uint8_t *p = buf;
    for (uint32_t age = s->event_count; age > 0; age--) {
        const tac_event_t *e = &s->events[(s->event_next - age) % TAC_EVENTS_MAX];
        p = put_u32(p, e->at_us);
        p = put_u32(p, e->job);
        *p++ = e->task;
        *p++ = e->kind;
        p = put_u16(p, e->op);
        p = put_u32(p, e->value);
    }
    return (int)(p - buf);
}
