// SPDX-License-Identifier: MIT
#include "link/cobs.h"

#include <string.h>

#include "link/console.h"

enum {
    CRC_BYTES = 2,
    MESSAGE_MAX = 0xFFFF - CRC_BYTES, // as on the console
    TAKEN_MAX = 0x10000,              // more than any message: noise without end
    FULL = 0xFF,                      // a block of 254 bytes that no zero follows
};

void tac_cobs_init(tac_cobs_t *c, uint8_t *message, size_t capacity) {
    memset(c, 0, sizeof *c);
    c->message = message;
    c->capacity = capacity < MESSAGE_MAX ? (uint32_t)capacity : MESSAGE_MAX;
    c->limit = c->capacity;
}

void tac_cobs_release(tac_cobs_t *c) {
    c->message_bytes = 0;
}

static void take(tac_cobs_t *c, uint8_t byte) {
    if (c->taken < c->capacity) {
        c->message[c->taken] = byte;
    }
    c->taken += c->taken < TAKEN_MAX;
    c->crc = tac_crc16(c->crc, &byte, 1);
}

static void end_frame(tac_cobs_t *c) {
    if (c->code == 0) {
        return; // an empty frame: senders may put a zero in front
    }
    if (c->left > 0 || c->taken <= CRC_BYTES) {
        c->errors_format++;
    } else if (c->taken - CRC_BYTES > c->limit) {
        c->errors_size++;
    } else if (c->crc != 0) {
        c->errors_crc++;
    } else {
        c->message_bytes = c->taken - CRC_BYTES;
        *(c->message_bytes <= c->capacity ? &c->frames : &c->errors_size) += 1;
    }
    c->taken = 0;
    c->crc = 0;
    c->code = 0;
    c->left = 0;
}

size_t tac_cobs_feed(tac_cobs_t *c, const uint8_t *data, size_t size) {
    size_t used = 0;
    while (used < size && c->message_bytes == 0) {
        const uint8_t byte = data[used++];
        if (byte == 0) {
            end_frame(c);
        } else if (c->left > 0) {
            c->left--;
            take(c, byte);
        } else {
            if (c->code != 0 && c->code != FULL) {
                take(c, 0); // the zero between two blocks; none follows the last one
            }
            c->code = byte;
            c->left = (uint8_t)(byte - 1);
        }
    }
    return used;
}

void tac_cobs_send(const uint8_t *message, size_t size,
                   void (*write)(void *ctx, const uint8_t *data, size_t size), void *ctx) {
    uint8_t block[FULL];
    size_t fill = 1;

    if (size == 0 || size > MESSAGE_MAX) {
        return;
    }
    const uint16_t crc = tac_crc16(0, message, size);
    for (size_t i = 0; i < size + CRC_BYTES; i++) {
        const uint8_t byte = i < size ? message[i] : i == size ? (uint8_t)(crc >> 8) : (uint8_t)crc;
        if (byte != 0) {
            block[fill++] = byte;
        }
        if (byte == 0 || fill == FULL) {
            block[0] = (uint8_t)fill;
            write(ctx, block, fill);
            fill = 1;
        }
    }
    block[0] = (uint8_t)fill;
    write(ctx, block, fill);
    static const uint8_t end = 0;
    write(ctx, &end, 1);
}
