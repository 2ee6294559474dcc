// SPDX-License-Identifier: MIT
// `_tactus` for MicroPython: arguments in, board_context out. Functions of the loop return small
// ints and allocate nothing.
#include "bindings/micropython/tactus_module.h"

#include <string.h>

#include "bindings/board_health.h"
#include "bindings/board_telemetry.h"
#include "bindings/board_trial.h"
#include "engine/plan.h"
#include "port/port.h"
#include "tac_board.h"

enum { LOW_BITS = 0x3fffffff };

// ---- board

static mp_obj_t tactus_init(size_t n_args, const mp_obj_t *args) {
    const char *path = n_args > 0 && args[0] != mp_const_none ? mp_obj_str_get_str(args[0]) : NULL;
    const mp_int_t fd = n_args > 1 ? mp_obj_get_int(args[1]) : -1;
    tactus_forget_images();
    return code(tac_board_open(path, (int)fd));
}
MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(tactus_init_obj, 0, 2, tactus_init);

static mp_obj_t str(const char *text) {
    return mp_obj_new_str(text, strlen(text));
}

static mp_obj_t features(void) {
    mp_obj_t list = mp_obj_new_list(0, NULL);
    const char *at = TAC_BOARD_FEATURES;
    while (*at != '\0') {
        const size_t length = strcspn(at, ",");
        mp_obj_list_append(list, mp_obj_new_str(at, length));
        at += length + (at[length] == ',');
    }
    return list;
}

static mp_obj_t tactus_board(void) {
    static const struct {
        qstr name;
        uint32_t value;
    } numbers[] = {
        {MP_QSTR_arena_bytes, TAC_BOARD_ARENA_BYTES},
        {MP_QSTR_ram_bytes, TAC_BOARD_RAM_BYTES},
        {MP_QSTR_link_bytes, TAC_BOARD_LINK_BYTES},
        {MP_QSTR_link_buffers, TAC_BOARD_LINK_BUFFERS},
        {MP_QSTR_slot_bytes, TAC_BOARD_SLOT_BYTES},
        {MP_QSTR_dispatch_us, TAC_BOARD_DISPATCH_US},
        {MP_QSTR_sample_ns, TAC_BOARD_SAMPLE_NS},
        {MP_QSTR_lockout_us, TAC_BOARD_LOCKOUT_US},
        {MP_QSTR_background_us, TAC_BOARD_BACKGROUND_US},
        {MP_QSTR_background_period_us, TAC_BOARD_BACKGROUND_PERIOD_US},
        {MP_QSTR_gc_us, TAC_BOARD_GC_US},
        {MP_QSTR_gc_period_us, TAC_BOARD_GC_PERIOD_US},
        {MP_QSTR_plan_version, TAC_PLAN_VERSION},
        {MP_QSTR_root_threshold, TAC_BOARD_ROOT_THRESHOLD},
    };
    mp_obj_t dict = mp_obj_new_dict(19);
    mp_obj_dict_store(dict, MP_OBJ_NEW_QSTR(MP_QSTR_name), str(TAC_BOARD_NAME));
    mp_obj_dict_store(dict, MP_OBJ_NEW_QSTR(MP_QSTR_class), str(TAC_BOARD_CLASS));
    mp_obj_dict_store(dict, MP_OBJ_NEW_QSTR(MP_QSTR_features), features());
    for (size_t i = 0; i < MP_ARRAY_SIZE(numbers); i++) {
        mp_obj_dict_store(dict, MP_OBJ_NEW_QSTR(numbers[i].name),
                          mp_obj_new_int_from_uint(numbers[i].value));
    }
    mp_obj_dict_store(dict, MP_OBJ_NEW_QSTR(MP_QSTR_scales_with_speed),
                      mp_obj_new_bool(TAC_BOARD_SCALES_WITH_SPEED));
    mp_obj_dict_store(dict, MP_OBJ_NEW_QSTR(MP_QSTR_trust_name), str(TAC_BOARD_TRUST_NAME));
    mp_obj_dict_store(dict, MP_OBJ_NEW_QSTR(MP_QSTR_kernels),
                      mp_obj_new_int_from_uint(tac_board_kernels()));
    return dict;
}
MP_DEFINE_CONST_FUN_OBJ_0(tactus_board_obj, tactus_board);

static mp_obj_t tactus_memory(void) {
    tac_memory_part_t parts[TAC_MEMORY_PARTS];
    tac_board_memory(parts);
    mp_obj_t list = mp_obj_new_list(0, NULL);
    for (size_t i = 0; i < TAC_MEMORY_PARTS; i++) {
        mp_obj_t pair[2] = {str(parts[i].name), mp_obj_new_int_from_uint(parts[i].bytes)};
        mp_obj_list_append(list, mp_obj_new_tuple(2, pair));
    }
    return list;
}
MP_DEFINE_CONST_FUN_OBJ_0(tactus_memory_obj, tactus_memory);

static mp_obj_t tactus_time_us(void) {
    return MP_OBJ_NEW_SMALL_INT((mp_int_t)(tac_port_now_us() & LOW_BITS));
}
MP_DEFINE_CONST_FUN_OBJ_0(tactus_time_us_obj, tactus_time_us);

static mp_obj_t tactus_uptime_ms(void) {
    return MP_OBJ_NEW_SMALL_INT((mp_int_t)(tac_port_now_us() / 1000u & LOW_BITS));
}
MP_DEFINE_CONST_FUN_OBJ_0(tactus_uptime_ms_obj, tactus_uptime_ms);

static mp_obj_t tactus_reset_cause(void) {
    return code((int)tac_port_reset_cause());
}
MP_DEFINE_CONST_FUN_OBJ_0(tactus_reset_cause_obj, tactus_reset_cause);

