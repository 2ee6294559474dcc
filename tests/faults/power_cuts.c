// SPDX-License-Identifier: MIT
// Power cuts at the level of the store, in C for speed: a program that prints one JSON object.
//
//   power_cuts exhaustive                 every flash operation of every scenario, every kind of
//   cut power_cuts random FIRST_SEED SEEDS    2 to 5 cuts in a row, again and again, over random
//   updates power_cuts one GEOMETRY SCENARIO OPERATION KIND      one point, as a failure names it
//
// The scenarios: install -> trial -> confirm, install -> trial -> revert, over a bad slot, going
// back, a trial and a way back given up by the gate, a third package, an upload interrupted,
// another one instead, key rotation; telemetry is beside it (telemetry_cuts.c).
// tests/faults/test_power_cuts.py runs it, host/bench/power_cuts.py for figures.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nor_flash.h"
#include "power_cuts.h"
#include "store/sha256.h"
#include "store/slot.h"

enum {
    PACKAGES = 4, // of a scenario
    STEPS_MAX = 96,
    CHUNK = 1500,
    SPARE = 0xFF, // no such package
    TRIAL_ENDED = -TAC_ERR_PKG_TRIAL,
};

typedef struct geometry {
    uint32_t sector_bytes, write_bytes, slot_bytes, package_bytes;
    uint32_t age; // records written beforehand, so that the journal changes sectors on the way
} geometry_t;

static const geometry_t geometries[] = {
    {512, 1, 9216, 9001, 0},      {512, 8, 6144, 5999, 2},       {1024, 16, 10240, 9001, 3},
    {256, 256, 5120, 5000, 0},    {2048, 32, 8192, 8192, 11},    {4096, 4, 16384, 12288, 29},
    {4096, 256, 16384, 9000, 13}, {8192, 256, 16384, 12001, 27},
};

typedef struct package {
    uint8_t *data;
    uint32_t bytes;
    uint8_t sha256[32];
} package_t;

typedef struct board {
    nor_t *nor;
    tac_store_layout_t layout;
    tac_store_t store;
} board_t;

// What a cut may not blur: it is as before a step, or as after it.
typedef struct logical {
    struct {
        uint8_t state, reason;
        uint32_t length;
        uint8_t sha256[32];
    } slots[TAC_SLOTS];
    tac_floors_t floors;
} logical_t;

typedef enum { BEGIN, WRITE, FINISH, MARK, RESET, ERASE, REFUSED } what_t;

typedef struct step {
    what_t what;
    uint8_t slot, state, package; // RESET: slot = the one that is chosen
    tac_floors_t floors;
} step_t;

typedef struct scenario {
    const char *name;
    step_t prepare[STEPS_MAX], steps[STEPS_MAX];
    unsigned prepared, count;
    uint8_t running; // the slot that must last
    uint8_t target;  // the package that the other slot gets in the end, SPARE for none
} scenario_t;

// ---- packages and boards

static uint64_t next_random(uint64_t *state) {
    *state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
    uint64_t x = *state;
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdULL;
    return x ^ x >> 33;
}

static package_t make_package(uint64_t seed, uint32_t bytes) {
    package_t package = {malloc(bytes), bytes, {0}};
    for (uint32_t i = 0; i < bytes; i++) {
        // A run of 0xFF in the middle: erased and programmed cells look the same there.
        const uint8_t byte = (uint8_t)next_random(&seed);
        package.data[i] = i > bytes / 3 && i < bytes / 2 ? 0xFF : byte;
    }
    tac_sha256_t hash;
    tac_sha256_init(&hash);
    tac_sha256_update(&hash, package.data, bytes);
    tac_sha256_final(&hash, package.sha256);
    return package;
}

static board_t make_board(const geometry_t *g, uint64_t seed) {
    // A sector in front of, between and behind the regions: writes outside show.
    board_t board = {0};
    board.layout.journal_offset = g->sector_bytes;
    board.layout.slot_offset[0] = 4 * g->sector_bytes;
    board.layout.slot_offset[1] = 5 * g->sector_bytes + g->slot_bytes;
    board.layout.slot_bytes = g->slot_bytes;
    board.nor =
        nor_new(6 * g->sector_bytes + 2 * g->slot_bytes, g->sector_bytes, g->write_bytes, seed);
    return board;
}

