// SPDX-License-Identifier: MIT
// The stream frame: everything a subscriber wants to know, as one SMP message, written
// without the interpreter's heap. Layout in protocol/SPEC.md, section "Group 64".
#ifndef TAC_SCHED_FRAME_H
#define TAC_SCHED_FRAME_H

#include "sched/sched.h"

#define TAC_FRAME_LINK_COUNTERS 5

typedef struct tac_frame_head {
    uint32_t sequence, uptime_ms;
    const uint32_t *link; // TAC_FRAME_LINK_COUNTERS of them
    int with_events;      // the event ring, too, where it is frozen
} tac_frame_head_t;

// Writes the SMP message into buf. Where tasks and events do not fit together, the events come with
// an empty list of tasks. Returns its bytes, or TAC_ERR_SPACE.
int tac_sched_frame_message(const tac_sched_t *s, const tac_frame_head_t *head, uint8_t *buf,
                            size_t size);

#endif
