// SPDX-License-Identifier: MIT
// A stream frame in deterministic CBOR: map keys in bytewise order, shortest heads.
#include "sched/frame.h"

#include <string.h>

#include "link/cbor.h"
#include "sched/sched_state.h"
#include "tac_error.h"

enum {
    SMP_HEADER_BYTES = 8,
    SMP_V2 = 1,
    SMP_READ_REPLY = 1,
    SMP_GROUP_TACTUS = 64,
    SMP_TACTUS_FRAME = 4
};
enum { HEAD_MAX = 5, LONG_HEAD = 3 };

typedef struct writer {
    uint8_t *buf;
    size_t size, at;
    int failed;
} writer_t;

static int room_for(writer_t *w, size_t bytes) {
    if (w->failed || w->size - w->at < bytes) {
        w->failed = 1;
    }
    return !w->failed;
}

static void put_head(writer_t *w, unsigned major, uint32_t value) {
    if (!room_for(w, HEAD_MAX)) {
        return;
    }
    w->at += tac_cbor_put_head(w->buf + w->at, major, value);
}

static void put_key(writer_t *w, const char *key) {
    size_t length = strlen(key);
    put_head(w, TAC_CBOR_TEXT, (uint32_t)length);
    if (room_for(w, length)) {
        memcpy(w->buf + w->at, key, length);
        w->at += length;
    }
}

// Makes room for the head of a byte string whose length is known only after it is written behind
// it.
static uint8_t *begin_bytes(writer_t *w) {
    return room_for(w, LONG_HEAD) ? w->buf + w->at + LONG_HEAD : NULL;
}

static void end_bytes(writer_t *w, const uint8_t *data, int length) {
    if (w->failed || length < 0) {
        w->failed = 1;
        return;
    }
    // The room for the shorter head was checked with the longer one's.
    put_head(w, TAC_CBOR_BYTES, (uint32_t)length);
    if (w->failed || w->size - w->at < (size_t)length) {
        w->failed = 1;
        return;
    }
    memmove(w->buf + w->at, data, (size_t)length);
    w->at += (size_t)length;
}

static size_t left(const writer_t *w) {
    return w->failed || w->size - w->at < LONG_HEAD ? 0 : w->size - w->at - LONG_HEAD;
}

static void put_tasks(writer_t *w, const tac_sched_t *s, unsigned count) {
    put_key(w, "tasks");
    put_head(w, TAC_CBOR_ARRAY, count);
    for (unsigned i = 0; i < count; i++) {
        uint8_t *data = begin_bytes(w);
        end_bytes(w, data, data == NULL ? -1 : tac_sched_pack_stats(s, i, data, left(w)));
    }
}

static int put_frame(const tac_sched_t *s, const tac_frame_head_t *head, unsigned tasks, int events,
                     uint8_t *buf, size_t size) {
    writer_t w = {buf, size, 0, 0};
    put_head(&w, TAC_CBOR_MAP, events ? 6 : 5);
    put_key(&w, "seq");
    put_head(&w, TAC_CBOR_UINT, head->sequence);
    put_key(&w, "link");
    put_head(&w, TAC_CBOR_ARRAY, TAC_FRAME_LINK_COUNTERS);
    for (unsigned i = 0; i < TAC_FRAME_LINK_COUNTERS; i++) {
        put_head(&w, TAC_CBOR_UINT, head->link[i]);
    }
    put_key(&w, "loop");
    uint8_t *data = begin_bytes(&w);
    end_bytes(&w, data, data == NULL ? -1 : tac_sched_pack_loop(s, data, left(&w)));
    put_tasks(&w, s, tasks);
    if (events) {
        put_key(&w, "events");
        data = begin_bytes(&w);
        end_bytes(&w, data, data == NULL ? -1 : tac_sched_pack_events(s, data, left(&w)));
    }
    put_key(&w, "uptime_ms");
    put_head(&w, TAC_CBOR_UINT, head->uptime_ms);
    return w.failed ? TAC_ERR_SPACE : (int)w.at;
}

int tac_sched_frame_message(const tac_sched_t *s, const tac_frame_head_t *head, uint8_t *buf,
                            size_t size) {
    if (size < SMP_HEADER_BYTES) {
        return TAC_ERR_SPACE;
    }
    uint8_t *map = buf + SMP_HEADER_BYTES;
    int events = head->with_events && s->events_frozen;
    int bytes = put_frame(s, head, s->task_count, events, map, size - SMP_HEADER_BYTES);
    if (bytes < 0 && events) {
        bytes = put_frame(s, head, 0, events, map, size - SMP_HEADER_BYTES);
    }
    if (bytes < 0) {
        return bytes;
    }
    const uint8_t header[SMP_HEADER_BYTES] = {SMP_V2 << 3 | SMP_READ_REPLY,
                                              0,
                                              (uint8_t)(bytes >> 8),
                                              (uint8_t)bytes,
                                              0,
                                              SMP_GROUP_TACTUS,
                                              0,
                                              SMP_TACTUS_FRAME};
    memcpy(buf, header, SMP_HEADER_BYTES);
    return bytes + SMP_HEADER_BYTES;
}
