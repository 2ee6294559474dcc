// SPDX-License-Identifier: MIT
// What the files of this binding share: the list of functions, from which tactus_module.c makes the
// module's table, and the conversions.
#ifndef TAC_MICROPYTHON_TACTUS_MODULE_H
#define TAC_MICROPYTHON_TACTUS_MODULE_H

#include <stdint.h>

#include "bindings/board_context.h"
#include "py/objarray.h"
#include "py/objint.h"
#include "py/runtime.h"

// F: a function of a fixed number of arguments, V: of a variable one, or of more than three.
// clang-format off
#define TACTUS_MODULE_FUNCTIONS(F, V) \
    V(init) F(board) F(memory) F(time_us) F(uptime_ms) F(reset_cause) F(reset) F(plan_check) \
    F(plan_info) F(engine_run) V(engine_times) F(boot_id) F(temperature_mc) F(memory_peaks) \
    F(time_ms) F(trial) F(watchdog) F(fault) F(crashes) F(crashes_over)
#define TACTUS_SCHED_FUNCTIONS(F, V) \
    F(sched_reset) V(sched_add) F(sched_add_lite) V(sched_set_mode) F(sched_want_mode) \
    F(sched_start) F(sched_stop) F(sched_run) F(sched_feed) F(sched_input) F(arena_touched) \
    F(sched_output) F(sched_background) F(sched_loop) F(sched_frame) F(sched_frozen) F(collect) \
    F(litter) F(sched_stats) F(sched_longest) F(sched_results) F(sched_events) V(quantize_i16) \
    V(scale_i16)
#define TACTUS_STORE_FUNCTIONS(F, V) \
    F(slot_info) F(slot_begin) F(slot_write) F(slot_finish) V(slot_mark) F(slot_erase) \
    F(slot_select) F(slot_data) F(patch_begin) F(patch_check) F(patch_step) F(counter) \
    F(key_version) F(replay) F(sha256_begin) F(sha256_update) F(sha256_end) F(ed25519_begin) \
    F(ed25519_update) F(ed25519_step) F(root_keys)
#define TACTUS_LINK_FUNCTIONS(F, V) \
    F(link_poll) F(link_rx) F(link_done) F(link_tx) F(link_send) F(link_stream) F(link_counters) \
    V(crc16) F(telemetry_info) F(telemetry_prepare) F(telemetry_append) F(telemetry_acknowledge) \
    F(telemetry_records) V(telemetry_contents) F(percentiles)
#define TACTUS_FUNCTIONS(F, V) \
    TACTUS_MODULE_FUNCTIONS(F, V) TACTUS_SCHED_FUNCTIONS(F, V) \
    TACTUS_STORE_FUNCTIONS(F, V) TACTUS_LINK_FUNCTIONS(F, V)
#define FIXED(name) extern const mp_obj_fun_builtin_fixed_t tactus_##name##_obj;
#define VARIABLE(name) extern const mp_obj_fun_builtin_var_t tactus_##name##_obj;
TACTUS_FUNCTIONS(FIXED, VARIABLE)
#undef FIXED
#undef VARIABLE
// clang-format on

void tactus_forget_images(void); // of tasks, which are held until now

static inline mp_obj_t code(int value) {
    return MP_OBJ_NEW_SMALL_INT(value);
}

static inline uint32_t u32(mp_obj_t arg) {
    if (mp_obj_is_small_int(arg)) {
        const mp_int_t value = MP_OBJ_SMALL_INT_VALUE(arg);
        if (value < 0 || (uint64_t)value > UINT32_MAX) {
            mp_raise_ValueError(MP_ERROR_TEXT("0..2^32-1 wanted"));
        }
        return (uint32_t)value;
    }
    if (!mp_obj_is_int(arg)) {
        return (uint32_t)mp_obj_get_int(arg); // bool, or a TypeError
    }
    const mp_uint_t value = mp_obj_int_get_uint_checked(arg);
    if (value > UINT32_MAX) {
        mp_raise_ValueError(MP_ERROR_TEXT("0..2^32-1 wanted"));
    }
    return (uint32_t)value;
}

static inline mp_buffer_info_t readable(mp_obj_t arg) {
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(arg, &buffer, MP_BUFFER_READ);
    return buffer;
}

static inline mp_buffer_info_t writable(mp_obj_t arg) {
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(arg, &buffer, MP_BUFFER_WRITE);
    return buffer;
}

static inline const uint8_t *readable_of_size(mp_obj_t arg, size_t size) {
    const mp_buffer_info_t buffer = readable(arg);
    if (buffer.len != size) {
        mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("%d bytes wanted"), (int)size);
    }
    return buffer.buf;
}

static inline mp_obj_t view_object(tac_view_t view, int typecode) {
    if (view.data == NULL) {
        mp_raise_ValueError(MP_ERROR_TEXT("nothing there"));
    }
    return mp_obj_new_memoryview((byte)typecode, view.bytes, view.data);
}

static inline mp_obj_t view_rw(tac_view_t view) {
    return view_object(view, 'B' | MP_OBJ_ARRAY_TYPECODE_FLAG_RW);
}

static inline mp_obj_t view_ro(tac_view_t view) {
    return view_object(view, 'B');
}

#endif