// All calls of it.
static int finish(tac_store_t *st, unsigned slot) {
    int rc;
    do {
        rc = tac_store_finish(st, slot, 512);
    } while (rc == TAC_STORE_MORE);
    return rc;
}

static int power_up(board_t *board) {
    nor_power_on(board->nor);
    return tac_store_open(&board->store, nor_flash(board->nor), &board->layout);
}

static int is_dead(const board_t *board) {
    return nor_fact(board->nor, 1) != 0;
}

static logical_t logical(const board_t *board) {
    logical_t seen;
    memset(&seen, 0, sizeof seen); // padding is compared, too
    for (unsigned i = 0; i < TAC_SLOTS; i++) {
        const tac_slot_info_t *info = &board->store.slots[i];
        seen.slots[i].state = info->state;
        seen.slots[i].reason = info->reason;
        seen.slots[i].length = info->length;
        memcpy(seen.slots[i].sha256, info->sha256, sizeof info->sha256);
    }
    seen.floors = board->store.floors;
    return seen;
}

static int same(const logical_t *a, const logical_t *b) {
    return memcmp(a, b, sizeof *a) == 0;
}

// ---- invariants

static int holds(const board_t *board, unsigned slot, const package_t *package) {
    const tac_slot_info_t *info = &board->store.slots[slot];
    return info->length == package->bytes &&
           memcmp(info->sha256, package->sha256, sizeof info->sha256) == 0;
}

static const char *check_slot(const board_t *board, unsigned slot, const package_t *packages,
                              unsigned count) {
    const tac_slot_info_t *info = &board->store.slots[slot];
    if (info->state == TAC_SLOT_EMPTY || info->state == TAC_SLOT_BAD) {
        return NULL;
    }
    const uint32_t whole = info->state == TAC_SLOT_RECEIVING ? info->received : info->length;
    for (unsigned i = 0; i < count; i++) {
        if (holds(board, slot, &packages[i])) {
            return memcmp(tac_store_data(&board->store, slot), packages[i].data, whole) == 0
                       ? NULL
                       : "a slot claims bytes that it lacks";
        }
    }
    return "a slot holds what nobody sent";
}

// All that must hold after a reset, with the boot's decision; leaves the board booted.
static const char *check_boot(board_t *board, const package_t *packages, unsigned count,
                              tac_floors_t floor) {
    if (nor_fact(board->nor, 2) != 0) {
        return "a rule of the flash was broken";
    }
    if (board->store.floors.counter < floor.counter) {
        return "the security counter fell";
    }
    if (board->store.floors.key_version < floor.key_version) {
        return "the key set version fell";
    }
    int tried[TAC_SLOTS], proven[TAC_SLOTS];
    for (unsigned i = 0; i < TAC_SLOTS; i++) {
        const char *fault = check_slot(board, i, packages, count);
        if (fault != NULL) {
            return fault;
        }
        tried[i] = board->store.slots[i].state == TAC_SLOT_TRIED;
        proven[i] = board->store.slots[i].reason == TAC_SLOT_PROVEN;
    }
    const int chosen = tac_store_select(&board->store, TRIAL_ENDED);
    if (chosen < 0 || chosen >= TAC_SLOTS) {
        return "nothing to load";
    }
    if (tried[chosen]) {
        return "an unconfirmed trial is loaded again";
    }
    const uint8_t state = board->store.slots[chosen].state;
    if (state != TAC_SLOT_PENDING && state != TAC_SLOT_CONFIRMED) {
        return "unverified bytes would run";
    }
    int confirmed = 0;
    for (unsigned i = 0; i < TAC_SLOTS; i++) {
        const tac_slot_info_t *info = &board->store.slots[i];
        confirmed |= info->state == TAC_SLOT_CONFIRMED;
        if (tried[i] && proven[i] && info->state != TAC_SLOT_CONFIRMED) {
            return "a package that was confirmed is lost by a reset";
        }
        if (tried[i] && !proven[i] &&
            (info->state != TAC_SLOT_BAD || info->reason != TRIAL_ENDED)) {
            return "a trial that died is not marked";
        }
    }
    return confirmed ? NULL : "no confirmed package is left";
}

// ---- steps

