// SPDX-License-Identifier: MIT
#include "link/console.h"

#include <string.h>

enum {
    FRAME_1 = 0x06, // 06 09 opens a frame, 04 14 each further line of it
    FRAME_2 = 0x09,
    LINE_1 = 0x04,
    LINE_2 = 0x14,
    LINE_CHARS = 124, // base64 characters a line: marker and newline make 127
    LINE_BYTES = LINE_CHARS / 4 * 3,
    LENGTH_BYTES = 2,
    CRC_BYTES = 2,
    MESSAGE_MAX = 0xFFFF - CRC_BYTES,
};

enum state {
    TEXT, // outside a line: in_frame tells whether a frame goes on
    FRAME_MARK,
    LINE_MARK,
    DATA,
    RETURN, // after a carriage return that ends a line
};

uint16_t tac_crc16(uint16_t crc, const uint8_t *data, size_t size) {
    // A nibble at a time: 32 bytes of table instead of 512; the line is slower than this by far.
    static const uint16_t table[16] = {
        0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7,
        0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef,
    };
    for (size_t i = 0; i < size; i++) {
        crc = (uint16_t)(crc << 4 ^ table[crc >> 12 ^ data[i] >> 4]);
        crc = (uint16_t)(crc << 4 ^ table[crc >> 12 ^ (data[i] & 15)]);
    }
    return crc;
}

void tac_console_init(tac_console_t *c, uint8_t *message, size_t capacity) {
    memset(c, 0, sizeof *c);
    c->message = message;
    c->capacity = capacity < MESSAGE_MAX ? (uint32_t)capacity : MESSAGE_MAX;
    c->limit = c->capacity;
}

void tac_console_release(tac_console_t *c) {
    c->message_bytes = 0;
}

static void forget_frame(tac_console_t *c) {
    c->in_frame = 0;
    c->state = TEXT;
}

static void drop_frame(tac_console_t *c, uint32_t *counter) {
    (*counter)++;
    forget_frame(c);
}

static void start_frame(tac_console_t *c) {
    if (c->in_frame) {
        c->errors_format++; // the frame before it was cut short
    }
    c->in_frame = 1;
    c->state = DATA;
    c->fill = 0;
    c->expected = 0;
    c->taken = 0;
    c->chars = 0;
    c->pads = 0;
    c->crc = 0;
}

// Value of a base64 character, -1 for any other byte.
static int base64_value(uint8_t byte) {
    if (byte >= 'A' && byte <= 'Z') {
        return byte - 'A';
    }
    if (byte >= 'a' && byte <= 'z') {
        return byte - 'a' + 26;
    }
    if (byte >= '0' && byte <= '9') {
        return byte - '0' + 52;
    }
    return byte == '+' ? 62 : byte == '/' ? 63 : -1;
}

// One decoded byte of the frame. `last` = no further byte comes from this group of four.
static void take_byte(tac_console_t *c, uint8_t byte, int last) {
    uint32_t at = c->taken++;
    if (at < LENGTH_BYTES) {
        c->expected = c->expected << 8 | byte;
        if (at == LENGTH_BYTES - 1) {
            if (c->expected <= CRC_BYTES) {
                drop_frame(c, &c->errors_format);
            } else if (c->expected - CRC_BYTES > c->limit) {
                drop_frame(c, &c->errors_size);
            }
        }
        return;
    }
    c->crc = tac_crc16(c->crc, &byte, 1);
    if (c->fill < c->expected - CRC_BYTES) {
        if (c->fill < c->capacity) {
            c->message[c->fill] = byte;
        }
        c->fill++;
    }
    if (c->taken < LENGTH_BYTES + c->expected) {
        return;
    }
    if (!last) {
        drop_frame(c, &c->errors_format);
    } else if (c->crc != 0) {
        drop_frame(c, &c->errors_crc);
    } else {
        *(c->fill <= c->capacity ? &c->frames : &c->errors_size) += 1;
        c->message_bytes = c->fill;
        forget_frame(c);
    }
}

