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
    // A byte at a time: every byte of a frame goes through here, fifty frames a second.
    static const uint16_t table[256] = {
        0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7, 0x8108, 0x9129, 0xa14a,
        0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef, 0x1231, 0x0210, 0x3273, 0x2252, 0x52b5, 0x4294,
        0x72f7, 0x62d6, 0x9339, 0x8318, 0xb37b, 0xa35a, 0xd3bd, 0xc39c, 0xf3ff, 0xe3de, 0x2462,
        0x3443, 0x0420, 0x1401, 0x64e6, 0x74c7, 0x44a4, 0x5485, 0xa56a, 0xb54b, 0x8528, 0x9509,
        0xe5ee, 0xf5cf, 0xc5ac, 0xd58d, 0x3653, 0x2672, 0x1611, 0x0630, 0x76d7, 0x66f6, 0x5695,
        0x46b4, 0xb75b, 0xa77a, 0x9719, 0x8738, 0xf7df, 0xe7fe, 0xd79d, 0xc7bc, 0x48c4, 0x58e5,
        0x6886, 0x78a7, 0x0840, 0x1861, 0x2802, 0x3823, 0xc9cc, 0xd9ed, 0xe98e, 0xf9af, 0x8948,
        0x9969, 0xa90a, 0xb92b, 0x5af5, 0x4ad4, 0x7ab7, 0x6a96, 0x1a71, 0x0a50, 0x3a33, 0x2a12,
        0xdbfd, 0xcbdc, 0xfbbf, 0xeb9e, 0x9b79, 0x8b58, 0xbb3b, 0xab1a, 0x6ca6, 0x7c87, 0x4ce4,
        0x5cc5, 0x2c22, 0x3c03, 0x0c60, 0x1c41, 0xedae, 0xfd8f, 0xcdec, 0xddcd, 0xad2a, 0xbd0b,
        0x8d68, 0x9d49, 0x7e97, 0x6eb6, 0x5ed5, 0x4ef4, 0x3e13, 0x2e32, 0x1e51, 0x0e70, 0xff9f,
        0xefbe, 0xdfdd, 0xcffc, 0xbf1b, 0xaf3a, 0x9f59, 0x8f78, 0x9188, 0x81a9, 0xb1ca, 0xa1eb,
        0xd10c, 0xc12d, 0xf14e, 0xe16f, 0x1080, 0x00a1, 0x30c2, 0x20e3, 0x5004, 0x4025, 0x7046,
        0x6067, 0x83b9, 0x9398, 0xa3fb, 0xb3da, 0xc33d, 0xd31c, 0xe37f, 0xf35e, 0x02b1, 0x1290,
        0x22f3, 0x32d2, 0x4235, 0x5214, 0x6277, 0x7256, 0xb5ea, 0xa5cb, 0x95a8, 0x8589, 0xf56e,
        0xe54f, 0xd52c, 0xc50d, 0x34e2, 0x24c3, 0x14a0, 0x0481, 0x7466, 0x6447, 0x5424, 0x4405,
        0xa7db, 0xb7fa, 0x8799, 0x97b8, 0xe75f, 0xf77e, 0xc71d, 0xd73c, 0x26d3, 0x36f2, 0x0691,
        0x16b0, 0x6657, 0x7676, 0x4615, 0x5634, 0xd94c, 0xc96d, 0xf90e, 0xe92f, 0x99c8, 0x89e9,
        0xb98a, 0xa9ab, 0x5844, 0x4865, 0x7806, 0x6827, 0x18c0, 0x08e1, 0x3882, 0x28a3, 0xcb7d,
        0xdb5c, 0xeb3f, 0xfb1e, 0x8bf9, 0x9bd8, 0xabbb, 0xbb9a, 0x4a75, 0x5a54, 0x6a37, 0x7a16,
        0x0af1, 0x1ad0, 0x2ab3, 0x3a92, 0xfd2e, 0xed0f, 0xdd6c, 0xcd4d, 0xbdaa, 0xad8b, 0x9de8,
        0x8dc9, 0x7c26, 0x6c07, 0x5c64, 0x4c45, 0x3ca2, 0x2c83, 0x1ce0, 0x0cc1, 0xef1f, 0xff3e,
        0xcf5d, 0xdf7c, 0xaf9b, 0xbfba, 0x8fd9, 0x9ff8, 0x6e17, 0x7e36, 0x4e55, 0x5e74, 0x2e93,
        0x3eb2, 0x0ed1, 0x1ef0,
    };
    for (size_t i = 0; i < size; i++) {
        crc = (uint16_t)(crc << 8 ^ table[crc >> 8 ^ data[i]]);
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
            if (i >= LENGTH_BYTES && i + 3 <= LENGTH_BYTES + size) { // nearly all
                const uint8_t *from = message + i - LENGTH_BYTES;
                line[fill] = (uint8_t)alphabet[from[0] >> 2];
                line[fill + 1] = (uint8_t)alphabet[(from[0] << 4 | from[1] >> 4) & 63];
                line[fill + 2] = (uint8_t)alphabet[(from[1] << 2 | from[2] >> 6) & 63];
                line[fill + 3] = (uint8_t)alphabet[from[2] & 63];
                fill += 4;
                continue;
            }
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
