// SPDX-License-Identifier: MIT
// `_tactus` for MicroPython: arguments in, board_context out. Functions of the loop return small
// ints and allocate nothing.
#include <string.h>

#include "bindings/board_context.h"
#include "bindings/board_health.h"
#include "bindings/board_patch.h"
#include "bindings/board_telemetry.h"
#include "bindings/board_trial.h"
#include "engine/plan.h"
#include "link/console.h"
#include "port/port.h"
#include "py/gc.h"
#include "py/objarray.h"
#include "py/objint.h"
#include "py/runtime.h"
#include "sched/sched.h"
#include "store/ed25519.h"
#include "store/sha256.h"
#include "tac_board.h"

enum { LOW_BITS = 0x3fffffff };

// Images of tasks: the dispatcher reads them after the call that named them has returned.
MP_REGISTER_ROOT_POINTER(mp_obj_t tactus_images[8]);
_Static_assert(TAC_TASKS_MAX *TAC_VARIANTS <= 8, "root pointers of the task images");

static mp_obj_t code(int value) {
    return MP_OBJ_NEW_SMALL_INT(value);
}

static uint32_t u32(mp_obj_t arg) {
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

static mp_buffer_info_t readable(mp_obj_t arg) {
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(arg, &buffer, MP_BUFFER_READ);
    return buffer;
}

static mp_buffer_info_t writable(mp_obj_t arg) {
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(arg, &buffer, MP_BUFFER_WRITE);
    return buffer;
}

static const uint8_t *readable_of_size(mp_obj_t arg, size_t size) {
    const mp_buffer_info_t buffer = readable(arg);
    if (buffer.len != size) {
        mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("%d bytes wanted"), (int)size);
    }
    return buffer.buf;
}

static mp_obj_t view_object(tac_view_t view, int typecode) {
    if (view.data == NULL) {
        mp_raise_ValueError(MP_ERROR_TEXT("nothing there"));
    }
    return mp_obj_new_memoryview((byte)typecode, view.bytes, view.data);
}

static mp_obj_t view_rw(tac_view_t view) {
    return view_object(view, 'B' | MP_OBJ_ARRAY_TYPECODE_FLAG_RW);
}

static mp_obj_t view_ro(tac_view_t view) {
    return view_object(view, 'B');
}

static mp_obj_t str(const char *text) {
    return mp_obj_new_str(text, strlen(text));
}

// ---- board

