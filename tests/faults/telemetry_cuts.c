// SPDX-License-Identifier: MIT
// Power cuts while telemetry is written, acknowledged and read: see power_cuts.c.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "nor_flash.h"
#include "power_cuts.h"
#include "store/crc32.h"
#include "store/telemetry.h"

enum { SEQUENCES = 4096 };

typedef struct geometry {
    uint32_t sector_bytes, write_bytes, sectors;
} geometry_t;

static const geometry_t geometries[] = {
    {1024, 1, 2}, {1024, 8, 3}, {1024, 256, 2}, {2048, 32, 4}, {4096, 4, 2}, {4096, 256, 3},
};

// A record says who it is: its content follows from its number.
typedef struct log {
    nor_t *nor;
    geometry_t geometry;
    tac_telemetry_t log;
    uint32_t told[SEQUENCES];   // sequence number -> 1 + the content that append() said is kept
    uint32_t sector[SEQUENCES]; // the number of the sector it was told for
    uint32_t content;           // number of the next content
    uint32_t acknowledged;      // that acknowledge() said is kept
    uint64_t random;
} log_t;

static uint32_t draw(uint64_t *state, uint32_t below) {
    *state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(*state >> 33) % below;
}

static uint32_t fill_content(uint32_t content, uint8_t *data) {
    const uint32_t size = 4 + content * 37 % (TAC_TELEMETRY_RECORD_MAX - 3);
    for (uint32_t i = 0; i < size; i++) {
        data[i] = (uint8_t)(content >> 8 * (i % 4));
    }
    return size;
}

static int power_up(log_t *l) {
    nor_power_on(l->nor);
    return tac_telemetry_open(&l->log, nor_flash(l->nor), l->geometry.sector_bytes,
                              l->geometry.sectors * l->geometry.sector_bytes);
}

static void start(log_t *l, const geometry_t *g, uint64_t seed) {
    const geometry_t geometry = *g; // may be a part of l
    memset(l, 0, sizeof *l);
    l->geometry = geometry;
    l->random = seed;
    l->nor = nor_new((geometry.sectors + 2) * geometry.sector_bytes, geometry.sector_bytes,
                     geometry.write_bytes, seed);
}

static int append(log_t *l) {
    uint8_t data[TAC_TELEMETRY_RECORD_MAX];
    const uint32_t size = fill_content(l->content, data);
    const uint32_t sequence = l->log.next;
    const int rc = tac_telemetry_append(&l->log, data, size);
    if (rc == TAC_OK && sequence < SEQUENCES) {
        l->told[sequence] = 1 + l->content;
        l->sector[sequence] = l->log.number;
    }
    l->content++;
    return rc;
}

static int prepare(log_t *l) {
    const uint32_t ahead = l->log.prepared, number = l->log.number;
    const int rc = tac_telemetry_prepare(&l->log);
    if (rc < 0) {
        return rc;
    }
    return rc == 1 && (ahead || l->log.number != number) ? TAC_ERR_STATE : TAC_OK;
}

static int acknowledge(log_t *l) {
    const uint32_t upto = l->log.next - 1;
    const int rc = tac_telemetry_acknowledge(&l->log, upto);
    if (rc == TAC_OK && upto > l->acknowledged) {
        l->acknowledged = upto;
    }
    return rc;
}