static int run_step(board_t *board, const step_t *step, const package_t *packages) {
    tac_store_t *st = &board->store;
    const package_t *package = &packages[step->package];
    switch (step->what) {
    case BEGIN: {
        const int rc = tac_store_begin(st, step->slot, package->bytes, package->sha256);
        return rc < 0 ? rc : 0;
    }
    case WRITE: {
        const uint32_t at = st->slots[step->slot].received;
        const uint32_t left = package->bytes - at;
        return tac_store_write(st, step->slot, at, package->data + at, left < CHUNK ? left : CHUNK);
    }
    case FINISH:
        return finish(st, step->slot);
    case MARK:
        return tac_store_mark(st, step->slot, step->state, 35, &step->floors);
    case ERASE:
        return tac_store_erase(st, step->slot);
    case REFUSED:                                // nothing may change
        if (step->state == TAC_SLOT_CONFIRMED) { // an older counter or key set
            return tac_store_mark(st, step->slot, step->state, 0, &step->floors) < 0 ? 0 : 1;
        }
        return tac_store_begin(st, step->slot, package->bytes, package->sha256) < 0 &&
                       tac_store_erase(st, step->slot) < 0
                   ? 0
                   : 1;
    case RESET:
        if (power_up(board) != 0) {
            return 1;
        }
        // With the power gone during select() the answer still has to be right.
        if (tac_store_select(st, TRIAL_ENDED) != step->slot) {
            return 2;
        }
        return is_dead(board) ? TAC_ERR_FLASH : 0;
    }
    return 1;
}

// What a person does next: the same update once more, from whatever state it is in.
static const char *carry_through(board_t *board, unsigned slot, const package_t *package,
                                 tac_floors_t floors) {
    for (unsigned round = 0; round < 9; round++) {
        tac_store_t *st = &board->store;
        const uint8_t state = st->slots[slot].state;
        int rc = 0;
        if (!holds(board, slot, package) || state == TAC_SLOT_EMPTY || state == TAC_SLOT_BAD ||
            state == TAC_SLOT_RECEIVING) {
            const int at = tac_store_begin(st, slot, package->bytes, package->sha256);
            rc = at < 0 ? at
                        : tac_store_write(st, slot, (uint32_t)at, package->data + at,
                                          package->bytes - (uint32_t)at);
            rc = rc < 0 ? rc : finish(st, slot);
            rc = rc < 0 ? rc : tac_store_mark(st, slot, TAC_SLOT_STAGED, 0, NULL);
        } else if (state == TAC_SLOT_CONFIRMED && tac_store_select(st, TRIAL_ENDED) == (int)slot) {
            return NULL;
        } else if (state == TAC_SLOT_PENDING) {
            rc = tac_store_mark(st, slot, TAC_SLOT_TRIED, 0, NULL);
        } else if (state == TAC_SLOT_TRIED) {
            rc = tac_store_mark(st, slot, TAC_SLOT_CONFIRMED, 0, &floors);
        } else {
            rc = tac_store_mark(st, slot, TAC_SLOT_PENDING, 0, NULL);
        }
        if (rc != 0) {
            return "the update cannot be carried through";
        }
    }
    return "the update gets stuck";
}

// ---- scenarios

static void add(step_t *steps, unsigned *count, step_t step) {
    if (*count == STEPS_MAX) {
        abort();
    }
    steps[(*count)++] = step;
}

static void add_mark(step_t *steps, unsigned *count, uint8_t slot, uint8_t state) {
    add(steps, count, (step_t){.what = MARK, .slot = slot, .state = state});
}

static void add_upload(step_t *steps, unsigned *count, uint8_t slot, uint8_t package,
                       uint32_t bytes, uint32_t percent) {
    add(steps, count, (step_t){.what = BEGIN, .slot = slot, .package = package});
    const uint32_t chunks = (bytes + CHUNK - 1) / CHUNK;
    for (uint32_t i = 0; i < chunks * percent / 100; i++) {
        add(steps, count, (step_t){.what = WRITE, .slot = slot, .package = package});
    }
}

static void add_trial(step_t *steps, unsigned *count, uint8_t slot) {
    add_mark(steps, count, slot, TAC_SLOT_PENDING);
    add(steps, count, (step_t){.what = RESET, .slot = slot});
    add_mark(steps, count, slot, TAC_SLOT_TRIED);
}

