// SPDX-License-Identifier: MIT
// SMP over a console: CRC-16 framed messages in base64 lines, mixed with any other text on the
// port. protocol/SPEC.md section "Console framing".
#ifndef TAC_LINK_CONSOLE_H
#define TAC_LINK_CONSOLE_H

#include <stddef.h>
#include <stdint.h>

#include "tac_error.h"

// CRC-16/XMODEM (poly 0x1021, not reflected, no final xor), chained through crc.
uint16_t tac_crc16(uint16_t crc, const uint8_t *data, size_t size);

typedef struct tac_console {
    uint8_t *message;  // caller's buffer; a complete message lies at its start
    uint32_t capacity; // of message
    uint32_t limit;    // longest message taken
    uint32_t fill;     // bytes decoded so far (length field and CRC are not stored)
    uint32_t expected; // value of the length field: message length + CRC
    uint32_t taken;    // bytes decoded of the frame under way, length field and CRC included
    uint32_t quad;     // base64 characters of a group of four, 6 bits each
    uint8_t state, in_frame, chars, pads;
    uint16_t crc; // running over message and its CRC: 0 when right
    uint32_t frames, errors_crc, errors_format,
        errors_size;        // counters since init; a frame counts once
    uint32_t message_bytes; // > 0: a complete message waits; feed() takes nothing until
                            // tac_console_release()
} tac_console_t;

// Sets limit = capacity. With a higher one, of longer messages that are whole the first `capacity`
// bytes are given, so that somebody can answer that they are too long; they count as oversized.
void tac_console_init(tac_console_t *c, uint8_t *message, size_t capacity);
// Consumes bytes up to and including the one that completes a message; returns how many were
// consumed, 0 while a message waits. Text outside frames and between the lines of a frame is
// ignored; 06 09 always starts a new frame. Messages are 1..capacity bytes. Oversized, garbled or
// truncated frames are counted and dropped.
size_t tac_console_feed(tac_console_t *c, const uint8_t *data, size_t size);
void tac_console_release(tac_console_t *c);

// Writes a message of 1..65533 bytes as console lines through write(), one call a line of at most
// 127 characters; nothing for another size. No buffer beyond the stack (160 B).
void tac_console_send(const uint8_t *message, size_t size,
                      void (*write)(void *ctx, const uint8_t *data, size_t size), void *ctx);

#endif