// Everything that can be read is a record of ours, in order, each once; nothing that was promised
// has gone before the ring comes round; an acknowledgement stays.
static const char *check(log_t *l) {
    uint8_t data[TAC_TELEMETRY_RECORD_MAX], expected[TAC_TELEMETRY_RECORD_MAX];
    if (power_up(l) != 0) {
        return "the ring does not open";
    }
    if (nor_fact(l->nor, 2) != 0) {
        return "a rule of the flash was broken";
    }
    if (l->log.acknowledged < l->acknowledged) {
        return "an acknowledgement is lost";
    }
    static uint8_t found[SEQUENCES];
    uint32_t cursor = 0, bytes = 0;
    memset(found, 0, sizeof found);
    for (;;) {
        const uint32_t asked = cursor;
        const int size = tac_telemetry_read(&l->log, &cursor, data, sizeof data);
        if (size == 0) {
            break;
        }
        if (size < 4 || cursor < asked || cursor >= l->log.next) {
            return "a record comes out of order";
        }
        const uint32_t content = (uint32_t)data[0] | (uint32_t)data[1] << 8 |
                                 (uint32_t)data[2] << 16 | (uint32_t)data[3] << 24;
        if (fill_content(content, expected) != (uint32_t)size ||
            memcmp(data, expected, (size_t)size) != 0) {
            return "a record is spoilt";
        }
        if (cursor < SEQUENCES && l->told[cursor] != 0 && l->told[cursor] != 1 + content) {
            return "a number names two records";
        }
        if (cursor < SEQUENCES) {
            found[cursor] = 1;
        }
        bytes += (uint32_t)size;
        cursor++;
    }
    if (bytes != l->log.bytes) {
        return "the bytes are not those of the records";
    }
    for (uint32_t i = 1; i < l->log.next && i < SEQUENCES; i++) {
        // Entering number s + sectors erases s, perhaps in vain.
        const int due = l->sector[i] + l->geometry.sectors > l->log.number + 1;
        if (l->told[i] != 0 && due && !found[i]) {
            return "a record that was promised is gone";
        }
    }
    return NULL;
}

static const char *run(log_t *l, uint32_t actions) {
    for (uint32_t i = 0; i < actions && nor_fact(l->nor, 1) == 0; i++) {
        // Some sectors are erased ahead, some when a record needs them.
        const int rc = i % 7 == 6 ? acknowledge(l) : i % 3 == 1 ? prepare(l) : append(l);
        if (rc != TAC_OK && nor_fact(l->nor, 1) == 0) {
            return "a step fails without a cut";
        }
    }
    return NULL;
}

static const char *run_cut(const geometry_t *g, uint32_t n, uint32_t kind, uint32_t actions) {
    static log_t l;
    start(&l, g, n * 5 + kind);
    const char *fault = power_up(&l) != 0 ? "the ring does not open" : NULL;
    nor_cut(l.nor, n, kind);
    fault = fault != NULL ? fault : run(&l, actions);
    if (fault == NULL && nor_fact(l.nor, 1) == 0) {
        fault = "the cut never came";
    }
    fault = fault != NULL ? fault : check(&l);
    fault = fault != NULL ? fault : run(&l, actions / 2);
    fault = fault != NULL ? fault : check(&l);
    nor_free(l.nor);
    return fault;
}

void cut_telemetry_everywhere(figures_t *figures) {
    for (unsigned g = 0; g < sizeof geometries / sizeof geometries[0]; g++) {
        static log_t l;
        // Round the ring at least one and a half times.
        const uint32_t actions = geometries[g].sectors * geometries[g].sector_bytes / 100 * 5 / 2;
        start(&l, &geometries[g], 1);
        if (power_up(&l) != 0 || run(&l, actions) != NULL) {
            fprintf(stderr, "telemetry: does not run uncut\n");
            figures->failures++;
        }
        const uint32_t operations = nor_fact(l.nor, 0);
        nor_free(l.nor);
        for (uint32_t n = 1; n <= operations; n++) {
            for (uint32_t kind = 0; kind < NOR_CUT_KINDS; kind++) {
                const char *fault = run_cut(&geometries[g], n, kind, actions);
                figures->points++;
                if (fault != NULL && ++figures->failures <= 10) {
                    fprintf(stderr,
                            "telemetry geometry %u operation %" PRIu32 " kind %" PRIu32 ": %s\n", g,
                            n, kind, fault);
                }
            }
        }
    }
}

