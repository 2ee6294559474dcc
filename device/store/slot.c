// SPDX-License-Identifier: MIT
#include "store/slot.h"

#include <string.h>

#include "store/journal.h"

static int regions_overlap(uint32_t a, uint64_t a_bytes, uint32_t b, uint64_t b_bytes) {
    return a < b + b_bytes && b < a + a_bytes;
}

static int layout_is_sane(const tac_flash_t *flash, const tac_store_layout_t *layout) {
    uint32_t unit = flash->write_bytes;
    uint32_t sector = flash->sector_bytes;

    if (unit == 0 || unit > TAC_STORE_WRITE_MAX || (unit & (unit - 1)) != 0) {
        return 0;
    }
    if (sector == 0 || sector % unit != 0 || sector < tac_journal_stride(flash)) {
        return 0;
    }
    if (layout->slot_bytes == 0 || layout->slot_bytes > INT32_MAX ||
        layout->slot_bytes % sector != 0) {
        return 0; // tac_store_begin returns an offset as int
    }
    if (layout->journal_offset % sector != 0 ||
        layout->journal_offset + 2ULL * sector > flash->bytes) {
        return 0;
    }
    for (unsigned i = 0; i < TAC_SLOTS; i++) {
        uint32_t offset = layout->slot_offset[i];
        if (offset % sector != 0 || (uint64_t)offset + layout->slot_bytes > flash->bytes) {
            return 0;
        }
        if (regions_overlap(offset, layout->slot_bytes, layout->journal_offset, 2ULL * sector)) {
            return 0;
        }
    }
    return !regions_overlap(layout->slot_offset[0], layout->slot_bytes, layout->slot_offset[1],
                            layout->slot_bytes);
}

int tac_store_open(tac_store_t *st, const tac_flash_t *flash, const tac_store_layout_t *layout) {
    memset(st, 0, sizeof *st);
    if (!layout_is_sane(flash, layout)) {
        return TAC_ERR_ARGUMENT;
    }
    st->flash = flash;
    st->layout = *layout;
    tac_journal_read(st);
    return TAC_OK;
}

// The newest CONFIRMED slot, the one a boot falls back to, or TAC_SLOTS.
static unsigned current_slot(const tac_store_t *st) {
    unsigned found = TAC_SLOTS;
    for (unsigned i = 0; i < TAC_SLOTS; i++) {
        if (st->slots[i].state == TAC_SLOT_CONFIRMED &&
            (found == TAC_SLOTS || st->slots[i].sequence > st->slots[found].sequence)) {
            found = i;
        }
    }
    return found;
}

static int is_in_use(const tac_store_t *st, unsigned slot) {
    return st->slots[slot].state == TAC_SLOT_TRIED || slot == current_slot(st);
}

// Journals `next` as it is as the new state of one slot, then takes it over. On an error the old
// state stays.
static int replace(tac_store_t *st, unsigned slot, tac_slot_info_t next, tac_floors_t floors) {
    tac_slot_info_t slots[TAC_SLOTS];

    memcpy(slots, st->slots, sizeof slots);
    slots[slot] = next;
    int rc = tac_journal_append(st, slots, floors);
    if (rc == TAC_OK) {
        st->finished[slot] = 0;
    }
    return rc;
}

// The same as the slot's newest state.
static int change(tac_store_t *st, unsigned slot, tac_slot_info_t next, tac_floors_t floors) {
    next.sequence = st->sequence + 1;
    return replace(st, slot, next, floors);
}

// What a trial becomes that a reset ended. What was confirmed before is not lost by a reset that
// was not its fault: it is the older confirmed package again, and the newer one runs.
static tac_slot_info_t ended_trial(const tac_store_t *st, unsigned slot, uint8_t reason) {
    tac_slot_info_t next = st->slots[slot];
    const tac_slot_info_t *other = &st->slots[1 - slot];
    const int is_blameless = reason == (uint8_t)-TAC_ERR_PKG_TRIAL;
    next.sequence = st->sequence + 1;
    if (next.reason != TAC_SLOT_PROVEN || !is_blameless) {
        next.state = TAC_SLOT_BAD;
        next.reason = reason;
        return next;
    }
    next.state = TAC_SLOT_CONFIRMED;
    next.reason = 0;
    if (other->state == TAC_SLOT_CONFIRMED) {
        next.sequence = other->sequence > 0 ? other->sequence - 1 : 0;
    }
    return next;
}

