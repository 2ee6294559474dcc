// SPDX-License-Identifier: MIT
// `_tactus` for MicroPython: the scheduler, its statistics and the samples it feeds.
#include "bindings/micropython/tactus_module.h"

#include <string.h>

#include "port/port.h"
#include "py/gc.h"
#include "sched/sched.h"

// Images of tasks: the dispatcher reads them after the call that named them has returned.
MP_REGISTER_ROOT_POINTER(mp_obj_t tactus_images[8]);
_Static_assert(TAC_TASKS_MAX *TAC_VARIANTS <= 8, "root pointers of the task images");

void tactus_forget_images(void) {
    memset(MP_STATE_VM(tactus_images), 0, sizeof MP_STATE_VM(tactus_images));
}

static mp_obj_t tactus_sched_reset(void) {
    tac_board_sched_reset();
    tactus_forget_images();
    return mp_const_none;
}
MP_DEFINE_CONST_FUN_OBJ_0(tactus_sched_reset_obj, tactus_sched_reset);

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
MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(tactus_sched_add_obj, 7, 7, tactus_sched_add);

static mp_obj_t tactus_sched_add_lite(mp_obj_t task_arg, mp_obj_t image_arg, mp_obj_t budget_us) {
    const mp_buffer_info_t image = readable(image_arg);
    const uint32_t task = u32(task_arg);
    const int rc = tac_board_sched_add_lite(task, image.buf, image.len, u32(budget_us));
    if (rc >= 0) {
        MP_STATE_VM(tactus_images)[TAC_VARIANTS * task + TAC_VARIANT_LITE] = image_arg;
    }
    return code(rc);
}
MP_DEFINE_CONST_FUN_OBJ_3(tactus_sched_add_lite_obj, tactus_sched_add_lite);

static mp_obj_t tactus_sched_set_mode(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    return code(tac_board_sched_set_mode(u32(args[0]), u32(args[1]), u32(args[2]), u32(args[3]),
                                         u32(args[4]), u32(args[5])));
}
MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(tactus_sched_set_mode_obj, 6, 6, tactus_sched_set_mode);

static mp_obj_t tactus_sched_want_mode(mp_obj_t mode) {
    return code(tac_board_sched_want_mode(u32(mode)));
}
MP_DEFINE_CONST_FUN_OBJ_1(tactus_sched_want_mode_obj, tactus_sched_want_mode);

static mp_obj_t tactus_sched_start(mp_obj_t delay_us, mp_obj_t speed) {
    return code(tac_board_sched_start(u32(delay_us), u32(speed)));
}
MP_DEFINE_CONST_FUN_OBJ_2(tactus_sched_start_obj, tactus_sched_start);

static mp_obj_t tactus_sched_stop(void) {
    tac_board_sched_stop();
    return mp_const_none;
}
MP_DEFINE_CONST_FUN_OBJ_0(tactus_sched_stop_obj, tactus_sched_stop);

static mp_obj_t tactus_sched_run(mp_obj_t limit_us) {
    return code(tac_board_sched_run(u32(limit_us)));
}
MP_DEFINE_CONST_FUN_OBJ_1(tactus_sched_run_obj, tactus_sched_run);

static mp_obj_t tactus_sched_feed(mp_obj_t tag) {
    return code(tac_board_sched_feed((int32_t)mp_obj_get_int(tag)));
}
MP_DEFINE_CONST_FUN_OBJ_1(tactus_sched_feed_obj, tactus_sched_feed);

static mp_obj_t tactus_sched_input(mp_obj_t task, mp_obj_t variant) {
    return view_rw(tac_board_sched_input(u32(task), u32(variant)));
}
MP_DEFINE_CONST_FUN_OBJ_2(tactus_sched_input_obj, tactus_sched_input);

static mp_obj_t tactus_arena_touched(mp_obj_t task) {
    return mp_obj_new_int_from_uint(tac_board_arena_touched(u32(task)));
}
MP_DEFINE_CONST_FUN_OBJ_1(tactus_arena_touched_obj, tactus_arena_touched);

