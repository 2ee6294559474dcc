// SPDX-License-Identifier: MIT
#include "bindings/board_patch.h"

#include "bindings/board_context.h"
#include "store/patch.h"

// Some flash cannot be read while it is programmed, so what is copied passes through RAM.
enum { CHUNK_BYTES = TAC_STORE_WRITE_MAX };

static struct {
    tac_patch_t patch;
    uint32_t offset; // of the slot, where the next byte goes
    uint32_t left;   // bytes that the ops not yet checked may make
} making;

// The ops beside the package in the other slot, which has been verified and is not written to.
static int source_of(uint32_t slot, const uint8_t *ops, size_t bytes, tac_patch_source_t *source) {
    tac_slot_info_t base;
    if (slot >= TAC_SLOTS || bytes > INT32_MAX) {
        return TAC_ERR_ARGUMENT;
    }
    const int rc = tac_board_slot_info(1 - slot, &base);
    if (rc != TAC_OK) {
        return rc;
    }
    const tac_view_t content = tac_board_slot_data(1 - slot);
    if ((base.state != TAC_SLOT_TRIED && base.state != TAC_SLOT_CONFIRMED) ||
        content.data == NULL) {
        return TAC_ERR_STATE;
    }
    *source = (tac_patch_source_t){.ops = ops,
                                   .ops_bytes = (uint32_t)bytes,
                                   .base = content.data,
                                   .base_bytes = content.bytes};
    return TAC_OK;
}

int tac_board_patch_begin(uint32_t slot) {
    tac_slot_info_t info;
    const int rc = tac_board_slot_info(slot, &info);
    if (rc != TAC_OK || info.state != TAC_SLOT_RECEIVING) {
        return rc != TAC_OK ? rc : TAC_ERR_STATE;
    }
    making.offset = info.received;
    making.left = info.length - info.received;
    tac_patch_start(&making.patch, making.offset);
    return TAC_OK;
}

int tac_board_patch_check(uint32_t slot, const uint8_t *ops, size_t bytes, uint32_t most) {
    tac_patch_source_t source;
    const int rc = source_of(slot, ops, bytes, &source);
    if (rc != TAC_OK || most > INT32_MAX) {
        return rc != TAC_OK ? rc : TAC_ERR_ARGUMENT;
    }
    const int made = tac_patch_next(&making.patch, &source, NULL, most);
    if (made > (int64_t)making.left) {
        return TAC_ERR_SPACE;
    }
    making.left -= made > 0 ? (uint32_t)made : 0;
    if (made < (int64_t)most) { // all of them: now in earnest
        tac_patch_start(&making.patch, making.offset);
    }
    return made;
}

int tac_board_patch_step(uint32_t slot, const uint8_t *ops, size_t bytes, uint32_t most) {
    uint8_t chunk[CHUNK_BYTES];
    tac_patch_source_t source;
    uint32_t done = 0;
    int rc = source_of(slot, ops, bytes, &source);
    if (rc != TAC_OK || most > INT32_MAX) {
        return rc != TAC_OK ? rc : TAC_ERR_ARGUMENT;
    }
    while (done < most) {
        const uint32_t room = most - done < CHUNK_BYTES ? most - done : CHUNK_BYTES;
        const int made = tac_patch_next(&making.patch, &source, chunk, room);
        rc = made <= 0 ? made : tac_board_slot_write(slot, making.offset, chunk, (size_t)made);
        if (rc < 0) {
            return rc;
        }
        if (made == 0) {
            break;
        }
        making.offset += (uint32_t)made;
        done += (uint32_t)made;
    }
    return (int)done;
}