static void add_confirm(step_t *steps, unsigned *count, uint8_t slot, uint32_t counter,
                        uint32_t keys) {
    add(steps, count,
        (step_t){
            .what = MARK, .slot = slot, .state = TAC_SLOT_CONFIRMED, .floors = {counter, keys}});
}

static void add_install(step_t *steps, unsigned *count, uint8_t slot, uint8_t package,
                        uint32_t bytes) {
    add_upload(steps, count, slot, package, bytes, 100);
    add(steps, count, (step_t){.what = FINISH, .slot = slot});
    add_mark(steps, count, slot, TAC_SLOT_STAGED);
    add_trial(steps, count, slot);
}

enum { SCENARIOS = 13 };

// Package 0 runs from slot 0 with floors (3, 1) before each.
static void make_scenario(unsigned which, const geometry_t *g, scenario_t *s) {
    const uint32_t bytes = g->package_bytes;
    memset(s, 0, sizeof *s);
    s->target = 1;
    switch (which) {
    case 0:
        s->name = "install, trial, confirm";
        add_install(s->steps, &s->count, 1, 1, bytes);
        add_confirm(s->steps, &s->count, 1, 5, 1);
        add(s->steps, &s->count, (step_t){.what = RESET, .slot = 1});
        return;
    case 1:
        s->name = "install, trial, revert";
        add(s->steps, &s->count, (step_t){.what = REFUSED, .slot = 0, .package = 1});
        add_install(s->steps, &s->count, 1, 1, bytes);
        add(s->steps, &s->count, (step_t){.what = REFUSED, .slot = 1, .package = 2});
        add(s->steps, &s->count, (step_t){.what = RESET, .slot = 0});
        return;
    case 2:
        s->name = "install over a bad slot";
        add_upload(s->prepare, &s->prepared, 1, 2, bytes, 100);
        add_mark(s->prepare, &s->prepared, 1, TAC_SLOT_BAD);
        add_install(s->steps, &s->count, 1, 1, bytes);
        add_confirm(s->steps, &s->count, 1, 5, 1);
        return;
    case 3:
        s->name = "upload interrupted";
        add_upload(s->steps, &s->count, 1, 1, bytes, 70);
        add(s->steps, &s->count, (step_t){.what = RESET, .slot = 0});
        add_upload(s->steps, &s->count, 1, 1, bytes, 100);
        add(s->steps, &s->count, (step_t){.what = FINISH, .slot = 1});
        return;
    case 4:
        s->name = "another upload instead";
        add_upload(s->prepare, &s->prepared, 1, 1, bytes, 70);
        add_upload(s->steps, &s->count, 1, 2, bytes, 100);
        s->target = 2;
        return;
    case 5:
        s->name = "go back to the older one";
        add_install(s->prepare, &s->prepared, 1, 1, bytes);
        add_confirm(s->prepare, &s->prepared, 1, 5, 1);
        add_trial(s->steps, &s->count, 0);
        add_confirm(s->steps, &s->count, 0, 5, 1);
        add(s->steps, &s->count, (step_t){.what = RESET, .slot = 0});
        s->running = 1;
        s->target = 0;
        return;
    case 6:
        s->name = "third package over the first";
        add_install(s->prepare, &s->prepared, 1, 1, bytes);
        add_confirm(s->prepare, &s->prepared, 1, 5, 1);
        add_install(s->steps, &s->count, 0, 2, bytes);
        add_confirm(s->steps, &s->count, 0, 9, 1);
        s->running = 1;
        s->target = 2;
        return;
    case 7:
        s->name = "key rotation";
        add_install(s->steps, &s->count, 1, 1, bytes);
        add_confirm(s->steps, &s->count, 1, 3, 2);
        // The package of the key set before, once more: its trial is refused, the new key set
        // stays.
        add_trial(s->steps, &s->count, 0);
        add(s->steps, &s->count,
            (step_t){.what = REFUSED, .slot = 0, .state = TAC_SLOT_CONFIRMED, .floors = {3, 1}});
        add_mark(s->steps, &s->count, 0, TAC_SLOT_BAD);
        add(s->steps, &s->count, (step_t){.what = RESET, .slot = 1});
        s->target = SPARE;
        return;
    case 8:
        s->name = "install, trial, given up by the gate";
        add_install(s->steps, &s->count, 1, 1, bytes);
        add_mark(s->steps, &s->count, 1, TAC_SLOT_BAD);
        add(s->steps, &s->count, (step_t){.what = RESET, .slot = 0});
        add(s->steps, &s->count, (step_t){.what = REFUSED, .slot = 0, .package = 2});
        add(s->steps, &s->count, (step_t){.what = RESET, .slot = 0});
        s->target = SPARE;
        return;
    case 9:
        s->name = "going back, given up by the gate";
        add_install(s->prepare, &s->prepared, 1, 1, bytes);
        add_confirm(s->prepare, &s->prepared, 1, 5, 1);
        add_trial(s->steps, &s->count, 0);
        add_mark(s->steps, &s->count, 0, TAC_SLOT_BAD);
        add(s->steps, &s->count, (step_t){.what = RESET, .slot = 1});
        s->running = 1;
        s->target = SPARE;
        return;
    case 10:
        s->name = "going back, reset before it was there, going back again";
        add_install(s->prepare, &s->prepared, 1, 1, bytes);
        add_confirm(s->prepare, &s->prepared, 1, 5, 1);
        add_trial(s->steps, &s->count, 0);
        add(s->steps, &s->count, (step_t){.what = RESET, .slot = 1});
        add_trial(s->steps, &s->count, 0);
        add_confirm(s->steps, &s->count, 0, 5, 1);
        add(s->steps, &s->count, (step_t){.what = RESET, .slot = 0});
        s->running = 1;
        s->target = 0;
        return;
    case 11:
        s->name = "reset on trial, the same package again without sending it";
        add_install(s->steps, &s->count, 1, 1, bytes);
        add(s->steps, &s->count, (step_t){.what = RESET, .slot = 0});
        add_upload(s->steps, &s->count, 1, 1, bytes, 0);
        add(s->steps, &s->count, (step_t){.what = FINISH, .slot = 1});
        add_mark(s->steps, &s->count, 1, TAC_SLOT_STAGED);
        add_trial(s->steps, &s->count, 1);
        add_confirm(s->steps, &s->count, 1, 5, 1);
        add(s->steps, &s->count, (step_t){.what = RESET, .slot = 1});
        return;
    default:
        s->name = "choose, think again, erase";
        add_upload(s->steps, &s->count, 1, 1, bytes, 100);
        add(s->steps, &s->count, (step_t){.what = FINISH, .slot = 1});
        add_mark(s->steps, &s->count, 1, TAC_SLOT_STAGED);
        add_mark(s->steps, &s->count, 1, TAC_SLOT_PENDING);
        add_mark(s->steps, &s->count, 1, TAC_SLOT_STAGED);
        add(s->steps, &s->count, (step_t){.what = ERASE, .slot = 1});
        s->target = SPARE;
        return;
    }
}