int tac_store_select(tac_store_t *st, uint8_t reason) {
    if (reason == 0) {
        return TAC_ERR_ARGUMENT;
    }
    for (unsigned i = 0; i < TAC_SLOTS; i++) {
        if (st->slots[i].state == TAC_SLOT_TRIED) {
            const tac_slot_info_t next = ended_trial(st, i, reason);
            if (replace(st, i, next, st->floors) != TAC_OK) {
                // Worn-out flash must not keep the board from its confirmed package: TRIED is read
                // in the same way again at each boot.
                st->slots[i] = next;
            }
        }
    }
    for (unsigned i = 0; i < TAC_SLOTS; i++) {
        if (st->slots[i].state == TAC_SLOT_PENDING) {
            return (int)i;
        }
    }
    unsigned current = current_slot(st);
    return current < TAC_SLOTS ? (int)current : TAC_ERR_NOT_FOUND;
}

// The RAM tail serves one upload; another one that is under way goes back to what flash holds of
// it.
static void claim_tail(tac_store_t *st, unsigned slot) {
    tac_slot_info_t *other = &st->slots[st->tail_slot];
    if (st->tail_slot != slot && other->state == TAC_SLOT_RECEIVING &&
        other->received < other->length) {
        other->received -= other->received % st->flash->write_bytes;
    }
    st->tail_slot = (uint8_t)slot;
}

static void hash_restart(tac_store_t *st, unsigned slot) {
    tac_sha256_init(&st->hash);
    st->hashed = 0;
    st->hash_slot = (uint8_t)slot;
}

// A package that a mere reset gave up is all there.
static int is_whole_after_trial(const tac_slot_info_t *info) {
    return info->state == TAC_SLOT_BAD && info->reason == (uint8_t)-TAC_ERR_PKG_TRIAL &&
           info->received == info->length;
}

int tac_store_begin(tac_store_t *st, unsigned slot, uint32_t length, const uint8_t sha256[32]) {
    if (slot >= TAC_SLOTS || length == 0) {
        return TAC_ERR_ARGUMENT;
    }
    if (length > st->layout.slot_bytes) {
        return TAC_ERR_SPACE;
    }
    const tac_slot_info_t *info = &st->slots[slot];
    if (info->state == TAC_SLOT_RECEIVING && info->length == length &&
        memcmp(info->sha256, sha256, sizeof info->sha256) == 0) {
        return (int)info->received;
    }
    if (is_in_use(st, slot)) {
        return TAC_ERR_STATE;
    }
    // The journal stops vouching for the old content before the first sector of it goes.
    tac_slot_info_t next = {.state = TAC_SLOT_RECEIVING, .length = length};
    if (is_whole_after_trial(info) && info->length == length &&
        memcmp(info->sha256, sha256, sizeof info->sha256) == 0) {
        next.received = length; // nothing to send; finish() hashes it all
        hash_restart(st, slot);
    }
    memcpy(next.sha256, sha256, sizeof next.sha256);
    const int rc = change(st, slot, next, st->floors);
    return rc == TAC_OK ? (int)next.received : rc;
}

// Programs whole units at the slot's next free cell, erasing the sector when it is entered. size <=
// rest of sector.
static int program(tac_store_t *st, unsigned slot, uint32_t position, const uint8_t *data,
                   uint32_t size) {
    const tac_flash_t *flash = st->flash;
    uint32_t offset = st->layout.slot_offset[slot] + position;
    if (position % flash->sector_bytes == 0 && flash->erase(flash->ctx, offset) != 0) {
        return TAC_ERR_FLASH;
    }
    return flash->program(flash->ctx, offset, data, size) == 0 ? TAC_OK : TAC_ERR_FLASH;
}