static mp_obj_t tactus_sched_output(mp_obj_t task) {
    return view_ro(tac_board_sched_output(u32(task)));
}
MP_DEFINE_CONST_FUN_OBJ_1(tactus_sched_output_obj, tactus_sched_output);

static mp_obj_t tactus_sched_background(mp_obj_t started_us, mp_obj_t is_collection) {
    tac_board_sched_background(u32(started_us), u32(is_collection));
    return mp_const_none;
}
MP_DEFINE_CONST_FUN_OBJ_2(tactus_sched_background_obj, tactus_sched_background);

static mp_obj_t tactus_sched_loop(mp_obj_t buf) {
    const mp_buffer_info_t out = writable(buf);
    return code(tac_board_sched_loop(out.buf, out.len));
}
MP_DEFINE_CONST_FUN_OBJ_1(tactus_sched_loop_obj, tactus_sched_loop);

static mp_obj_t tactus_sched_frame(mp_obj_t sequence, mp_obj_t with_events) {
    return code(tac_board_sched_frame(u32(sequence), u32(with_events)));
}
MP_DEFINE_CONST_FUN_OBJ_2(tactus_sched_frame_obj, tactus_sched_frame);

static mp_obj_t tactus_sched_frozen(void) {
    return code(tac_board_sched_frozen());
}
MP_DEFINE_CONST_FUN_OBJ_0(tactus_sched_frozen_obj, tactus_sched_frozen);

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
MP_DEFINE_CONST_FUN_OBJ_0(tactus_collect_obj, tactus_collect);

// Bytes that were allocated since the last collection, freed ones included.
static mp_obj_t tactus_litter(void) {
    return mp_obj_new_int_from_uint(MP_STATE_MEM(gc_alloc_amount) * MICROPY_BYTES_PER_GC_BLOCK);
}
MP_DEFINE_CONST_FUN_OBJ_0(tactus_litter_obj, tactus_litter);

static mp_obj_t tactus_sched_stats(mp_obj_t task, mp_obj_t buf) {
    const mp_buffer_info_t out = writable(buf);
    return code(tac_board_sched_stats(u32(task), out.buf, out.len));
}
MP_DEFINE_CONST_FUN_OBJ_2(tactus_sched_stats_obj, tactus_sched_stats);

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
MP_DEFINE_CONST_FUN_OBJ_1(tactus_sched_longest_obj, tactus_sched_longest);

static mp_obj_t tactus_sched_results(mp_obj_t cursor, mp_obj_t max_records, mp_obj_t buf) {
    const mp_buffer_info_t out = writable(buf);
    return code(tac_board_sched_results(u32(cursor), u32(max_records), out.buf, out.len));
}
MP_DEFINE_CONST_FUN_OBJ_3(tactus_sched_results_obj, tactus_sched_results);

static mp_obj_t tactus_sched_events(mp_obj_t buf) {
    const mp_buffer_info_t out = writable(buf);
    return code(tac_board_sched_events(out.buf, out.len));
}
MP_DEFINE_CONST_FUN_OBJ_1(tactus_sched_events_obj, tactus_sched_events);

static mp_obj_t tactus_quantize_i16(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    const mp_buffer_info_t samples = readable(args[0]), out = writable(args[6]);
    return code(tac_board_quantize_i16(samples.buf, samples.len, u32(args[1]), u32(args[2]),
                                       u32(args[3]), u32(args[4]), (int32_t)mp_obj_get_int(args[5]),
                                       out.buf, out.len));
}
MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(tactus_quantize_i16_obj, 7, 7, tactus_quantize_i16);

static mp_obj_t tactus_scale_i16(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    const mp_buffer_info_t samples = readable(args[0]), out = writable(args[4]);
    return code(tac_board_scale_i16(samples.buf, samples.len, u32(args[1]), u32(args[2]),
                                    u32(args[3]), out.buf, out.len));
}
MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(tactus_scale_i16_obj, 5, 5, tactus_scale_i16);
