// SPDX-License-Identifier: MIT
// `_tactus` for MicroPython: slots, patches, and the checks of a package.
#include "bindings/micropython/tactus_module.h"

#include <string.h>

#include "bindings/board_patch.h"
#include "store/ed25519.h"
#include "store/sha256.h"

static mp_obj_t tactus_slot_info(mp_obj_t slot) {
    tac_slot_info_t info;
    const int rc = tac_board_slot_info(u32(slot), &info);
    if (rc < 0) {
        return code(rc);
    }
    mp_obj_t items[] = {
        code(info.state),
        mp_obj_new_int_from_uint(info.length),
        mp_obj_new_int_from_uint(info.received),
        code(info.reason),
        mp_obj_new_int_from_uint(info.sequence),
        mp_obj_new_bytes(info.sha256, sizeof info.sha256),
    };
    return mp_obj_new_tuple(MP_ARRAY_SIZE(items), items);
}
MP_DEFINE_CONST_FUN_OBJ_1(tactus_slot_info_obj, tactus_slot_info);

static mp_obj_t tactus_slot_begin(mp_obj_t slot, mp_obj_t length, mp_obj_t sha256) {
    return code(tac_board_slot_begin(u32(slot), u32(length), readable_of_size(sha256, 32)));
}
MP_DEFINE_CONST_FUN_OBJ_3(tactus_slot_begin_obj, tactus_slot_begin);

static mp_obj_t tactus_slot_write(mp_obj_t slot, mp_obj_t offset, mp_obj_t data_arg) {
    const mp_buffer_info_t data = readable(data_arg);
    return code(tac_board_slot_write(u32(slot), u32(offset), data.buf, data.len));
}
MP_DEFINE_CONST_FUN_OBJ_3(tactus_slot_write_obj, tactus_slot_write);

static mp_obj_t tactus_slot_finish(mp_obj_t slot, mp_obj_t most_bytes) {
    return code(tac_board_slot_finish(u32(slot), u32(most_bytes)));
}
MP_DEFINE_CONST_FUN_OBJ_2(tactus_slot_finish_obj, tactus_slot_finish);

static mp_obj_t tactus_slot_mark(size_t n_args, const mp_obj_t *args) {
    const tac_floors_t floors = {u32(args[3]), n_args > 4 ? u32(args[4]) : 0};
    return code(tac_board_slot_mark(u32(args[0]), u32(args[1]), u32(args[2]), floors));
}
MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(tactus_slot_mark_obj, 4, 5, tactus_slot_mark);

static mp_obj_t tactus_slot_erase(mp_obj_t slot) {
    return code(tac_board_slot_erase(u32(slot)));
}
MP_DEFINE_CONST_FUN_OBJ_1(tactus_slot_erase_obj, tactus_slot_erase);

static mp_obj_t tactus_slot_select(void) {
    return code(tac_board_slot_select());
}
MP_DEFINE_CONST_FUN_OBJ_0(tactus_slot_select_obj, tactus_slot_select);

static mp_obj_t tactus_slot_data(mp_obj_t slot) {
    return view_ro(tac_board_slot_data(u32(slot)));
}
MP_DEFINE_CONST_FUN_OBJ_1(tactus_slot_data_obj, tactus_slot_data);

static mp_obj_t tactus_patch_begin(mp_obj_t slot) {
    return code(tac_board_patch_begin(u32(slot)));
}
MP_DEFINE_CONST_FUN_OBJ_1(tactus_patch_begin_obj, tactus_patch_begin);

static mp_obj_t tactus_patch_check(mp_obj_t slot, mp_obj_t ops_arg, mp_obj_t most) {
    const mp_buffer_info_t ops = readable(ops_arg);
    return code(tac_board_patch_check(u32(slot), ops.buf, ops.len, u32(most)));
}
MP_DEFINE_CONST_FUN_OBJ_3(tactus_patch_check_obj, tactus_patch_check);