// A board on which package 0 is confirmed, its journal aged, the scenario prepared.
static board_t prepared_board(const geometry_t *g, const scenario_t *s, const package_t *packages) {
    static const tac_floors_t floors = {3, 1};
    board_t board = make_board(g, 1);
    int bad = power_up(&board) != 0 || carry_through(&board, 0, &packages[0], floors) != NULL;
    for (uint32_t i = 0; i < g->age && !bad; i++) {
        bad = board.store.slots[1].state == TAC_SLOT_EMPTY
                  ? tac_store_begin(&board.store, 1, 7, packages[0].sha256) != 0
                  : tac_store_erase(&board.store, 1) != 0;
    }
    bad |= tac_store_erase(&board.store, 1) != 0;
    for (unsigned i = 0; i < s->prepared && !bad; i++) {
        bad = run_step(&board, &s->prepare[i], packages) != 0;
    }
    if (bad) {
        fprintf(stderr, "%s: cannot be prepared\n", s->name);
        exit(2);
    }
    return board;
}

static const char *run_cut(const board_t *start, const geometry_t *g, const scenario_t *s,
                           const package_t *packages, const logical_t *states, uint32_t n,
                           uint32_t kind) {
    board_t board = make_board(g, 7 + n);
    const char *fault = NULL;
    nor_copy(board.nor, start->nor);
    if (power_up(&board) != 0) {
        fault = "the store does not open";
    }
    nor_guard(board.nor, board.layout.slot_offset[s->running], board.layout.slot_bytes);
    nor_cut(board.nor, n, kind);
    unsigned k = 0;
    for (; fault == NULL && k < s->count; k++) {
        const int rc = run_step(&board, &s->steps[k], packages);
        if (is_dead(&board)) {
            if (rc == 2) {
                fault = "the boot chose another slot as the power went";
            }
            break;
        }
        if (rc != 0) {
            fault = "a step fails without a cut";
        }
    }
    if (fault == NULL && k == s->count) {
        fault = "the cut never came";
    }
    if (fault == NULL && power_up(&board) != 0) {
        fault = "the store does not open after the cut";
    }
    if (fault == NULL) {
        const logical_t seen = logical(&board);
        if (!same(&seen, &states[k]) && !same(&seen, &states[k + 1])) {
            fault = "a step is neither undone nor done";
        } else if (nor_fact(board.nor, 3) != 0) {
            fault = "the running slot was touched";
        }
    }
    if (fault == NULL) {
        fault = check_boot(&board, packages, PACKAGES, states[k].floors);
    }
    if (fault == NULL && s->target != SPARE) {
        const tac_floors_t later = {9, 2};
        fault = carry_through(&board, 1u - s->running, &packages[s->target], later);
        if (fault == NULL && (power_up(&board) != 0 ||
                              tac_store_select(&board.store, TRIAL_ENDED) != 1 - (int)s->running ||
                              nor_fact(board.nor, 2) != 0)) {
            fault = "what was carried through does not load";
        }
    }
    nor_free(board.nor);
    return fault;
}

