// SPDX-License-Identifier: MIT
// SMP over a console: CRC-16 framed messages in base64 lines, mixed with any other text on the port.
// protocol/SPEC.md section "Console framing".
#ifndef TAC_LINK_CONSOLE_H
#define TAC_LINK_CONSOLE_H

#include <stddef.h>
#include <stdint.h>

#include "tac_error.h"

// CRC-16/XMODEM (poly 0x1021, not reflected, no final xor), chained through crc.
uint16_t tac_crc16(uint16_t crc, const uint8_t *data, size_t size);

typedef struct tac_console {
    uint8_t *message;    // caller's buffer; a complete message lies at its start
    uint32_t capacity;   // of message
    uint32_t fill;       // bytes decoded so far (length field and CRC are not stored)
    uint32_t expected;   // message length + CRC of the frame under way, 0 = between frames
    uint32_t quad;       // base64 decoder state
    uint8_t state, chars, crc_have;
    uint16_t crc;
    uint32_t frames, errors_crc, errors_format, errors_size; // counters since init
    uint32_t message_bytes; // > 0: a complete message waits; feed() takes nothing until tac_console_release()
} tac_console_t;

void tac_console_init(tac_console_t *c, uint8_t *message, size_t capacity);
// Consumes bytes up to and including the one that completes a message; returns how many were consumed.
// Text outside frames is ignored. Oversized, garbled or truncated frames are counted and dropped.
size_t tac_console_feed(tac_console_t *c, const uint8_t *data, size_t size);
void tac_console_release(tac_console_t *c);

// Writes a message as console lines through write(); at most 127 characters a line. No buffer beyond the stack (160 B).
void tac_console_send(const uint8_t *message, size_t size, void (*write)(void *ctx, const uint8_t *data, size_t size), void *ctx);

#endif