static mp_obj_t tactus_init(size_t n_args, const mp_obj_t *args) {
    const char *path = n_args > 0 && args[0] != mp_const_none ? mp_obj_str_get_str(args[0]) : NULL;
    const mp_int_t fd = n_args > 1 ? mp_obj_get_int(args[1]) : -1;
    memset(MP_STATE_VM(tactus_images), 0, sizeof MP_STATE_VM(tactus_images));
    return code(tac_board_open(path, (int)fd));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(tactus_init_obj, 0, 2, tactus_init);

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
static MP_DEFINE_CONST_FUN_OBJ_0(tactus_board_obj, tactus_board);

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
static MP_DEFINE_CONST_FUN_OBJ_0(tactus_memory_obj, tactus_memory);

static mp_obj_t tactus_time_us(void) {
    return MP_OBJ_NEW_SMALL_INT((mp_int_t)(tac_port_now_us() & LOW_BITS));
}
static MP_DEFINE_CONST_FUN_OBJ_0(tactus_time_us_obj, tactus_time_us);

static mp_obj_t tactus_uptime_ms(void) {
    return MP_OBJ_NEW_SMALL_INT((mp_int_t)(tac_port_now_us() / 1000u & LOW_BITS));
}
static MP_DEFINE_CONST_FUN_OBJ_0(tactus_uptime_ms_obj, tactus_uptime_ms);

static mp_obj_t tactus_reset_cause(void) {
    return code((int)tac_port_reset_cause());
}
static MP_DEFINE_CONST_FUN_OBJ_0(tactus_reset_cause_obj, tactus_reset_cause);

static mp_obj_t tactus_crashes(void) {
    return code((int)tac_port_crashes());
}
static MP_DEFINE_CONST_FUN_OBJ_0(tactus_crashes_obj, tactus_crashes);

static mp_obj_t tactus_crashes_over(void) {
    tac_port_crashes_over();
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_0(tactus_crashes_over_obj, tactus_crashes_over);

static mp_obj_t tactus_reset(void) {
    tac_port_reset();
}
static MP_DEFINE_CONST_FUN_OBJ_0(tactus_reset_obj, tactus_reset);

// ---- engine

static mp_obj_t tactus_plan_check(mp_obj_t image, mp_obj_t arena_bytes) {
    const mp_buffer_info_t buffer = readable(image);
    return code(tac_plan_check(buffer.buf, buffer.len, u32(arena_bytes)));
}
static MP_DEFINE_CONST_FUN_OBJ_2(tactus_plan_check_obj, tactus_plan_check);

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
static MP_DEFINE_CONST_FUN_OBJ_2(tactus_plan_info_obj, tactus_plan_info);

static mp_obj_t tactus_engine_run(mp_obj_t image_arg, mp_obj_t data_arg, mp_obj_t out_arg) {
    const mp_buffer_info_t image = readable(image_arg), data = readable(data_arg),
                           out = writable(out_arg);
    return code(tac_board_engine_run(image.buf, image.len, data.buf, data.len, out.buf, out.len));
}
static MP_DEFINE_CONST_FUN_OBJ_3(tactus_engine_run_obj, tactus_engine_run);

static mp_obj_t tactus_engine_times(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    const mp_buffer_info_t image = readable(args[0]), times = writable(args[3]);
    return code(tac_board_engine_times(image.buf, image.len, u32(args[1]), u32(args[2]), times.buf,
                                       times.len));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(tactus_engine_times_obj, 4, 4, tactus_engine_times);

// ---- scheduler

static mp_obj_t tactus_sched_reset(void) {
    tac_board_sched_reset();
    memset(MP_STATE_VM(tactus_images), 0, sizeof MP_STATE_VM(tactus_images));
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_0(tactus_sched_reset_obj, tactus_sched_reset);

static mp_obj_t tactus_sched_add(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    const mp_buffer_info_t image = readable(args[0]);
    const int task = tac_board_sched_add(image.buf, image.len, u32(args[1]), u32(args[2]),
                                         u32(args[3]), u32(args[4]), u32(args[5]), u32(args[6]));
    if (task >= 0) {
        MP_STATE_VM(tactus_images)[TAC_VARIANTS * task] = args[0];
    }
    return code(task);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(tactus_sched_add_obj, 7, 7, tactus_sched_add);

static mp_obj_t tactus_sched_add_lite(mp_obj_t task_arg, mp_obj_t image_arg, mp_obj_t budget_us) {
    const mp_buffer_info_t image = readable(image_arg);
    const uint32_t task = u32(task_arg);
    const int rc = tac_board_sched_add_lite(task, image.buf, image.len, u32(budget_us));
    if (rc >= 0) {
        MP_STATE_VM(tactus_images)[TAC_VARIANTS * task + TAC_VARIANT_LITE] = image_arg;
    }
    return code(rc);
}
static MP_DEFINE_CONST_FUN_OBJ_3(tactus_sched_add_lite_obj, tactus_sched_add_lite);

static mp_obj_t tactus_sched_set_mode(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    return code(tac_board_sched_set_mode(u32(args[0]), u32(args[1]), u32(args[2]), u32(args[3]),
                                         u32(args[4]), u32(args[5])));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(tactus_sched_set_mode_obj, 6, 6, tactus_sched_set_mode);

static mp_obj_t tactus_sched_want_mode(mp_obj_t mode) {
    return code(tac_board_sched_want_mode(u32(mode)));
}
static MP_DEFINE_CONST_FUN_OBJ_1(tactus_sched_want_mode_obj, tactus_sched_want_mode);

static mp_obj_t tactus_sched_start(mp_obj_t delay_us, mp_obj_t speed) {
    return code(tac_board_sched_start(u32(delay_us), u32(speed)));
}
static MP_DEFINE_CONST_FUN_OBJ_2(tactus_sched_start_obj, tactus_sched_start);

static mp_obj_t tactus_sched_stop(void) {
    tac_board_sched_stop();
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_0(tactus_sched_stop_obj, tactus_sched_stop);

static mp_obj_t tactus_sched_run(mp_obj_t limit_us) {
    return code(tac_board_sched_run(u32(limit_us)));
}
static MP_DEFINE_CONST_FUN_OBJ_1(tactus_sched_run_obj, tactus_sched_run);

static mp_obj_t tactus_sched_feed(mp_obj_t tag) {
    return code(tac_board_sched_feed((int32_t)mp_obj_get_int(tag)));
}
static MP_DEFINE_CONST_FUN_OBJ_1(tactus_sched_feed_obj, tactus_sched_feed);

static mp_obj_t tactus_sched_input(mp_obj_t task, mp_obj_t variant) {
    return view_rw(tac_board_sched_input(u32(task), u32(variant)));
}
static MP_DEFINE_CONST_FUN_OBJ_2(tactus_sched_input_obj, tactus_sched_input);

static mp_obj_t tactus_arena_touched(mp_obj_t task) {
    return mp_obj_new_int_from_uint(tac_board_arena_touched(u32(task)));
}
static MP_DEFINE_CONST_FUN_OBJ_1(tactus_arena_touched_obj, tactus_arena_touched);

static mp_obj_t tactus_sched_output(mp_obj_t task) {
    return view_ro(tac_board_sched_output(u32(task)));
}
static MP_DEFINE_CONST_FUN_OBJ_1(tactus_sched_output_obj, tactus_sched_output);

static mp_obj_t tactus_sched_background(mp_obj_t started_us, mp_obj_t is_collection) {
    tac_board_sched_background(u32(started_us), u32(is_collection));
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(tactus_sched_background_obj, tactus_sched_background);

static mp_obj_t tactus_sched_loop(mp_obj_t buf) {
    const mp_buffer_info_t out = writable(buf);
    return code(tac_board_sched_loop(out.buf, out.len));
}
static MP_DEFINE_CONST_FUN_OBJ_1(tactus_sched_loop_obj, tactus_sched_loop);

static mp_obj_t tactus_sched_frame(mp_obj_t sequence, mp_obj_t with_events) {
    return code(tac_board_sched_frame(u32(sequence), u32(with_events)));
}
static MP_DEFINE_CONST_FUN_OBJ_2(tactus_sched_frame_obj, tactus_sched_frame);

static mp_obj_t tactus_sched_frozen(void) {
    return code(tac_board_sched_frozen());
}
static MP_DEFINE_CONST_FUN_OBJ_0(tactus_sched_frozen_obj, tactus_sched_frozen);

// Every collection comes by here, also one that an allocation asks for (the linker's --wrap).
static bool collection_is_placed;
void __real_gc_collect(void);
void __wrap_gc_collect(void);
void __wrap_gc_collect(void) {
    const uint64_t began_us = tac_port_now_us();
    __real_gc_collect();
    tac_board_collected((uint32_t)(tac_port_now_us() - began_us), !collection_is_placed);
}

static mp_obj_t tactus_collect(void) {
    collection_is_placed = true;
    gc_collect();
    collection_is_placed = false;
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_0(tactus_collect_obj, tactus_collect);

// Bytes that were allocated since the last collection, freed ones included.
static mp_obj_t tactus_litter(void) {
    return mp_obj_new_int_from_uint(MP_STATE_MEM(gc_alloc_amount) * MICROPY_BYTES_PER_GC_BLOCK);
}
static MP_DEFINE_CONST_FUN_OBJ_0(tactus_litter_obj, tactus_litter);

static mp_obj_t tactus_sched_stats(mp_obj_t task, mp_obj_t buf) {
    const mp_buffer_info_t out = writable(buf);
    return code(tac_board_sched_stats(u32(task), out.buf, out.len));
}
static MP_DEFINE_CONST_FUN_OBJ_2(tactus_sched_stats_obj, tactus_sched_stats);

static mp_obj_t tactus_sched_longest(mp_obj_t task) {
    uint32_t longest_us[2];
    const int rc = tac_board_sched_longest(u32(task), longest_us);
    if (rc < 0) {
        return code(rc);
    }
    mp_obj_t items[] = {mp_obj_new_int_from_uint(longest_us[0]),
                        mp_obj_new_int_from_uint(longest_us[1])};
    return mp_obj_new_tuple(MP_ARRAY_SIZE(items), items);
}
static MP_DEFINE_CONST_FUN_OBJ_1(tactus_sched_longest_obj, tactus_sched_longest);

static mp_obj_t tactus_sched_results(mp_obj_t cursor, mp_obj_t max_records, mp_obj_t buf) {
    const mp_buffer_info_t out = writable(buf);
    return code(tac_board_sched_results(u32(cursor), u32(max_records), out.buf, out.len));
}
static MP_DEFINE_CONST_FUN_OBJ_3(tactus_sched_results_obj, tactus_sched_results);

static mp_obj_t tactus_sched_events(mp_obj_t buf) {
    const mp_buffer_info_t out = writable(buf);
    return code(tac_board_sched_events(out.buf, out.len));
}
static MP_DEFINE_CONST_FUN_OBJ_1(tactus_sched_events_obj, tactus_sched_events);

static mp_obj_t tactus_quantize_i16(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    const mp_buffer_info_t samples = readable(args[0]), out = writable(args[6]);
    return code(tac_board_quantize_i16(samples.buf, samples.len, u32(args[1]), u32(args[2]),
                                       u32(args[3]), u32(args[4]), (int32_t)mp_obj_get_int(args[5]),
                                       out.buf, out.len));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(tactus_quantize_i16_obj, 7, 7, tactus_quantize_i16);

static mp_obj_t tactus_scale_i16(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    const mp_buffer_info_t samples = readable(args[0]), out = writable(args[4]);
    return code(tac_board_scale_i16(samples.buf, samples.len, u32(args[1]), u32(args[2]),
                                    u32(args[3]), out.buf, out.len));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(tactus_scale_i16_obj, 5, 5, tactus_scale_i16);

// ---- health

static mp_obj_t tactus_boot_id(void) {
    return mp_obj_new_int_from_uint(tac_board_boot_id());
}
static MP_DEFINE_CONST_FUN_OBJ_0(tactus_boot_id_obj, tactus_boot_id);

static mp_obj_t tactus_temperature_mc(void) {
    const int32_t value = tac_port_temperature_mc();
    return value == TAC_NO_TEMPERATURE ? mp_const_none : mp_obj_new_int(value);
}
static MP_DEFINE_CONST_FUN_OBJ_0(tactus_temperature_mc_obj, tactus_temperature_mc);

static mp_obj_t tactus_memory_peaks(void) {
    uint32_t heap = 0, stack = 0;
    tac_port_memory_peaks(&heap, &stack);
    mp_obj_t items[] = {mp_obj_new_int_from_uint(heap), mp_obj_new_int_from_uint(stack)};
    return mp_obj_new_tuple(MP_ARRAY_SIZE(items), items);
}
static MP_DEFINE_CONST_FUN_OBJ_0(tactus_memory_peaks_obj, tactus_memory_peaks);

// ---- link

static mp_obj_t tactus_link_poll(void) {
    return code(tac_board_link_poll());
}
static MP_DEFINE_CONST_FUN_OBJ_0(tactus_link_poll_obj, tactus_link_poll);

static mp_obj_t tactus_link_rx(void) {
    return view_ro(tac_board_link_rx());
}
static MP_DEFINE_CONST_FUN_OBJ_0(tactus_link_rx_obj, tactus_link_rx);

static mp_obj_t tactus_link_done(void) {
    tac_board_link_done();
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_0(tactus_link_done_obj, tactus_link_done);

static mp_obj_t tactus_link_tx(void) {
    return view_rw(tac_board_link_tx());
}
static MP_DEFINE_CONST_FUN_OBJ_0(tactus_link_tx_obj, tactus_link_tx);

static mp_obj_t tactus_link_send(mp_obj_t bytes) {
    return code(tac_board_link_send(u32(bytes)));
}
static MP_DEFINE_CONST_FUN_OBJ_1(tactus_link_send_obj, tactus_link_send);

static mp_obj_t tactus_link_stream(void) {
    tac_board_link_stream();
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_0(tactus_link_stream_obj, tactus_link_stream);

static mp_obj_t tactus_link_counters(void) {
    uint32_t counters[5];
    mp_obj_t items[5];
    tac_board_link_counters(counters);
    for (size_t i = 0; i < 5; i++) {
        items[i] = mp_obj_new_int_from_uint(counters[i]);
    }
    return mp_obj_new_tuple(5, items);
}
static MP_DEFINE_CONST_FUN_OBJ_0(tactus_link_counters_obj, tactus_link_counters);

static mp_obj_t tactus_crc16(size_t n_args, const mp_obj_t *args) {
    const mp_buffer_info_t data = readable(args[0]);
    return code(tac_crc16(n_args > 1 ? (uint16_t)u32(args[1]) : 0, data.buf, data.len));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(tactus_crc16_obj, 1, 2, tactus_crc16);

// ---- store

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
static MP_DEFINE_CONST_FUN_OBJ_1(tactus_slot_info_obj, tactus_slot_info);

static mp_obj_t tactus_slot_begin(mp_obj_t slot, mp_obj_t length, mp_obj_t sha256) {
    return code(tac_board_slot_begin(u32(slot), u32(length), readable_of_size(sha256, 32)));
}
static MP_DEFINE_CONST_FUN_OBJ_3(tactus_slot_begin_obj, tactus_slot_begin);

static mp_obj_t tactus_slot_write(mp_obj_t slot, mp_obj_t offset, mp_obj_t data_arg) {
    const mp_buffer_info_t data = readable(data_arg);
    return code(tac_board_slot_write(u32(slot), u32(offset), data.buf, data.len));
}
static MP_DEFINE_CONST_FUN_OBJ_3(tactus_slot_write_obj, tactus_slot_write);

static mp_obj_t tactus_slot_finish(mp_obj_t slot, mp_obj_t most_bytes) {
    return code(tac_board_slot_finish(u32(slot), u32(most_bytes)));
}
static MP_DEFINE_CONST_FUN_OBJ_2(tactus_slot_finish_obj, tactus_slot_finish);

static mp_obj_t tactus_slot_mark(size_t n_args, const mp_obj_t *args) {
    const tac_floors_t floors = {u32(args[3]), n_args > 4 ? u32(args[4]) : 0};
    return code(tac_board_slot_mark(u32(args[0]), u32(args[1]), u32(args[2]), floors));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(tactus_slot_mark_obj, 4, 5, tactus_slot_mark);

static mp_obj_t tactus_slot_erase(mp_obj_t slot) {
    return code(tac_board_slot_erase(u32(slot)));
}
static MP_DEFINE_CONST_FUN_OBJ_1(tactus_slot_erase_obj, tactus_slot_erase);

static mp_obj_t tactus_slot_select(void) {
    return code(tac_board_slot_select());
}
static MP_DEFINE_CONST_FUN_OBJ_0(tactus_slot_select_obj, tactus_slot_select);

static mp_obj_t tactus_slot_data(mp_obj_t slot) {
    return view_ro(tac_board_slot_data(u32(slot)));
}
static MP_DEFINE_CONST_FUN_OBJ_1(tactus_slot_data_obj, tactus_slot_data);

static mp_obj_t tactus_patch_begin(mp_obj_t slot) {
    return code(tac_board_patch_begin(u32(slot)));
}
static MP_DEFINE_CONST_FUN_OBJ_1(tactus_patch_begin_obj, tactus_patch_begin);

static mp_obj_t tactus_patch_check(mp_obj_t slot, mp_obj_t ops_arg, mp_obj_t most) {
    const mp_buffer_info_t ops = readable(ops_arg);
    return code(tac_board_patch_check(u32(slot), ops.buf, ops.len, u32(most)));
}
static MP_DEFINE_CONST_FUN_OBJ_3(tactus_patch_check_obj, tactus_patch_check);

static mp_obj_t tactus_patch_step(mp_obj_t slot, mp_obj_t ops_arg, mp_obj_t most) {
    const mp_buffer_info_t ops = readable(ops_arg);
    return code(tac_board_patch_step(u32(slot), ops.buf, ops.len, u32(most)));
}
static MP_DEFINE_CONST_FUN_OBJ_3(tactus_patch_step_obj, tactus_patch_step);

static mp_obj_t tactus_counter(void) {
    return mp_obj_new_int_from_uint(tac_board_floors().counter);
}
static MP_DEFINE_CONST_FUN_OBJ_0(tactus_counter_obj, tactus_counter);

static mp_obj_t tactus_key_version(void) {
    return mp_obj_new_int_from_uint(tac_board_floors().key_version);
}
static MP_DEFINE_CONST_FUN_OBJ_0(tactus_key_version_obj, tactus_key_version);

static mp_obj_t tactus_replay(void) {
    return view_ro(tac_board_replay());
}
static MP_DEFINE_CONST_FUN_OBJ_0(tactus_replay_obj, tactus_replay);

// ---- telemetry

static mp_obj_t tactus_telemetry_info(void) {
    tac_board_telemetry_t info;
    const int rc = tac_board_telemetry_info(&info);
    if (rc < 0) {
        return code(rc);
    }
    mp_obj_t items[] = {
        mp_obj_new_int_from_uint(info.oldest),       mp_obj_new_int_from_uint(info.next),
        mp_obj_new_int_from_uint(info.acknowledged), mp_obj_new_int_from_uint(info.lost),
        mp_obj_new_int_from_uint(info.bytes),
    };
    return mp_obj_new_tuple(MP_ARRAY_SIZE(items), items);
}
static MP_DEFINE_CONST_FUN_OBJ_0(tactus_telemetry_info_obj, tactus_telemetry_info);

static mp_obj_t tactus_telemetry_prepare(void) {
    return code(tac_board_telemetry_prepare());
}
static MP_DEFINE_CONST_FUN_OBJ_0(tactus_telemetry_prepare_obj, tactus_telemetry_prepare);

static mp_obj_t tactus_telemetry_append(mp_obj_t record) {
    const mp_buffer_info_t data = readable(record);
    return code(tac_board_telemetry_append(data.buf, data.len));
}
static MP_DEFINE_CONST_FUN_OBJ_1(tactus_telemetry_append_obj, tactus_telemetry_append);

static mp_obj_t tactus_telemetry_acknowledge(mp_obj_t sequence) {
    return code(tac_board_telemetry_acknowledge(u32(sequence)));
}
static MP_DEFINE_CONST_FUN_OBJ_1(tactus_telemetry_acknowledge_obj, tactus_telemetry_acknowledge);

static mp_obj_t tactus_telemetry_records(mp_obj_t cursor, mp_obj_t buf) {
    const mp_buffer_info_t out = writable(buf);
    return code(tac_board_telemetry_records(u32(cursor), out.buf, out.len));
}
static MP_DEFINE_CONST_FUN_OBJ_2(tactus_telemetry_records_obj, tactus_telemetry_records);

static mp_obj_t tactus_telemetry_contents(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    const mp_buffer_info_t out = writable(args[3]);
    return code(
        tac_board_telemetry_contents(u32(args[0]), u32(args[1]), u32(args[2]), out.buf, out.len));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(tactus_telemetry_contents_obj, 4, 4,
                                           tactus_telemetry_contents);

static mp_obj_t tactus_percentiles(mp_obj_t packed, mp_obj_t at) {
    const mp_buffer_info_t data = readable(packed);
    uint32_t found[3];
    const int end = tac_board_percentiles(data.buf, data.len, u32(at), found);
    if (end < 0) {
        return code(end);
    }
    mp_obj_t items[] = {code(end), mp_obj_new_int_from_uint(found[0]),
                        mp_obj_new_int_from_uint(found[1]), mp_obj_new_int_from_uint(found[2])};
    return mp_obj_new_tuple(MP_ARRAY_SIZE(items), items);
}
static MP_DEFINE_CONST_FUN_OBJ_2(tactus_percentiles_obj, tactus_percentiles);

static mp_obj_t tactus_time_ms(void) {
    return mp_obj_new_int_from_ull(tac_board_time_ms());
}
static MP_DEFINE_CONST_FUN_OBJ_0(tactus_time_ms_obj, tactus_time_ms);

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
static MP_DEFINE_CONST_FUN_OBJ_0(tactus_sha256_begin_obj, tactus_sha256_begin);

static mp_obj_t tactus_sha256_update(mp_obj_t context, mp_obj_t data_arg) {
    const mp_buffer_info_t data = readable(data_arg);
    tac_sha256_update(context_of(context, sizeof(tac_sha256_t)), data.buf, data.len);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(tactus_sha256_update_obj, tactus_sha256_update);

static mp_obj_t tactus_sha256_end(mp_obj_t context) {
    byte digest[32];
    tac_sha256_final(context_of(context, sizeof(tac_sha256_t)), digest);
    return mp_obj_new_bytes(digest, sizeof digest);
}
static MP_DEFINE_CONST_FUN_OBJ_1(tactus_sha256_end_obj, tactus_sha256_end);

static mp_obj_t tactus_ed25519_begin(mp_obj_t signature, mp_obj_t key) {
    tac_ed25519_t check;
    memset(&check, 0, sizeof check); // what begin() leaves alone is copied, too
    tac_ed25519_begin(&check, readable_of_size(signature, 64), readable_of_size(key, 32));
    return mp_obj_new_bytearray(sizeof check, (byte *)&check);
}
static MP_DEFINE_CONST_FUN_OBJ_2(tactus_ed25519_begin_obj, tactus_ed25519_begin);

static mp_obj_t tactus_ed25519_update(mp_obj_t context, mp_obj_t message_arg) {
    const mp_buffer_info_t message = readable(message_arg);
    tac_ed25519_update(context_of(context, sizeof(tac_ed25519_t)), message.buf, message.len);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(tactus_ed25519_update_obj, tactus_ed25519_update);

static mp_obj_t tactus_ed25519_step(mp_obj_t context) {
    return code(tac_ed25519_step(context_of(context, sizeof(tac_ed25519_t))));
}
static MP_DEFINE_CONST_FUN_OBJ_1(tactus_ed25519_step_obj, tactus_ed25519_step);

static mp_obj_t tactus_root_keys(void) {
    const tac_view_t keys = tac_board_root_keys();
    return mp_obj_new_bytes(keys.data, keys.bytes);
}
static MP_DEFINE_CONST_FUN_OBJ_0(tactus_root_keys_obj, tactus_root_keys);

// ---- trial

static mp_obj_t tactus_trial(mp_obj_t figure, mp_obj_t task) {
    return code(tac_board_trial(u32(figure), u32(task)));
}
static MP_DEFINE_CONST_FUN_OBJ_2(tactus_trial_obj, tactus_trial);

static mp_obj_t tactus_watchdog(mp_obj_t timeout_us) {
    tac_port_watchdog(u32(timeout_us));
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(tactus_watchdog_obj, tactus_watchdog);

static mp_obj_t tactus_fault(void) {
    tac_port_fault();
}
static MP_DEFINE_CONST_FUN_OBJ_0(tactus_fault_obj, tactus_fault);

#define FUNCTION(name) {MP_ROM_QSTR(MP_QSTR_##name), MP_ROM_PTR(&tactus_##name##_obj)}

// clang-format off
static const mp_rom_map_elem_t tactus_globals_table[] = {
    {MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR__tactus)},
    FUNCTION(init), FUNCTION(board), FUNCTION(memory), FUNCTION(memory_peaks),
    FUNCTION(boot_id), FUNCTION(temperature_mc), FUNCTION(time_us), FUNCTION(uptime_ms),
    FUNCTION(reset_cause), FUNCTION(reset),
    FUNCTION(plan_check), FUNCTION(plan_info), FUNCTION(engine_run), FUNCTION(engine_times),
    FUNCTION(sched_reset), FUNCTION(sched_add), FUNCTION(sched_start), FUNCTION(sched_stop),
    FUNCTION(sched_add_lite), FUNCTION(sched_set_mode), FUNCTION(sched_want_mode),
    FUNCTION(sched_run), FUNCTION(sched_feed), FUNCTION(sched_input), FUNCTION(sched_output),
    FUNCTION(sched_loop), FUNCTION(sched_frame), FUNCTION(sched_frozen), FUNCTION(collect),
    FUNCTION(litter), FUNCTION(sched_longest), FUNCTION(sched_background), FUNCTION(sched_stats), FUNCTION(sched_results),
    FUNCTION(sched_events), FUNCTION(arena_touched), FUNCTION(quantize_i16), FUNCTION(scale_i16),
    FUNCTION(link_poll), FUNCTION(link_rx), FUNCTION(link_done), FUNCTION(link_tx), FUNCTION(link_send),
    FUNCTION(link_stream), FUNCTION(link_counters), FUNCTION(crc16),
    FUNCTION(slot_info), FUNCTION(slot_begin), FUNCTION(slot_write), FUNCTION(slot_finish),
    FUNCTION(slot_mark), FUNCTION(slot_erase), FUNCTION(slot_select), FUNCTION(slot_data),
    FUNCTION(patch_begin), FUNCTION(patch_check), FUNCTION(patch_step),
    FUNCTION(counter), FUNCTION(key_version), FUNCTION(replay),
    FUNCTION(sha256_begin), FUNCTION(sha256_update), FUNCTION(sha256_end),
    FUNCTION(ed25519_begin), FUNCTION(ed25519_update), FUNCTION(ed25519_step),
    FUNCTION(root_keys),
    FUNCTION(telemetry_info), FUNCTION(telemetry_prepare), FUNCTION(telemetry_append), FUNCTION(telemetry_acknowledge),
    FUNCTION(telemetry_records), FUNCTION(telemetry_contents), FUNCTION(percentiles), FUNCTION(time_ms),
    FUNCTION(trial), FUNCTION(watchdog), FUNCTION(fault), FUNCTION(crashes), FUNCTION(crashes_over),
};
// clang-format on
static MP_DEFINE_CONST_DICT(tactus_globals, tactus_globals_table);

const mp_obj_module_t tactus_module = {
    .base = {&mp_type_module},
    .globals = (mp_obj_dict_t *)&tactus_globals,
};
MP_REGISTER_MODULE(MP_QSTR__tactus, tactus_module);
