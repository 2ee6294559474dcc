// SPDX-License-Identifier: MIT
// `_tactus` for MicroPython: the link, and the telemetry that is kept for it.
#include "bindings/micropython/tactus_module.h"

#include "bindings/board_telemetry.h"
#include "link/console.h"

// ---- link

static mp_obj_t tactus_link_poll(void) {
    return code(tac_board_link_poll());
}
MP_DEFINE_CONST_FUN_OBJ_0(tactus_link_poll_obj, tactus_link_poll);

static mp_obj_t tactus_link_rx(void) {
    return view_ro(tac_board_link_rx());
}
MP_DEFINE_CONST_FUN_OBJ_0(tactus_link_rx_obj, tactus_link_rx);

static mp_obj_t tactus_link_done(void) {
    tac_board_link_done();
    return mp_const_none;
}
MP_DEFINE_CONST_FUN_OBJ_0(tactus_link_done_obj, tactus_link_done);

static mp_obj_t tactus_link_tx(void) {
    return view_rw(tac_board_link_tx());
}
MP_DEFINE_CONST_FUN_OBJ_0(tactus_link_tx_obj, tactus_link_tx);

static mp_obj_t tactus_link_send(mp_obj_t bytes) {
    return code(tac_board_link_send(u32(bytes)));
}
MP_DEFINE_CONST_FUN_OBJ_1(tactus_link_send_obj, tactus_link_send);

static mp_obj_t tactus_link_stream(void) {
    tac_board_link_stream();
    return mp_const_none;
}
MP_DEFINE_CONST_FUN_OBJ_0(tactus_link_stream_obj, tactus_link_stream);

static mp_obj_t tactus_link_counters(void) {
    uint32_t counters[5];
    mp_obj_t items[5];
    tac_board_link_counters(counters);
    for (size_t i = 0; i < 5; i++) {
        items[i] = mp_obj_new_int_from_uint(counters[i]);
    }
    return mp_obj_new_tuple(5, items);
}
MP_DEFINE_CONST_FUN_OBJ_0(tactus_link_counters_obj, tactus_link_counters);

static mp_obj_t tactus_crc16(size_t n_args, const mp_obj_t *args) {
    const mp_buffer_info_t data = readable(args[0]);
    return code(tac_crc16(n_args > 1 ? (uint16_t)u32(args[1]) : 0, data.buf, data.len));
}
MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(tactus_crc16_obj, 1, 2, tactus_crc16);

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
MP_DEFINE_CONST_FUN_OBJ_0(tactus_telemetry_info_obj, tactus_telemetry_info);

static mp_obj_t tactus_telemetry_prepare(void) {
    return code(tac_board_telemetry_prepare());
}
MP_DEFINE_CONST_FUN_OBJ_0(tactus_telemetry_prepare_obj, tactus_telemetry_prepare);

static mp_obj_t tactus_telemetry_append(mp_obj_t record) {
    const mp_buffer_info_t data = readable(record);
    return code(tac_board_telemetry_append(data.buf, data.len));
}
MP_DEFINE_CONST_FUN_OBJ_1(tactus_telemetry_append_obj, tactus_telemetry_append);

static mp_obj_t tactus_telemetry_acknowledge(mp_obj_t sequence) {
    return code(tac_board_telemetry_acknowledge(u32(sequence)));
}
MP_DEFINE_CONST_FUN_OBJ_1(tactus_telemetry_acknowledge_obj, tactus_telemetry_acknowledge);

static mp_obj_t tactus_telemetry_records(mp_obj_t cursor, mp_obj_t buf) {
    const mp_buffer_info_t out = writable(buf);
    return code(tac_board_telemetry_records(u32(cursor), out.buf, out.len));
}
MP_DEFINE_CONST_FUN_OBJ_2(tactus_telemetry_records_obj, tactus_telemetry_records);

static mp_obj_t tactus_telemetry_contents(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    const mp_buffer_info_t out = writable(args[3]);
    return code(
        tac_board_telemetry_contents(u32(args[0]), u32(args[1]), u32(args[2]), out.buf, out.len));
}
MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(tactus_telemetry_contents_obj, 4, 4, tactus_telemetry_contents);

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
MP_DEFINE_CONST_FUN_OBJ_2(tactus_percentiles_obj, tactus_percentiles);