// Takes a first part of the data, at most up to the end of a sector. Bytes taken, or TAC_ERR_FLASH.
static int write_part(tac_store_t *st, unsigned slot, const uint8_t *data, uint32_t size) {
    tac_slot_info_t *info = &st->slots[slot];
    uint32_t unit = st->flash->write_bytes;
    uint32_t tail = info->received % unit;
    uint32_t position = info->received - tail;
    uint32_t room = st->flash->sector_bytes - position % st->flash->sector_bytes;
    uint32_t whole = (size < room ? size : room) / unit * unit;

    if (tail == 0 && whole > 0) {
        int rc = program(st, slot, position, data, whole);
        if (rc == TAC_OK) {
            info->received += whole;
        }
        return rc == TAC_OK ? (int)whole : rc;
    }
    uint32_t take = size < unit - tail ? size : unit - tail;
    memcpy(st->tail + tail, data, take);
    if (tail + take == unit || info->received + take == info->length) {
        memset(st->tail + tail + take, 0xFF, unit - tail - take);
        int rc = program(st, slot, position, st->tail, unit);
        if (rc != TAC_OK) {
            return rc;
        }
    }
    info->received += take;
    return (int)take;
}

// Takes what write() programmed from byte `from` on into the hash, read back from flash, if all
// before it is in it. If not, finish() has to catch up: in calls of its own, since nobody can say
// how much it is.
static void hash_written(tac_store_t *st, unsigned slot, uint32_t from) {
    const tac_slot_info_t *info = &st->slots[slot];
    if (from == 0 || (slot == st->hash_slot && st->hashed > from)) {
        hash_restart(st, slot); // bytes that were hashed have been written again
    }
    if (slot == st->hash_slot && st->hashed == from) {
        const uint32_t waiting =
            info->received == info->length ? 0 : info->received % st->flash->write_bytes;
        st->hashed = info->received - waiting;
        tac_sha256_update(&st->hash, tac_store_data(st, slot) + from, st->hashed - from);
    }
}

int tac_store_write(tac_store_t *st, unsigned slot, uint32_t offset, const uint8_t *data,
                    uint32_t size) {
    if (slot >= TAC_SLOTS) {
        return TAC_ERR_ARGUMENT;
    }
    tac_slot_info_t *info = &st->slots[slot];
    if (info->state != TAC_SLOT_RECEIVING) {
        return TAC_ERR_STATE;
    }
    if (offset != info->received) {
        return TAC_ERR_ARGUMENT;
    }
    if (size > info->length - offset) {
        return TAC_ERR_SPACE;
    }
    claim_tail(st, slot);
    const uint32_t from = offset - offset % st->flash->write_bytes;
    while (size > 0) {
        int taken = write_part(st, slot, data, size);
        if (taken < 0) {
            // Cells behind this point are in doubt; only an erase makes them usable again.
            uint32_t unit_start = info->received - info->received % st->flash->write_bytes;
            info->received = unit_start - unit_start % st->flash->sector_bytes;
            return taken;
        }
        data += taken;
        size -= (uint32_t)taken;
        if (info->received % tac_journal_progress_bytes(st->flash) == 0) {
            int rc = tac_journal_append(st, st->slots, st->floors);
            if (rc != TAC_OK) {
                return rc;
            }
        }
    }
    hash_written(st, slot, from);
    return TAC_OK;
}