static mp_obj_t tactus_patch_step(mp_obj_t slot, mp_obj_t ops_arg, mp_obj_t most) {
    const mp_buffer_info_t ops = readable(ops_arg);
    return code(tac_board_patch_step(u32(slot), ops.buf, ops.len, u32(most)));
}
MP_DEFINE_CONST_FUN_OBJ_3(tactus_patch_step_obj, tactus_patch_step);

static mp_obj_t tactus_counter(void) {
    return mp_obj_new_int_from_uint(tac_board_floors().counter);
}
MP_DEFINE_CONST_FUN_OBJ_0(tactus_counter_obj, tactus_counter);

static mp_obj_t tactus_key_version(void) {
    return mp_obj_new_int_from_uint(tac_board_floors().key_version);
}
MP_DEFINE_CONST_FUN_OBJ_0(tactus_key_version_obj, tactus_key_version);

static mp_obj_t tactus_replay(void) {
    return view_ro(tac_board_replay());
}
MP_DEFINE_CONST_FUN_OBJ_0(tactus_replay_obj, tactus_replay);

// ---- checks in pieces. A context is a bytearray that Python owns: what is dropped half-way is
// litter.

static void *context_of(mp_obj_t arg, size_t size) {
    const mp_buffer_info_t buffer = writable(arg);
    if (buffer.len != size || (uintptr_t)buffer.buf % sizeof(uint64_t) != 0) {
        mp_raise_ValueError(MP_ERROR_TEXT("a context is wanted"));
    }
    return buffer.buf;
}

static mp_obj_t tactus_sha256_begin(void) {
    tac_sha256_t hash;
    tac_sha256_init(&hash);
    return mp_obj_new_bytearray(sizeof hash, (byte *)&hash);
}
MP_DEFINE_CONST_FUN_OBJ_0(tactus_sha256_begin_obj, tactus_sha256_begin);

static mp_obj_t tactus_sha256_update(mp_obj_t context, mp_obj_t data_arg) {
    const mp_buffer_info_t data = readable(data_arg);
    tac_sha256_update(context_of(context, sizeof(tac_sha256_t)), data.buf, data.len);
    return mp_const_none;
}
MP_DEFINE_CONST_FUN_OBJ_2(tactus_sha256_update_obj, tactus_sha256_update);

static mp_obj_t tactus_sha256_end(mp_obj_t context) {
    byte digest[32];
    tac_sha256_final(context_of(context, sizeof(tac_sha256_t)), digest);
    return mp_obj_new_bytes(digest, sizeof digest);
}
MP_DEFINE_CONST_FUN_OBJ_1(tactus_sha256_end_obj, tactus_sha256_end);

static mp_obj_t tactus_ed25519_begin(mp_obj_t signature, mp_obj_t key) {
    tac_ed25519_t check;
    memset(&check, 0, sizeof check); // what begin() leaves alone is copied, too
    tac_ed25519_begin(&check, readable_of_size(signature, 64), readable_of_size(key, 32));
    return mp_obj_new_bytearray(sizeof check, (byte *)&check);
}
MP_DEFINE_CONST_FUN_OBJ_2(tactus_ed25519_begin_obj, tactus_ed25519_begin);

static mp_obj_t tactus_ed25519_update(mp_obj_t context, mp_obj_t message_arg) {
    const mp_buffer_info_t message = readable(message_arg);
    tac_ed25519_update(context_of(context, sizeof(tac_ed25519_t)), message.buf, message.len);
    return mp_const_none;
}
MP_DEFINE_CONST_FUN_OBJ_2(tactus_ed25519_update_obj, tactus_ed25519_update);

static mp_obj_t tactus_ed25519_step(mp_obj_t context) {
    return code(tac_ed25519_step(context_of(context, sizeof(tac_ed25519_t))));
}
MP_DEFINE_CONST_FUN_OBJ_1(tactus_ed25519_step_obj, tactus_ed25519_step);

static mp_obj_t tactus_root_keys(void) {
    const tac_view_t keys = tac_board_root_keys();
    return mp_obj_new_bytes(keys.data, keys.bytes);
}
MP_DEFINE_CONST_FUN_OBJ_0(tactus_root_keys_obj, tactus_root_keys);
