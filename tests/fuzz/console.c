// SPDX-License-Identifier: MIT
// Console framing: any bytes in pieces of any size give messages within the buffer, and each of
// them comes back from what tac_console_send() makes of it.
// Input: u8 choice of the capacity, u8 bytes a call, what comes over the line.
#include "input.h"
#include "link/console.h"

enum { LINE_ROOM = 4096 };

typedef struct lines {
    uint8_t text[LINE_ROOM];
    size_t fill;
} lines_t;

static void write_line(void *ctx, const uint8_t *data, size_t size) {
    lines_t *lines = ctx;
    MUST(size > 0 && size <= 127 && size <= LINE_ROOM - lines->fill);
    memcpy(lines->text + lines->fill, data, size);
    lines->fill += size;
}

static void send_and_receive(const uint8_t *message, uint32_t size) {
    lines_t lines = {.fill = 0};
    tac_console_send(message, size, write_line, &lines);
    uint8_t *buffer = malloc(size);
    tac_console_t back;
    tac_console_init(&back, buffer, size);
    MUST(tac_console_feed(&back, lines.text, lines.fill) <= lines.fill);
    MUST(back.message_bytes == size && memcmp(buffer, message, size) == 0);
    free(buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint16_t capacities[] = {1, 2, 8, 100, 600, 1024};
    input_t in = {data, size};
    const uint32_t capacity = capacities[take(&in, 1) % 6];
    const size_t piece = 1 + take(&in, 1);
    uint8_t *buffer = malloc(capacity);
    tac_console_t console;
    tac_console_init(&console, buffer, capacity);
    while (in.size > 0) {
        size_t left = piece < in.size ? piece : in.size;
        uint8_t *received = take_block(&in, left);
        const uint8_t *next = received;
        while (left > 0) {
            const size_t taken = tac_console_feed(&console, next, left);
            MUST(taken > 0 && taken <= left);
            next += taken;
            left -= taken;
            MUST(console.message_bytes <= capacity && console.fill <= capacity + 2);
            if (console.message_bytes > 0) {
                MUST(tac_console_feed(&console, next, left) == 0);
                send_and_receive(buffer, console.message_bytes);
                tac_console_release(&console);
            } else {
                MUST(left == 0);
            }
        }
        free(received);
    }
    free(buffer);
    return 0;
}
