// SPDX-License-Identifier: MIT
#include "bindings/board_link.h"

#include <stdbool.h>
#include <string.h>

#include "bindings/board_context.h"
#include "link/cobs.h"
#include "link/console.h"
#include "port/port.h"
#include "tac_board.h"
#include "tac_error.h"

enum {
    LINK_CHUNK = 128, // received bytes taken from the port at once
    LINK_POLL_BYTES =
        1024, // most bytes one poll looks at, so that a flood cannot hold the dispatcher
};

_Static_assert(TAC_BOARD_LINKS == 1 || TAC_BOARD_LINKS == 2, "a console and perhaps a second link");

static struct {
    _Alignas(8) uint8_t rx[TAC_BOARD_LINKS][TAC_BOARD_LINK_BYTES];
    _Alignas(8) uint8_t tx[TAC_BOARD_LINK_BYTES];
    struct {
        uint8_t bytes[LINK_CHUNK]; // received, not yet looked at: [at, end)
        size_t at, end;
    } chunk[TAC_BOARD_LINKS];
    tac_console_t console; // link 0
    tac_cobs_t cobs;       // link 1
    unsigned from;         // link of the last message, which its reply goes to
    unsigned stream;       // link that asked for stream frames
    uint32_t sent;
    bool open;
} links;

void tac_board_link_open(void) {
    memset(&links, 0, sizeof links);
    tac_console_init(&links.console, links.rx[0], TAC_BOARD_LINK_BYTES);
    tac_cobs_init(&links.cobs, links.rx[TAC_BOARD_LINKS - 1], TAC_BOARD_LINK_BYTES);
    // Longer messages are answered by an error.
    links.console.limit = links.cobs.limit = UINT16_MAX - 2;
    links.open = true;
}

uint32_t tac_board_link_ram(void) {
    return sizeof links.rx + sizeof links.tx + sizeof links.chunk;
}

static uint32_t waiting(unsigned link) {
    return link == 0 ? links.console.message_bytes : links.cobs.message_bytes;
}

static size_t feed(unsigned link, const uint8_t *data, size_t size) {
    return link == 0 ? tac_console_feed(&links.console, data, size)
                     : tac_cobs_feed(&links.cobs, data, size);
}

static void pump(unsigned link) {
    size_t looked_at = 0;
    while (waiting(link) == 0 && looked_at < LINK_POLL_BYTES) {
        if (links.chunk[link].at == links.chunk[link].end) {
            links.chunk[link].at = 0;
            links.chunk[link].end = tac_port_link_read(link, links.chunk[link].bytes, LINK_CHUNK);
            if (links.chunk[link].end == 0) {
                return;
            }
        }
        const size_t taken = feed(link, links.chunk[link].bytes + links.chunk[link].at,
                                  links.chunk[link].end - links.chunk[link].at);
        links.chunk[link].at += taken;
        looked_at += taken;
    }
}

int tac_board_link_poll(void) {
    if (!links.open) {
        return 0;
    }
    if (waiting(links.from) > 0) {
        return (int)waiting(links.from);
    }
    for (unsigned i = 1; i <= TAC_BOARD_LINKS; i++) { // in turns: none can starve the other
        const unsigned link = (links.from + i) % TAC_BOARD_LINKS;
        pump(link);
        if (waiting(link) > 0) {
            links.from = link;
            return (int)waiting(link);
        }
    }
    return 0;
}

tac_view_t tac_board_link_rx(void) {
    return (tac_view_t){links.rx[links.from], TAC_BOARD_LINK_BYTES};
}

void tac_board_link_done(void) {
    if (links.from == 0) {
        tac_console_release(&links.console);
    } else {
        tac_cobs_release(&links.cobs);
    }
}

tac_view_t tac_board_link_tx(void) {
    return (tac_view_t){links.tx, TAC_BOARD_LINK_BYTES};
}

static void write_console(void *ctx, const uint8_t *data, size_t size) {
    (void)ctx;
    tac_port_link_write(0, data, size);
}

static void write_second(void *ctx, const uint8_t *data, size_t size) {
    (void)ctx;
    tac_port_link_write(1, data, size);
}

static int send_to(unsigned link, uint32_t bytes) {
    if (!links.open) {
        return TAC_ERR_STATE;
    }
    if (bytes == 0 || bytes > TAC_BOARD_LINK_BYTES) {
        return TAC_ERR_ARGUMENT;
    }
    if (link == 0) {
        tac_console_send(links.tx, bytes, write_console, NULL);
    } else {
        tac_cobs_send(links.tx, bytes, write_second, NULL);
    }
    links.sent++;
    return TAC_OK;
}

int tac_board_link_send(uint32_t bytes) {
    return send_to(links.from, bytes);
}

void tac_board_link_stream(void) {
    links.stream = links.from;
}

int tac_board_link_send_frame(uint32_t bytes) {
    return send_to(links.stream, bytes);
}

void tac_board_link_counters(uint32_t counters[5]) {
    const tac_console_t *a = &links.console;
    const tac_cobs_t *b = &links.cobs;
    counters[0] = a->frames + b->frames;
    counters[1] = a->errors_crc + b->errors_crc;
    counters[2] = a->errors_format + b->errors_format;
    counters[3] = a->errors_size + b->errors_size;
    counters[4] = links.sent;
}