static mp_obj_t tactus_crashes(void) {
    return code((int)tac_port_crashes());
}
MP_DEFINE_CONST_FUN_OBJ_0(tactus_crashes_obj, tactus_crashes);

static mp_obj_t tactus_crashes_over(void) {
    tac_port_crashes_over();
    return mp_const_none;
}
MP_DEFINE_CONST_FUN_OBJ_0(tactus_crashes_over_obj, tactus_crashes_over);

static mp_obj_t tactus_reset(void) {
    tac_port_reset();
}
MP_DEFINE_CONST_FUN_OBJ_0(tactus_reset_obj, tactus_reset);

// ---- engine

static mp_obj_t tactus_plan_check(mp_obj_t image, mp_obj_t arena_bytes) {
    const mp_buffer_info_t buffer = readable(image);
    return code(tac_plan_check(buffer.buf, buffer.len, u32(arena_bytes)));
}
MP_DEFINE_CONST_FUN_OBJ_2(tactus_plan_check_obj, tactus_plan_check);

static mp_obj_t tactus_plan_info(mp_obj_t image, mp_obj_t limit_us) {
    const mp_buffer_info_t buffer = readable(image);
    tac_plan_summary_t s;
    const int rc = tac_board_plan_info(buffer.buf, buffer.len, u32(limit_us), &s);
    if (rc < 0) {
        return code(rc);
    }
    mp_obj_t items[] = {
        mp_obj_new_int_from_uint(s.op_count),      mp_obj_new_int_from_uint(s.arena_bytes),
        mp_obj_new_int_from_uint(s.input_bytes),   mp_obj_new_int_from_uint(s.output_bytes),
        mp_obj_new_int_from_uint(s.wcet_total_us), mp_obj_new_int_from_uint(s.wcet_max_us),
        mp_obj_new_int_from_uint(s.kernels),       mp_obj_new_int_from_uint(s.mandatory_us),
    };
    return mp_obj_new_tuple(MP_ARRAY_SIZE(items), items);
}
MP_DEFINE_CONST_FUN_OBJ_2(tactus_plan_info_obj, tactus_plan_info);

static mp_obj_t tactus_engine_run(mp_obj_t image_arg, mp_obj_t data_arg, mp_obj_t out_arg) {
    const mp_buffer_info_t image = readable(image_arg), data = readable(data_arg),
                           out = writable(out_arg);
    return code(tac_board_engine_run(image.buf, image.len, data.buf, data.len, out.buf, out.len));
}
MP_DEFINE_CONST_FUN_OBJ_3(tactus_engine_run_obj, tactus_engine_run);

static mp_obj_t tactus_engine_times(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    const mp_buffer_info_t image = readable(args[0]), times = writable(args[3]);
    return code(tac_board_engine_times(image.buf, image.len, u32(args[1]), u32(args[2]), times.buf,
                                       times.len));
}
MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(tactus_engine_times_obj, 4, 4, tactus_engine_times);

// ---- health

static mp_obj_t tactus_boot_id(void) {
    return mp_obj_new_int_from_uint(tac_board_boot_id());
}
MP_DEFINE_CONST_FUN_OBJ_0(tactus_boot_id_obj, tactus_boot_id);

static mp_obj_t tactus_temperature_mc(void) {
    const int32_t value = tac_port_temperature_mc();
    return value == TAC_NO_TEMPERATURE ? mp_const_none : mp_obj_new_int(value);
}
MP_DEFINE_CONST_FUN_OBJ_0(tactus_temperature_mc_obj, tactus_temperature_mc);

static mp_obj_t tactus_memory_peaks(void) {
    uint32_t heap = 0, stack = 0;
    tac_port_memory_peaks(&heap, &stack);
    mp_obj_t items[] = {mp_obj_new_int_from_uint(heap), mp_obj_new_int_from_uint(stack)};
    return mp_obj_new_tuple(MP_ARRAY_SIZE(items), items);
}
MP_DEFINE_CONST_FUN_OBJ_0(tactus_memory_peaks_obj, tactus_memory_peaks);

static mp_obj_t tactus_time_ms(void) {
    return mp_obj_new_int_from_ull(tac_board_time_ms());
}
MP_DEFINE_CONST_FUN_OBJ_0(tactus_time_ms_obj, tactus_time_ms);

static mp_obj_t tactus_trial(mp_obj_t figure, mp_obj_t task) {
    return code(tac_board_trial(u32(figure), u32(task)));
}
MP_DEFINE_CONST_FUN_OBJ_2(tactus_trial_obj, tactus_trial);

static mp_obj_t tactus_watchdog(mp_obj_t timeout_us) {
    tac_port_watchdog(u32(timeout_us));
    return mp_const_none;
}
MP_DEFINE_CONST_FUN_OBJ_1(tactus_watchdog_obj, tactus_watchdog);

static mp_obj_t tactus_fault(void) {
    tac_port_fault();
}
MP_DEFINE_CONST_FUN_OBJ_0(tactus_fault_obj, tactus_fault);

// clang-format off
#define FUNCTION(name) {MP_ROM_QSTR(MP_QSTR_##name), MP_ROM_PTR(&tactus_##name##_obj)},
static const mp_rom_map_elem_t tactus_globals_table[] = {
    {MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR__tactus)},
    TACTUS_FUNCTIONS(FUNCTION, FUNCTION)
};
// clang-format on
static MP_DEFINE_CONST_DICT(tactus_globals, tactus_globals_table);

const mp_obj_module_t tactus_module = {
    .base = {&mp_type_module},
    .globals = (mp_obj_dict_t *)&tactus_globals,
};
MP_REGISTER_MODULE(MP_QSTR__tactus, tactus_module);
