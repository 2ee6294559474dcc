// SPDX-License-Identifier: MIT
// Slots and journal on flash of any content: no wild access, no breach of a flash rule (a program
// over cells that are not erased), no state that a slot cannot have; calls in any order, a power
// cut at any operation; then an upload still works.
// Input: u8 geometry, u32 which records get a right CRC, u8 calls, 8 bytes each call, u8 cut after
// so many operations, u8 kind of cut, content of the journal.
#include "input.h"
#include "nor_flash.h"
#include "store/crc32.h"
#include "store/journal.h"
#include "store/sha256.h"

typedef struct geometry {
    uint32_t sector, unit, slot;
} geometry_t;

enum { CALLS_MAX = 16, LAST_USABLE = 0x7FFFFFFF - 64 };

static void check_slots(const tac_store_t *st) {
    for (unsigned i = 0; i < TAC_SLOTS; i++) {
        const tac_slot_info_t *info = &st->slots[i];
        MUST(info->state <= TAC_SLOT_BAD && info->sequence <= st->sequence);
        MUST(info->received <= info->length && info->length <= st->layout.slot_bytes);
        if (info->state >= TAC_SLOT_STAGED && info->state <= TAC_SLOT_CONFIRMED) {
            MUST(info->length > 0 && info->received == info->length);
        }
    }
}

static void load_journal(nor_t *nor, const geometry_t *g, input_t *in, uint32_t sealed) {
    const uint32_t bytes = 2 * g->sector;
    const uint32_t stride = g->unit > TAC_JOURNAL_RECORD_BYTES ? g->unit : TAC_JOURNAL_RECORD_BYTES;
    const uint32_t given = in->size < bytes ? (uint32_t)in->size : bytes;
    uint8_t *content = take_block(in, bytes);
    memset(content + given, 0xFF, bytes - given);
    for (uint32_t i = 0; (i + 1) * stride <= given && i < 32; i++) {
        if (sealed >> i & 1) {
            uint8_t *record = content + i * stride;
            memcpy(record, "TSJ1", 4);
            const uint32_t crc = tac_crc32(record, TAC_JOURNAL_RECORD_BYTES - 4);
            for (unsigned k = 0; k < 4; k++) {
                record[TAC_JOURNAL_RECORD_BYTES - 4 + k] = (uint8_t)(crc >> (8 * k));
            }
        }
    }
    nor_load(nor, g->sector, content, bytes);
    free(content);
}

static void call(tac_store_t *st, input_t *in) {
    const uint32_t what = take(in, 1), slot = take(in, 1) % 3, a = take(in, 2), b = take(in, 4);
    const tac_slot_info_t *info = &st->slots[slot < TAC_SLOTS ? slot : 0];
    tac_floors_t floors = {a, b};
    uint8_t *block;
    uint8_t sha256[32];
    switch (what % 7) {
    case 0:
        (void)tac_store_select(st, (uint8_t)a);
        return;
    case 1:
        memcpy(sha256, info->sha256, sizeof sha256);
        sha256[0] ^= (uint8_t)(a >> 8);
        (void)tac_store_begin(st, slot, a & 1 ? info->length : b, sha256);
        return;
    case 2:
        block = calloc(1, a % 8192 + 1);
        (void)tac_store_write(st, slot, b == 0 ? info->received : b, block, a % 8192);
        free(block);
        return;
    case 3:
        (void)tac_store_finish(st, slot, 1 + b);
        return;
    case 4:
    case 5:
        (void)tac_store_mark(st, slot, (uint8_t)(a % 9), (uint8_t)(a >> 8),
                             b == 0 ? NULL : &floors);
        return;
    default:
        (void)tac_store_erase(st, slot);
    }
}

static void upload(tac_store_t *st) {
    const int current = tac_store_select(st, (uint8_t)-TAC_ERR_PKG_TRIAL);
    unsigned slot = current < 0 ? 0 : (unsigned)current;
    if (current >= 0 && st->slots[slot].state == TAC_SLOT_CONFIRMED) {
        slot = 1 - slot;
    }
    if (st->sequence >= LAST_USABLE) {
        return; // forged: numbers at their end
    }
    uint32_t size = st->layout.slot_bytes - 5, done = 0;
    uint8_t *package = malloc(size);
    memset(package, 0x5A, size);
    package[0] = 1;
    uint8_t sha256[32];
    tac_sha256_t hash;
    tac_sha256_init(&hash);
    tac_sha256_update(&hash, package, size);
    tac_sha256_final(&hash, sha256);
    MUST(tac_store_begin(st, slot, size, sha256) == 0);
    while (done < size) {
        const uint32_t part = size - done < 1000 ? size - done : 1000;
        MUST(tac_store_write(st, slot, done, package + done, part) == TAC_OK);
        done += part;
    }
    MUST(tac_store_finish(st, slot, size) == TAC_OK);
    MUST(tac_store_mark(st, slot, TAC_SLOT_STAGED, 0, NULL) == TAC_OK);
    MUST(memcmp(tac_store_data(st, slot), package, size) == 0);
    free(package);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const geometry_t geometries[] = {
        {256, 1, 2048}, {256, 256, 4096}, {512, 16, 4096}, {4096, 4, 8192}};
    input_t in = {data, size};
    const geometry_t *g = &geometries[take(&in, 1) % 4];
    const uint32_t sealed = take(&in, 4);
    const uint32_t calls = take(&in, 1) % (CALLS_MAX + 1);
    uint8_t *script = take_block(&in, 8 * (size_t)calls);
    const uint32_t cut = take(&in, 1), kind = take(&in, 1) % NOR_CUT_KINDS;

    // A sector in front of, between and behind the regions.
    const uint32_t slot0 = 4 * g->sector, slot1 = slot0 + g->slot + g->sector;
    const tac_store_layout_t layout = {g->sector, {slot0, slot1}, g->slot};
    nor_t *nor = nor_new(slot1 + g->slot + g->sector, g->sector, g->unit, cut);
    load_journal(nor, g, &in, sealed);
    uint8_t *garbage = malloc(g->slot);
    memset(garbage, 0xA5, g->slot);
    nor_load(nor, slot0, garbage, g->slot);
    nor_load(nor, slot1, garbage, g->slot);
    free(garbage);

    tac_store_t st;
    MUST(tac_store_open(&st, nor_flash(nor), &layout) == TAC_OK);
    MUST(nor_fact(nor, 0) == 0); // reading writes nothing
    check_slots(&st);
    nor_cut(nor, cut, kind);
    input_t steps = {script, 8 * (size_t)calls};
    while (steps.size > 0) {
        call(&st, &steps);
        check_slots(&st);
    }
    nor_power_on(nor);
    nor_cut(nor, 0, 0);
    MUST(tac_store_open(&st, nor_flash(nor), &layout) == TAC_OK);
    check_slots(&st);
    upload(&st);
    MUST(tac_store_open(&st, nor_flash(nor), &layout) == TAC_OK);
    check_slots(&st);
    MUST(nor_fact(nor, 2) == 0);
    nor_free(nor);
    free(script);
    return 0;
}