// Any flash content: erased, garbage, entries with a right CRC and numbers that nobody would write.
static void load_hostile(log_t *l, uint64_t *dice) {
    static const uint32_t numbers[] = {0, 1, 2, 3, 0x7FFFFFFE, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF};
    const uint32_t sector = l->geometry.sector_bytes;
    uint8_t cells[4096];
    for (uint32_t s = 1; s <= l->geometry.sectors; s++) {
        const uint32_t kind = draw(dice, 4);
        for (uint32_t i = 0; i < sector; i++) {
            cells[i] = kind == 0 ? 0xFF : (uint8_t)draw(dice, 256);
        }
        for (uint32_t at = 0; kind >= 2 && at + 300 < sector;) {
            const uint32_t bytes = draw(dice, 2) != 0 ? 8 : draw(dice, 256);
            uint8_t *p = cells + at;
            p[0] = (uint8_t)(at == 0 ? 1 : draw(dice, 5));
            p[1] = (uint8_t)bytes;
            p[2] = (uint8_t)~p[0];
            p[3] = (uint8_t)~p[1];
            for (uint32_t i = 0; i < 3; i++) { // sequence; number and acknowledged of a head
                const uint32_t value = draw(dice, 2) != 0 ? numbers[draw(dice, 8)] : draw(dice, 9);
                for (uint32_t b = 0; b < 4; b++) {
                    p[4 + 4 * i + b] = (uint8_t)(value >> 8 * b);
                }
            }
            const uint32_t crc = tac_crc32(p, 8 + bytes);
            for (uint32_t b = 0; b < 4; b++) {
                p[8 + bytes + b] = (uint8_t)(crc >> 8 * b);
            }
            const uint32_t unit = l->geometry.write_bytes;
            at += (12 + bytes + unit - 1) / unit * unit;
        }
        nor_load(l->nor, s * sector, cells, sector);
    }
}

// Whatever lies in the flash: no call goes wrong, and unless the numbers are used up the ring is
// sound once it has come round.
static const char *run_hostile(log_t *l, uint64_t *dice) {
    uint8_t data[TAC_TELEMETRY_RECORD_MAX];
    load_hostile(l, dice);
    if (power_up(l) != 0) {
        return "the ring does not open";
    }
    uint32_t cursor = draw(dice, 9);
    for (unsigned i = 0; i < 300 && tac_telemetry_read(&l->log, &cursor, data, draw(dice, 193)) > 0;
         i++) {
        cursor++;
    }
    if (l->log.number > 0x7FFFF000 || l->log.next > 0x7FFFF000) {
        append(l);
        acknowledge(l);
        return nor_fact(l->nor, 2) == 0 ? NULL : "a rule of the flash was broken";
    }
    memset(l->told, 0, sizeof l->told);
    const uint32_t round = l->log.number + l->geometry.sectors + 1;
    for (unsigned i = 0; l->log.number < round; i++) {
        if (i > 1000 || append(l) != TAC_OK) {
            return "records do not go in";
        }
    }
    l->acknowledged = l->log.acknowledged;
    return check(l);
}

void cut_telemetry_at_random(figures_t *figures, uint64_t first, uint32_t seeds) {
    static log_t l;
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        uint64_t dice = seed;
        start(&l, &geometries[draw(&dice, sizeof geometries / sizeof geometries[0])], seed);
        const char *fault = run_hostile(&l, &dice);
        nor_free(l.nor);
        start(&l, &l.geometry, seed);
        fault = fault != NULL ? fault : power_up(&l) != 0 ? "the ring does not open" : NULL;
        for (unsigned boot = 0; boot < 24 && fault == NULL; boot++) {
            // Four cuts in a row close to each other, then a stretch.
            const uint32_t distance = boot % 5 != 4 ? 1 + draw(&dice, 4) : 1 + draw(&dice, 80);
            nor_cut(l.nor, distance, draw(&dice, NOR_CUT_KINDS));
            fault = run(&l, 100);
            figures->cuts += nor_fact(l.nor, 1);
            fault = fault != NULL ? fault : check(&l);
            nor_cut(l.nor, 0, 0);
            figures->boots++;
        }
        figures->confirmed += l.log.next - 1;
        if (fault != NULL && ++figures->failures <= 10) {
            fprintf(stderr, "random %" PRIu64 " 1 (telemetry): %s\n", seed, fault);
        }
        nor_free(l.nor);
    }
}
