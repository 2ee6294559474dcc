// SPDX-License-Identifier: MIT
// SMP on a port of its own: CRC-16 framed messages, stuffed so that only a frame's end is a zero.
// protocol/SPEC.md section "COBS framing".
#ifndef TAC_LINK_COBS_H
#define TAC_LINK_COBS_H

#include <stddef.h>
#include <stdint.h>

typedef struct tac_cobs {
    uint8_t *message;  // caller's buffer; a complete message lies at its start
    uint32_t capacity; // of message
    uint32_t limit;    // longest message taken
    uint32_t taken;    // bytes decoded of the frame under way, CRC included; stops at its limit
    uint16_t crc;      // running over message and its CRC: 0 when right
    uint8_t code;      // of the block under way, 0 outside a frame
    uint8_t left;      // bytes of it that have not come
    uint32_t frames, errors_crc, errors_format,
        errors_size;        // counters since init; a frame counts once
    uint32_t message_bytes; // > 0: a complete message waits; feed() takes nothing until
                            // tac_cobs_release()
} tac_cobs_t;

// Sets limit = capacity. With a higher one, of longer messages that are whole the first `capacity`
// bytes are given, so that somebody can answer that they are too long; they count as oversized.
void tac_cobs_init(tac_cobs_t *c, uint8_t *message, size_t capacity);
// Consumes bytes up to and including the one that completes a message; returns how many were
// consumed, 0 while a message waits. Messages are 1..capacity bytes. Oversized, garbled or
// truncated frames are counted and dropped at their end.
size_t tac_cobs_feed(tac_cobs_t *c, const uint8_t *data, size_t size);
void tac_cobs_release(tac_cobs_t *c);

// Writes a message of 1..65533 bytes as one frame through write(), at most 255 bytes a call;
// nothing for another size. No buffer beyond the stack (260 B).
void tac_cobs_send(const uint8_t *message, size_t size,
                   void (*write)(void *ctx, const uint8_t *data, size_t size), void *ctx);

#endif