// Runs the scenario uncut, notes the state after each step; the number of its flash operations.
static uint32_t run_uncut(const board_t *start, const geometry_t *g, const scenario_t *s,
                          const package_t *packages, logical_t *states) {
    board_t board = make_board(g, 7);
    nor_copy(board.nor, start->nor);
    int bad = power_up(&board);
    states[0] = logical(&board);
    for (unsigned k = 0; k < s->count && !bad; k++) {
        bad = run_step(&board, &s->steps[k], packages);
        if (bad) {
            fprintf(stderr, "%s: step %u gives %d without a cut\n", s->name, k, bad);
            exit(2);
        }
        states[k + 1] = logical(&board);
    }
    const uint32_t operations = nor_fact(board.nor, 0);
    nor_free(board.nor);
    return operations;
}

void cut_store_everywhere(figures_t *figures, const cut_choice_t *only) {
    for (unsigned g = 0; g < sizeof geometries / sizeof geometries[0]; g++) {
        const geometry_t *geometry = &geometries[g];
        package_t packages[PACKAGES];
        for (unsigned i = 0; i < PACKAGES; i++) {
            packages[i] = make_package(1000 + i, geometry->package_bytes);
        }
        for (unsigned which = 0; which < SCENARIOS; which++) {
            static scenario_t scenario;
            static logical_t states[STEPS_MAX + 1];
            make_scenario(which, geometry, &scenario);
            board_t start = prepared_board(geometry, &scenario, packages);
            const uint32_t operations = run_uncut(&start, geometry, &scenario, packages, states);
            for (uint32_t n = 1; n <= operations; n++) {
                for (uint32_t kind = 0; kind < NOR_CUT_KINDS; kind++) {
                    if (only != NULL && (only->geometry != g || only->scenario != which ||
                                         only->operation != n || only->kind != kind)) {
                        continue;
                    }
                    const char *fault =
                        run_cut(&start, geometry, &scenario, packages, states, n, kind);
                    figures->points++;
                    if (fault != NULL && ++figures->failures <= 10) {
                        fprintf(stderr,
                                "one %u %u %" PRIu32 " %" PRIu32 " (%s, sector %" PRIu32
                                ", unit %" PRIu32 "): %s\n",
                                g, which, n, kind, scenario.name, geometry->sector_bytes,
                                geometry->write_bytes, fault);
                    }
                }
            }
            nor_free(start.nor);
        }
        for (unsigned i = 0; i < PACKAGES; i++) {
            free(packages[i].data);
        }
    }
}

// ---- random updates, cut again and again

enum { UPDATES = 4, RANDOM_PACKAGES = UPDATES + 1 };

typedef struct story {
    board_t board;
    package_t packages[RANDOM_PACKAGES];
    tac_floors_t floors[RANDOM_PACKAGES]; // each package's counter and key set version
    unsigned good;                        // newest one that is surely confirmed
    unsigned maybe; // one whose confirmation was under way when the power went
    uint64_t random;
} story_t;