int tac_store_finish(tac_store_t *st, unsigned slot, uint32_t most_bytes) {
    if (slot >= TAC_SLOTS) {
        return TAC_ERR_ARGUMENT;
    }
    const tac_slot_info_t *info = &st->slots[slot];
    if (info->state != TAC_SLOT_RECEIVING || info->received != info->length) {
        return TAC_ERR_STATE;
    }
    if (slot != st->hash_slot || st->hashed == 0) {
        hash_restart(st, slot);
    }
    const uint32_t left = info->length - st->hashed;
    const uint32_t take = left < most_bytes ? left : most_bytes;
    tac_sha256_update(&st->hash, tac_store_data(st, slot) + st->hashed, take);
    st->hashed += take;
    if (take < left) {
        return TAC_STORE_MORE;
    }
    tac_sha256_t hash = st->hash;
    uint8_t digest[32];
    tac_sha256_final(&hash, digest);
    if (memcmp(digest, info->sha256, sizeof digest) == 0) {
        st->finished[slot] = 1;
        return TAC_OK;
    }
    int rc = tac_store_mark(st, slot, TAC_SLOT_BAD, (uint8_t)-TAC_ERR_PKG_DIGEST, NULL);
    return rc == TAC_OK ? TAC_ERR_PKG_DIGEST : rc;
}

static int move_is_legal(const tac_store_t *st, unsigned slot, uint8_t state) {
    uint8_t from = st->slots[slot].state;
    uint8_t other = st->slots[1 - slot].state;
    switch (state) {
    case TAC_SLOT_STAGED:
        return from == TAC_SLOT_PENDING || (from == TAC_SLOT_RECEIVING && st->finished[slot]);
    case TAC_SLOT_PENDING:
        if (other == TAC_SLOT_PENDING || other == TAC_SLOT_TRIED) {
            return 0;
        }
        return from == TAC_SLOT_STAGED || (from == TAC_SLOT_CONFIRMED && slot != current_slot(st));
    case TAC_SLOT_TRIED:
        return from == TAC_SLOT_PENDING;
    case TAC_SLOT_CONFIRMED:
        return from == TAC_SLOT_TRIED;
    case TAC_SLOT_BAD:
        return from != TAC_SLOT_EMPTY && from != TAC_SLOT_BAD;
    default:
        return 0;
    }
}

// Whether a package was confirmed before goes with it until it is confirmed again.
static uint8_t reason_of(const tac_slot_info_t *from, uint8_t state, uint8_t reason) {
    switch (state) {
    case TAC_SLOT_BAD:
        return reason;
    case TAC_SLOT_PENDING:
        return from->state == TAC_SLOT_CONFIRMED ? TAC_SLOT_PROVEN : 0;
    case TAC_SLOT_TRIED:
        return from->reason;
    default:
        return 0;
    }
}

int tac_store_mark(tac_store_t *st, unsigned slot, uint8_t state, uint8_t reason,
                   const tac_floors_t *floors) {
    if (slot >= TAC_SLOTS || (state == TAC_SLOT_BAD && reason == 0) ||
        (state == TAC_SLOT_CONFIRMED && floors == NULL)) {
        return TAC_ERR_ARGUMENT;
    }
    if (!move_is_legal(st, slot, state)) {
        return TAC_ERR_STATE;
    }
    tac_slot_info_t next = st->slots[slot];
    next.state = state;
    next.reason = reason_of(&st->slots[slot], state, reason);
    if (state != TAC_SLOT_CONFIRMED) {
        return change(st, slot, next, st->floors);
    }
    if (floors->counter < st->floors.counter) {
        return TAC_ERR_PKG_COUNTER;
    }
    if (floors->key_version < st->floors.key_version) {
        return TAC_ERR_PKG_KEYSET_OLD;
    }
    return change(st, slot, next, *floors);
}

int tac_store_erase(tac_store_t *st, unsigned slot) {
    if (slot >= TAC_SLOTS) {
        return TAC_ERR_ARGUMENT;
    }
    if (is_in_use(st, slot)) {
        return TAC_ERR_STATE;
    }
    if (st->slots[slot].state == TAC_SLOT_EMPTY) {
        return TAC_OK;
    }
    tac_slot_info_t next = {.state = TAC_SLOT_EMPTY};
    return change(st, slot, next, st->floors);
}

const uint8_t *tac_store_data(const tac_store_t *st, unsigned slot) {
    return slot < TAC_SLOTS ? st->flash->base + st->layout.slot_offset[slot] : NULL;
}