static void take_group(tac_console_t *c) {
    unsigned bytes = 3U - c->pads;
    uint32_t quad = c->quad;

    if (c->pads > 0 && (quad & (c->pads == 1 ? 0xFFU : 0xFFFFU)) != 0) {
        drop_frame(c, &c->errors_format); // bits that no encoder sets
        return;
    }
    for (unsigned i = 0; i < bytes && c->in_frame; i++) {
        take_byte(c, (uint8_t)(quad >> (16 - 8 * i)), i + 1 == bytes);
    }
    if (c->in_frame && c->pads > 0) {
        drop_frame(c, &c->errors_format); // padding ends a message, and this one has not ended
        return;
    }
    c->chars = 0;
    c->quad = 0;
}

// A byte within a line of base64. Nonzero when the byte has been used up.
static int take_data(tac_console_t *c, uint8_t byte) {
    int value = base64_value(byte);
    if (value >= 0 && c->pads == 0) {
        c->quad = c->quad << 6 | (uint32_t)value;
    } else if (byte == '=' && c->chars >= 2) {
        c->quad <<= 6;
        c->pads++;
    } else if (c->chars == 0 && byte == '\n') {
        c->state = TEXT;
        return 1;
    } else if (c->chars == 0 && byte == '\r') {
        c->state = RETURN;
        return 1;
    } else {
        drop_frame(c, &c->errors_format);
        return 0;
    }
    c->chars++;
    if (c->chars == 4) {
        take_group(c);
    }
    return 1;
}

static void take_text(tac_console_t *c, uint8_t byte) {
    if (c->state == FRAME_MARK && byte == FRAME_2) {
        start_frame(c);
    } else if (c->state == LINE_MARK && byte == LINE_2) {
        c->state = DATA;
    } else if (byte == FRAME_1) {
        c->state = FRAME_MARK;
    } else if (byte == LINE_1 && c->in_frame) {
        c->state = LINE_MARK;
    } else {
        c->state = TEXT;
    }
}

size_t tac_console_feed(tac_console_t *c, const uint8_t *data, size_t size) {
    size_t used = 0;
    while (used < size && c->message_bytes == 0) {
        uint8_t byte = data[used++];
        if (c->state == RETURN) {
            c->state = TEXT;
            if (byte == '\n') {
                continue;
            }
            drop_frame(c, &c->errors_format);
        }
        if (c->state != DATA || !take_data(c, byte)) {
            take_text(c, byte); // also a byte that broke a line: it may open the next frame
        }
    }
    return used;
}

// Byte `i` of length field, message and CRC in a row.
static uint8_t raw_byte(const uint8_t *message, size_t size, uint16_t crc, size_t i) {
    size_t length = size + CRC_BYTES;
    if (i < LENGTH_BYTES) {
        return (uint8_t)(i == 0 ? length >> 8 : length);
    }
    i -= LENGTH_BYTES;
    if (i < size) {
        return message[i];
    }
    return (uint8_t)(i == size ? crc >> 8 : crc);
}

void tac_console_send(const uint8_t *message, size_t size,
                      void (*write)(void *ctx, const uint8_t *data, size_t size), void *ctx) {
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t line[2 + LINE_CHARS + 1];

    if (size == 0 || size > MESSAGE_MAX) {
        return;
    }
    uint16_t crc = tac_crc16(0, message, size);
    size_t total = LENGTH_BYTES + size + CRC_BYTES;
    for (size_t start = 0; start < total; start += LINE_BYTES) {
        size_t end = start + LINE_BYTES < total ? start + LINE_BYTES : total;
        size_t fill = 2;
        line[0] = start == 0 ? FRAME_1 : LINE_1;
        line[1] = start == 0 ? FRAME_2 : LINE_2;
        for (size_t i = start; i < end; i += 3) {
            uint32_t quad = 0;
            for (size_t j = i; j < i + 3; j++) {
                quad = quad << 8 | (j < end ? raw_byte(message, size, crc, j) : 0U);
            }
            for (unsigned j = 0; j < 4; j++) {
                line[fill++] = i + j > end ? '=' : (uint8_t)alphabet[quad >> (18 - 6 * j) & 63];
            }
        }
        line[fill++] = '\n';
        write(ctx, line, fill);
    }
}