static uint32_t draw(story_t *story, uint32_t below) {
    return (uint32_t)(next_random(&story->random) >> 32) % below;
}

static unsigned package_in(const story_t *story, unsigned slot) {
    for (unsigned i = 0; i < RANDOM_PACKAGES; i++) {
        if (holds(&story->board, slot, &story->packages[i])) {
            return i;
        }
    }
    return RANDOM_PACKAGES;
}

// One step towards running `wanted`, as link and boot would take it.
static int advance(story_t *story, unsigned slot, unsigned wanted) {
    tac_store_t *st = &story->board.store;
    const package_t *package = &story->packages[wanted];
    const uint8_t state = st->slots[slot].state;
    if (!holds(&story->board, slot, package) || state == TAC_SLOT_EMPTY || state == TAC_SLOT_BAD) {
        if (draw(story, 20) == 0 && state != TAC_SLOT_TRIED) {
            return tac_store_erase(st, slot);
        }
        const int rc = tac_store_begin(st, slot, package->bytes, package->sha256);
        return rc < 0 ? rc : 0;
    }
    switch (state) {
    case TAC_SLOT_RECEIVING: {
        const uint32_t at = st->slots[slot].received;
        const uint32_t left = package->bytes - at;
        const uint32_t size = 1 + draw(story, 3000);
        if (left > 0) {
            return tac_store_write(st, slot, at, package->data + at, left < size ? left : size);
        }
        const int rc = finish(st, slot);
        return rc != 0 ? rc : tac_store_mark(st, slot, TAC_SLOT_STAGED, 0, NULL);
    }
    case TAC_SLOT_STAGED:
        return tac_store_mark(st, slot, TAC_SLOT_PENDING, 0, NULL);
    case TAC_SLOT_PENDING:
        return tac_store_mark(st, slot, TAC_SLOT_TRIED, 0, NULL);
    default:
        story->maybe = wanted;
        const int rc = tac_store_mark(st, slot, TAC_SLOT_CONFIRMED, 0, &story->floors[wanted]);
        if (rc == 0) {
            story->good = wanted;
        }
        return rc;
    }
}

static const char *check_story(story_t *story) {
    board_t *board = &story->board;
    if (power_up(board) != 0) {
        return "the store does not open";
    }
    // Cuts hit the boot itself too: look at a copy that keeps its power.
    const tac_store_t kept = board->store;
    unsigned newest = TAC_SLOTS;
    for (unsigned i = 0; i < TAC_SLOTS; i++) {
        if (kept.slots[i].state == TAC_SLOT_CONFIRMED &&
            (newest == TAC_SLOTS || kept.slots[i].sequence > kept.slots[newest].sequence)) {
            newest = i;
        }
    }
    if (newest == TAC_SLOTS) {
        return "no confirmed package is left";
    }
    const unsigned runs = package_in(story, newest);
    if (runs != story->good && runs != story->maybe) {
        return "another package than the last good one is confirmed";
    }
    story->good = story->maybe = runs;
    const tac_floors_t *floors = &story->floors[runs];
    if (kept.floors.counter != floors->counter || kept.floors.key_version != floors->key_version) {
        return "the floors are not those of the confirmed package";
    }
    nor_guard(board->nor, board->layout.slot_offset[newest], board->layout.slot_bytes);
    return NULL;
}

static const char *tell_story(story_t *story, figures_t *figures) {
    board_t *board = &story->board;
    story->good = story->maybe = 0;
    if (power_up(board) != 0 || carry_through(board, 0, &story->packages[0], story->floors[0])) {
        return "the first package does not install";
    }
    unsigned wanted = 1;
    // Two to five cuts close to each other, then a stretch that gets something done.
    for (unsigned boot = 0, row = 0; boot < 40 && wanted < RANDOM_PACKAGES; boot++) {
        const char *fault = check_story(story);
        if (fault != NULL) {
            return fault;
        }
        if (story->good == wanted) {
            wanted++;
            continue;
        }
        row = row == 0 ? 2 + draw(story, 4) : row - 1;
        const uint32_t distance = row > 0 ? 1 + draw(story, 5) : 1 + draw(story, 60);
        nor_cut(board->nor, distance, draw(story, NOR_CUT_KINDS));
        fault = check_boot(board, story->packages, RANDOM_PACKAGES, story->floors[story->good]);
        if (fault != NULL) {
            return fault;
        }
        unsigned running = TAC_SLOTS; // the newest confirmed slot, the other one takes the update
        for (unsigned i = 0; i < TAC_SLOTS; i++) {
            if (board->store.slots[i].state == TAC_SLOT_CONFIRMED &&
                package_in(story, i) == story->good) {
                running = i;
            }
        }
        int rc = 0;
        while (rc == 0 && !is_dead(board) && story->good != wanted) {
            if (board->store.slots[1 - running].state == TAC_SLOT_TRIED && draw(story, 4) == 0) {
                break; // reset during a trial
            }
            rc = advance(story, 1 - running, wanted);
            if (nor_fact(board->nor, 3) != 0) {
                return "the confirmed slot was touched";
            }
        }
        figures->cuts += nor_fact(board->nor, 1);
        if (rc != 0 && !is_dead(board)) {
            return "a step fails without a cut";
        }
        nor_cut(board->nor, 0, 0);
        if (nor_fact(board->nor, 2) != 0) {
            return "a rule of the flash was broken";
        }
        figures->boots++;
    }
    figures->confirmed += wanted - 1;
    return NULL;
}

static void cut_store_at_random(figures_t *figures, uint64_t first, uint32_t seeds) {
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        story_t story = {.random = seed};
        const geometry_t *g = &geometries[draw(&story, sizeof geometries / sizeof geometries[0])];
        story.board = make_board(g, seed);
        for (unsigned i = 0; i < RANDOM_PACKAGES; i++) {
            story.packages[i] =
                make_package(seed * RANDOM_PACKAGES + i, 50 + draw(&story, g->slot_bytes / 2));
            // Either floor may stay where it is; a rotation comes now and then.
            const tac_floors_t before = i == 0 ? (tac_floors_t){1, 1} : story.floors[i - 1];
            story.floors[i] = (tac_floors_t){before.counter + draw(&story, 3),
                                             before.key_version + draw(&story, 2)};
        }
        const char *fault = tell_story(&story, figures);
        if (fault != NULL && ++figures->failures <= 10) {
            fprintf(stderr, "random %" PRIu64 " 1 (sector %" PRIu32 ", unit %" PRIu32 "): %s\n",
                    seed, g->sector_bytes, g->write_bytes, fault);
        }
        for (unsigned i = 0; i < RANDOM_PACKAGES; i++) {
            free(story.packages[i].data);
        }
        nor_free(story.board.nor);
    }
}

static void print_figures(const char *name, const figures_t *f) {
    printf("\"%s\": {\"points\": %" PRIu64 ", \"cuts\": %" PRIu64 ", \"boots\": %" PRIu64
           ", \"confirmed\": %" PRIu64 ", \"failures\": %" PRIu64 "}",
           name, f->points, f->cuts, f->boots, f->confirmed, f->failures);
}

int main(int argc, char **argv) {
    figures_t store = {0}, telemetry = {0};
    if (argc == 2 && strcmp(argv[1], "exhaustive") == 0) {
        cut_store_everywhere(&store, NULL);
        cut_telemetry_everywhere(&telemetry);
    } else if (argc == 4 && strcmp(argv[1], "random") == 0) {
        const uint64_t first = strtoull(argv[2], NULL, 10);
        const uint32_t seeds = (uint32_t)strtoul(argv[3], NULL, 10);
        cut_store_at_random(&store, first, seeds);
        cut_telemetry_at_random(&telemetry, first, seeds);
    } else if (argc == 6 && strcmp(argv[1], "one") == 0) {
        const cut_choice_t only = {
            (uint32_t)strtoul(argv[2], NULL, 10), (uint32_t)strtoul(argv[3], NULL, 10),
            (uint32_t)strtoul(argv[4], NULL, 10), (uint32_t)strtoul(argv[5], NULL, 10)};
        cut_store_everywhere(&store, &only);
    } else {
        fprintf(stderr, "usage: power_cuts exhaustive | random SEED SEEDS | one G S N KIND\n");
        return 2;
    }
    printf("{");
    print_figures("store", &store);
    printf(", ");
    print_figures("telemetry", &telemetry);
    printf("}\n");
    return 0;
}
