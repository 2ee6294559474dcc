// SPDX-License-Identifier: MIT
// `_tactus` for CPython 3.11 and later (limited API): arguments in, board_context out. The GIL is
// released where the call may last: dispatching and one-shot runs. One thread at a time may use the
// module.
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <string.h>

#include "bindings/board_context.h"
#include "bindings/board_health.h"
#include "bindings/board_patch.h"
#include "bindings/board_telemetry.h"
#include "bindings/board_trial.h"
#include "engine/plan.h"
#include "link/console.h"
#include "port/port.h"
#include "sched/sched.h"
#include "store/ed25519.h"
#include "store/sha256.h"
#include "tac_board.h"

enum { LOW_BITS = 0x3fffffff };

// Images of tasks: the dispatcher reads them after the call that named them has returned.
static Py_buffer task_images[TAC_TASKS_MAX * TAC_VARIANTS];

static void forget_images(void) {
    for (size_t i = 0; i < TAC_TASKS_MAX * TAC_VARIANTS; i++) {
        PyBuffer_Release(&task_images[i]); // does nothing for one that is not held
    }
}

static PyObject *code(int value) {
    return PyLong_FromLong(value);
}

// "O&" converter: an int in 0..2^32-1. TypeError or ValueError otherwise.
static int to_u32(PyObject *arg, void *out) {
    if (!PyLong_Check(arg)) {
        PyErr_SetString(PyExc_TypeError, "an int is wanted");
        return 0;
    }
    const unsigned long value = PyLong_AsUnsignedLong(arg);
    if (PyErr_Occurred() != NULL || value > UINT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "0..2^32-1 wanted");
        return 0;
    }
    *(uint32_t *)out = (uint32_t)value;
    return 1;
}

static int has_size(const Py_buffer *buffer, Py_ssize_t size) {
    if (buffer->len != size) {
        PyErr_Format(PyExc_ValueError, "%zd bytes wanted, not %zd", size, buffer->len);
        return 0;
    }
    return 1;
}

static PyObject *view_object(tac_view_t view, int flags) {
    if (view.data == NULL) {
        PyErr_SetString(PyExc_ValueError, "nothing there");
        return NULL;
    }
    return PyMemoryView_FromMemory((char *)view.data, (Py_ssize_t)view.bytes, flags);
}

// ---- board

static PyObject *tactus_init(PyObject *self, PyObject *args, PyObject *kwargs) {
    (void)self;
    static char *names[] = {"flash_path", "link_fd", NULL};
    PyObject *path = NULL;
    int link_fd = -1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|Oi", names, &path, &link_fd)) {
        return NULL;
    }
    PyObject *encoded = NULL;
    if (path != NULL && path != Py_None && !PyUnicode_FSConverter(path, &encoded)) {
        return NULL;
    }
    forget_images();
    const int rc = tac_board_open(encoded != NULL ? PyBytes_AsString(encoded) : NULL, link_fd);
    Py_XDECREF(encoded);
    return code(rc);
}

static PyObject *tactus_board(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    PyObject *features = PyList_New(0);
    const char *at = TAC_BOARD_FEATURES;
    while (features != NULL && *at != '\0') {
        const size_t length = strcspn(at, ",");
        PyObject *name = PyUnicode_FromStringAndSize(at, (Py_ssize_t)length);
        if (name == NULL || PyList_Append(features, name) != 0) {
            Py_CLEAR(features);
        }
        Py_XDECREF(name);
        at += length + (at[length] == ',');
    }
    if (features == NULL) {
        return NULL;
    }
    PyObject *facts = Py_BuildValue("{s:s,s:s,s:N,s:N,s:s}", "name", TAC_BOARD_NAME, "class",
                                    TAC_BOARD_CLASS, "features", features, "scales_with_speed",
                                    PyBool_FromLong(TAC_BOARD_SCALES_WITH_SPEED), "trust_name",
                                    TAC_BOARD_TRUST_NAME);
    const struct {
        const char *name;
        uint32_t value;
    } numbers[] = {
        {"arena_bytes", TAC_BOARD_ARENA_BYTES},
        {"ram_bytes", TAC_BOARD_RAM_BYTES},
        {"link_bytes", TAC_BOARD_LINK_BYTES},
        {"link_buffers", TAC_BOARD_LINK_BUFFERS},
        {"slot_bytes", TAC_BOARD_SLOT_BYTES},
        {"dispatch_us", TAC_BOARD_DISPATCH_US},
        {"sample_ns", TAC_BOARD_SAMPLE_NS},
        {"lockout_us", TAC_BOARD_LOCKOUT_US},
        {"background_us", TAC_BOARD_BACKGROUND_US},
        {"background_period_us", TAC_BOARD_BACKGROUND_PERIOD_US},
        {"gc_us", TAC_BOARD_GC_US},
        {"gc_period_us", TAC_BOARD_GC_PERIOD_US},
        {"root_threshold", TAC_BOARD_ROOT_THRESHOLD},
        {"kernels", tac_board_kernels()},
        {"plan_version", TAC_PLAN_VERSION},
    };
    for (size_t i = 0; facts != NULL && i < sizeof numbers / sizeof numbers[0]; i++) {
        PyObject *value = PyLong_FromUnsignedLong(numbers[i].value);
        if (value == NULL || PyDict_SetItemString(facts, numbers[i].name, value) != 0) {
            Py_CLEAR(facts);
        }
        Py_XDECREF(value);
    }
    return facts;
}

static PyObject *tactus_memory(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    tac_memory_part_t parts[TAC_MEMORY_PARTS];
    tac_board_memory(parts);
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < TAC_MEMORY_PARTS; i++) {
        PyObject *pair = Py_BuildValue("(sk)", parts[i].name, (unsigned long)parts[i].bytes);
        if (pair == NULL || PyList_Append(list, pair) != 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(pair);
    }
    return list;
}

static PyObject *tactus_time_us(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    return PyLong_FromUnsignedLongLong(tac_port_now_us() & LOW_BITS);
}

static PyObject *tactus_uptime_ms(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    return PyLong_FromUnsignedLongLong(tac_port_now_us() / 1000u & LOW_BITS);
}

static PyObject *tactus_reset_cause(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    return code((int)tac_port_reset_cause());
}

static PyObject *tactus_crashes(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    return code((int)tac_port_crashes());
}

static PyObject *tactus_crashes_over(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    tac_port_crashes_over();
    Py_RETURN_NONE;
}

static PyObject *tactus_reset(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    PyObject *out =
        PySys_GetObject("stdout"); // borrowed; the process ends without Python's own clean-up
    if (out != NULL) {
        Py_XDECREF(PyObject_CallMethod(out, "flush", NULL));
    }
    tac_port_reset();
}

// ---- engine

static PyObject *tactus_plan_check(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer image;
    uint32_t arena_bytes;
    if (!PyArg_ParseTuple(args, "y*O&", &image, to_u32, &arena_bytes)) {
        return NULL;
    }
    const int rc = tac_plan_check(image.buf, (size_t)image.len, arena_bytes);
    PyBuffer_Release(&image);
    return code(rc);
}

static PyObject *tactus_plan_info(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer image;
    uint32_t limit_us;
    if (!PyArg_ParseTuple(args, "y*O&", &image, to_u32, &limit_us)) {
        return NULL;
    }
    tac_plan_summary_t s;
    const int rc = tac_board_plan_info(image.buf, (size_t)image.len, limit_us, &s);
    PyBuffer_Release(&image);
    if (rc < 0) {
        return code(rc);
    }
    return Py_BuildValue("(kkkkkkkk)", (unsigned long)s.op_count, (unsigned long)s.arena_bytes,
                         (unsigned long)s.input_bytes, (unsigned long)s.output_bytes,
                         (unsigned long)s.wcet_total_us, (unsigned long)s.wcet_max_us,
                         (unsigned long)s.kernels, (unsigned long)s.mandatory_us);
}

static PyObject *tactus_engine_run(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer image, data, out;
    if (!PyArg_ParseTuple(args, "y*y*w*", &image, &data, &out)) {
        return NULL;
    }
    int rc;
    Py_BEGIN_ALLOW_THREADS;
    rc = tac_board_engine_run(image.buf, (size_t)image.len, data.buf, (size_t)data.len, out.buf,
                              (size_t)out.len);
    Py_END_ALLOW_THREADS;
    PyBuffer_Release(&image);
    PyBuffer_Release(&data);
    PyBuffer_Release(&out);
    return code(rc);
}

static PyObject *tactus_engine_times(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer image, times;
    uint32_t pattern, seed;
    if (!PyArg_ParseTuple(args, "y*O&O&w*", &image, to_u32, &pattern, to_u32, &seed, &times)) {
        return NULL;
    }
    int rc;
    Py_BEGIN_ALLOW_THREADS;
    rc = tac_board_engine_times(image.buf, (size_t)image.len, pattern, seed, times.buf,
                                (size_t)times.len);
    Py_END_ALLOW_THREADS;
    PyBuffer_Release(&image);
    PyBuffer_Release(&times);
    return code(rc);
}

// ---- scheduler

static PyObject *tactus_sched_reset(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    tac_board_sched_reset();
    forget_images();
    Py_RETURN_NONE;
}

static PyObject *tactus_sched_add(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer image;
    uint32_t offset, period, deadline, budget, policy, whole;
    if (!PyArg_ParseTuple(args, "y*O&O&O&O&O&O&", &image, to_u32, &offset, to_u32, &period, to_u32,
                          &deadline, to_u32, &budget, to_u32, &policy, to_u32, &whole)) {
        return NULL;
    }
    const int task = tac_board_sched_add(image.buf, (size_t)image.len, offset, period, deadline,
                                         budget, policy, whole);
    if (task >= 0) {
        task_images[TAC_VARIANTS * task] = image; // held until the tasks are forgotten
    } else {
        PyBuffer_Release(&image);
    }
    return code(task);
}

static PyObject *tactus_sched_add_lite(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer image;
    uint32_t task, budget;
    if (!PyArg_ParseTuple(args, "O&y*O&", to_u32, &task, &image, to_u32, &budget)) {
        return NULL;
    }
    const int rc = tac_board_sched_add_lite(task, image.buf, (size_t)image.len, budget);
    if (rc >= 0) {
        Py_buffer *held = &task_images[TAC_VARIANTS * task + TAC_VARIANT_LITE];
        if (held->obj != NULL) {
            PyBuffer_Release(held);
        }
        *held = image;
    } else {
        PyBuffer_Release(&image);
    }
    return code(rc);
}

static PyObject *tactus_sched_set_mode(PyObject *self, PyObject *args) {
    (void)self;
    uint32_t mode, task, period, deadline, budget, variant;
    if (!PyArg_ParseTuple(args, "O&O&O&O&O&O&", to_u32, &mode, to_u32, &task, to_u32, &period,
                          to_u32, &deadline, to_u32, &budget, to_u32, &variant)) {
        return NULL;
    }
    return code(tac_board_sched_set_mode(mode, task, period, deadline, budget, variant));
}

static PyObject *tactus_sched_want_mode(PyObject *self, PyObject *args) {
    (void)self;
    uint32_t mode;
    if (!PyArg_ParseTuple(args, "O&", to_u32, &mode)) {
        return NULL;
    }
    return code(tac_board_sched_want_mode(mode));
}

static PyObject *tactus_sched_start(PyObject *self, PyObject *args) {
    (void)self;
    uint32_t delay_us, speed;
    if (!PyArg_ParseTuple(args, "O&O&", to_u32, &delay_us, to_u32, &speed)) {
        return NULL;
    }
    return code(tac_board_sched_start(delay_us, speed));
}

static PyObject *tactus_sched_stop(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    tac_board_sched_stop();
    Py_RETURN_NONE;
}

static PyObject *tactus_sched_run(PyObject *self, PyObject *args) {
    (void)self;
    uint32_t limit_us;
    if (!PyArg_ParseTuple(args, "O&", to_u32, &limit_us)) {
        return NULL;
    }
    int event;
    Py_BEGIN_ALLOW_THREADS;
    event = tac_board_sched_run(limit_us);
    Py_END_ALLOW_THREADS;
    return code(event);
}

static PyObject *tactus_sched_feed(PyObject *self, PyObject *args) {
    (void)self;
    int tag;
    if (!PyArg_ParseTuple(args, "i", &tag)) {
        return NULL;
    }
    int event;
    Py_BEGIN_ALLOW_THREADS;
    event = tac_board_sched_feed(tag);
    Py_END_ALLOW_THREADS;
    return code(event);
}

static PyObject *tactus_sched_input(PyObject *self, PyObject *args) {
    (void)self;
    uint32_t task, variant;
    if (!PyArg_ParseTuple(args, "O&O&", to_u32, &task, to_u32, &variant)) {
        return NULL;
    }
    return view_object(tac_board_sched_input(task, variant), PyBUF_WRITE);
}

static PyObject *tactus_arena_touched(PyObject *self, PyObject *args) {
    (void)self;
    uint32_t task;
    if (!PyArg_ParseTuple(args, "O&", to_u32, &task)) {
        return NULL;
    }
    return PyLong_FromUnsignedLong(tac_board_arena_touched(task));
}

static PyObject *tactus_sched_output(PyObject *self, PyObject *args) {
    (void)self;
    uint32_t task;
    if (!PyArg_ParseTuple(args, "O&", to_u32, &task)) {
        return NULL;
    }
    return view_object(tac_board_sched_output(task), PyBUF_READ);
}

static PyObject *tactus_sched_background(PyObject *self, PyObject *args) {
    (void)self;
    uint32_t started_us, is_collection;
    if (!PyArg_ParseTuple(args, "O&O&", to_u32, &started_us, to_u32, &is_collection)) {
        return NULL;
    }
    tac_board_sched_background(started_us, is_collection);
    Py_RETURN_NONE;
}

static PyObject *tactus_sched_loop(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer out;
    if (!PyArg_ParseTuple(args, "w*", &out)) {
        return NULL;
    }
    const int bytes = tac_board_sched_loop(out.buf, (size_t)out.len);
    PyBuffer_Release(&out);
    return code(bytes);
}

static PyObject *tactus_sched_frame(PyObject *self, PyObject *args) {
    (void)self;
    uint32_t sequence, with_events;
    if (!PyArg_ParseTuple(args, "O&O&", to_u32, &sequence, to_u32, &with_events)) {
        return NULL;
    }
    return code(tac_board_sched_frame(sequence, with_events));
}

static PyObject *tactus_sched_frozen(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    return code(tac_board_sched_frozen());
}

// Reference counting has freed what the loop dropped; settle() has switched the collector off.
static PyObject *tactus_collect(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    Py_RETURN_NONE;
}

static PyObject *tactus_litter(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    return PyLong_FromLong(0);
}

static PyObject *tactus_sched_stats(PyObject *self, PyObject *args) {
    (void)self;
    uint32_t task;
    Py_buffer out;
    if (!PyArg_ParseTuple(args, "O&w*", to_u32, &task, &out)) {
        return NULL;
    }
    const int bytes = tac_board_sched_stats(task, out.buf, (size_t)out.len);
    PyBuffer_Release(&out);
    return code(bytes);
}

static PyObject *tactus_sched_longest(PyObject *self, PyObject *args) {
    (void)self;
    uint32_t task, longest_us[2];
    if (!PyArg_ParseTuple(args, "O&", to_u32, &task)) {
        return NULL;
    }
    const int rc = tac_board_sched_longest(task, longest_us);
    return rc < 0 ? code(rc) : Py_BuildValue("(II)", longest_us[0], longest_us[1]);
}

static PyObject *tactus_sched_results(PyObject *self, PyObject *args) {
    (void)self;
    uint32_t cursor, max_records;
    Py_buffer out;
    if (!PyArg_ParseTuple(args, "O&O&w*", to_u32, &cursor, to_u32, &max_records, &out)) {
        return NULL;
    }
    const int bytes = tac_board_sched_results(cursor, max_records, out.buf, (size_t)out.len);
    PyBuffer_Release(&out);
    return code(bytes);
}

static PyObject *tactus_sched_events(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer out;
    if (!PyArg_ParseTuple(args, "w*", &out)) {
        return NULL;
    }
    const int bytes = tac_board_sched_events(out.buf, (size_t)out.len);
    PyBuffer_Release(&out);
    return code(bytes);
}

static PyObject *tactus_quantize_i16(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer samples, out;
    uint32_t first, count, lsb_bits, scale_bits;
    int zero_point;
    if (!PyArg_ParseTuple(args, "y*O&O&O&O&iw*", &samples, to_u32, &first, to_u32, &count, to_u32,
                          &lsb_bits, to_u32, &scale_bits, &zero_point, &out)) {
        return NULL;
    }
    const int rc = tac_board_quantize_i16(samples.buf, (size_t)samples.len, first, count, lsb_bits,
                                          scale_bits, zero_point, out.buf, (size_t)out.len);
    PyBuffer_Release(&samples);
    PyBuffer_Release(&out);
    return code(rc);
}

static PyObject *tactus_scale_i16(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer samples, out;
    uint32_t first, count, lsb_bits;
    if (!PyArg_ParseTuple(args, "y*O&O&O&w*", &samples, to_u32, &first, to_u32, &count, to_u32,
                          &lsb_bits, &out)) {
        return NULL;
    }
    const int rc = tac_board_scale_i16(samples.buf, (size_t)samples.len, first, count, lsb_bits,
                                       out.buf, (size_t)out.len);
    PyBuffer_Release(&samples);
    PyBuffer_Release(&out);
    return code(rc);
}

// ---- link

static PyObject *tactus_boot_id(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    return PyLong_FromUnsignedLong(tac_board_boot_id());
}

static PyObject *tactus_temperature_mc(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    const int32_t value = tac_port_temperature_mc();
    if (value == TAC_NO_TEMPERATURE) {
        Py_RETURN_NONE;
    }
    return PyLong_FromLong(value);
}

static PyObject *tactus_memory_peaks(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    uint32_t heap = 0, stack = 0;
    tac_port_memory_peaks(&heap, &stack);
    return Py_BuildValue("(II)", heap, stack);
}

static PyObject *tactus_link_poll(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    return code(tac_board_link_poll());
}

static PyObject *tactus_link_rx(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    return view_object(tac_board_link_rx(), PyBUF_READ);
}

static PyObject *tactus_link_done(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    tac_board_link_done();
    Py_RETURN_NONE;
}

static PyObject *tactus_link_tx(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    return view_object(tac_board_link_tx(), PyBUF_WRITE);
}

static PyObject *tactus_link_send(PyObject *self, PyObject *args) {
    (void)self;
    uint32_t bytes;
    if (!PyArg_ParseTuple(args, "O&", to_u32, &bytes)) {
        return NULL;
    }
    return code(tac_board_link_send(bytes));
}

static PyObject *tactus_link_stream(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    tac_board_link_stream();
    Py_RETURN_NONE;
}

static PyObject *tactus_link_counters(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    uint32_t n[5];
    tac_board_link_counters(n);
    return Py_BuildValue("(kkkkk)", (unsigned long)n[0], (unsigned long)n[1], (unsigned long)n[2],
                         (unsigned long)n[3], (unsigned long)n[4]);
}

static PyObject *tactus_crc16(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer data;
    uint32_t crc = 0;
    if (!PyArg_ParseTuple(args, "y*|O&", &data, to_u32, &crc)) {
        return NULL;
    }
    crc = tac_crc16((uint16_t)crc, data.buf, (size_t)data.len);
    PyBuffer_Release(&data);
    return code((int)crc);
}

// ---- store

static PyObject *tactus_slot_info(PyObject *self, PyObject *args) {
    (void)self;
    uint32_t slot;
    if (!PyArg_ParseTuple(args, "O&", to_u32, &slot)) {
        return NULL;
    }
    tac_slot_info_t info;
    const int rc = tac_board_slot_info(slot, &info);
    if (rc < 0) {
        return code(rc);
    }
    return Py_BuildValue("(ikkiky#)", info.state, (unsigned long)info.length,
                         (unsigned long)info.received, info.reason, (unsigned long)info.sequence,
                         info.sha256, (Py_ssize_t)sizeof info.sha256);
}

static PyObject *tactus_slot_begin(PyObject *self, PyObject *args) {
    (void)self;
    uint32_t slot, length;
    Py_buffer sha256;
    if (!PyArg_ParseTuple(args, "O&O&y*", to_u32, &slot, to_u32, &length, &sha256)) {
        return NULL;
    }
    PyObject *result = NULL;
    if (has_size(&sha256, 32)) {
        result = code(tac_board_slot_begin(slot, length, sha256.buf));
    }
    PyBuffer_Release(&sha256);
    return result;
}

static PyObject *tactus_slot_write(PyObject *self, PyObject *args) {
    (void)self;
    uint32_t slot, offset;
    Py_buffer data;
    if (!PyArg_ParseTuple(args, "O&O&y*", to_u32, &slot, to_u32, &offset, &data)) {
        return NULL;
    }
    const int rc = tac_board_slot_write(slot, offset, data.buf, (size_t)data.len);
    PyBuffer_Release(&data);
    return code(rc);
}

static PyObject *tactus_slot_finish(PyObject *self, PyObject *args) {
    (void)self;
    uint32_t slot, most_bytes;
    if (!PyArg_ParseTuple(args, "O&O&", to_u32, &slot, to_u32, &most_bytes)) {
        return NULL;
    }
    return code(tac_board_slot_finish(slot, most_bytes));
}

static PyObject *tactus_slot_mark(PyObject *self, PyObject *args) {
    (void)self;
    uint32_t slot, state, reason;
    tac_floors_t floors = {0, 0};
    if (!PyArg_ParseTuple(args, "O&O&O&O&|O&", to_u32, &slot, to_u32, &state, to_u32, &reason,
                          to_u32, &floors.counter, to_u32, &floors.key_version)) {
        return NULL;
    }
    return code(tac_board_slot_mark(slot, state, reason, floors));
}

static PyObject *tactus_slot_erase(PyObject *self, PyObject *args) {
    (void)self;
    uint32_t slot;
    if (!PyArg_ParseTuple(args, "O&", to_u32, &slot)) {
        return NULL;
    }
    return code(tac_board_slot_erase(slot));
}

static PyObject *tactus_slot_select(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    return code(tac_board_slot_select());
}

static PyObject *tactus_slot_data(PyObject *self, PyObject *args) {
    (void)self;
    uint32_t slot;
    if (!PyArg_ParseTuple(args, "O&", to_u32, &slot)) {
        return NULL;
    }
    return view_object(tac_board_slot_data(slot), PyBUF_READ);
}

static PyObject *tactus_patch_begin(PyObject *self, PyObject *args) {
    (void)self;
    uint32_t slot;
    if (!PyArg_ParseTuple(args, "O&", to_u32, &slot)) {
        return NULL;
    }
    return code(tac_board_patch_begin(slot));
}

static PyObject *tactus_patch_check(PyObject *self, PyObject *args) {
    (void)self;
    uint32_t slot, most;
    Py_buffer ops;
    if (!PyArg_ParseTuple(args, "O&y*O&", to_u32, &slot, &ops, to_u32, &most)) {
        return NULL;
    }
    const int rc = tac_board_patch_check(slot, ops.buf, (size_t)ops.len, most);
    PyBuffer_Release(&ops);
    return code(rc);
}

static PyObject *tactus_patch_step(PyObject *self, PyObject *args) {
    (void)self;
    uint32_t slot, most;
    Py_buffer ops;
    if (!PyArg_ParseTuple(args, "O&y*O&", to_u32, &slot, &ops, to_u32, &most)) {
        return NULL;
    }
    const int rc = tac_board_patch_step(slot, ops.buf, (size_t)ops.len, most);
    PyBuffer_Release(&ops);
    return code(rc);
}

static PyObject *tactus_counter(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    return PyLong_FromUnsignedLong(tac_board_floors().counter);
}

static PyObject *tactus_key_version(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    return PyLong_FromUnsignedLong(tac_board_floors().key_version);
}

static PyObject *tactus_replay(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    return view_object(tac_board_replay(), PyBUF_READ);
}

// ---- checks in pieces. A context is a bytearray that Python owns.

static int is_context(const Py_buffer *buffer, size_t size) {
    return has_size(buffer, (Py_ssize_t)size) &&
           ((uintptr_t)buffer->buf % sizeof(uint64_t) == 0 ||
            (PyErr_SetString(PyExc_ValueError, "a context is wanted"), 0));
}

static PyObject *tactus_sha256_begin(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    tac_sha256_t hash = {.bytes = 0};
    tac_sha256_init(&hash);
    return PyByteArray_FromStringAndSize((const char *)&hash, sizeof hash);
}

static PyObject *tactus_sha256_update(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer context, data;
    if (!PyArg_ParseTuple(args, "w*y*", &context, &data)) {
        return NULL;
    }
    const int ok = is_context(&context, sizeof(tac_sha256_t));
    if (ok) {
        tac_sha256_update(context.buf, data.buf, (size_t)data.len);
    }
    PyBuffer_Release(&context);
    PyBuffer_Release(&data);
    return ok ? Py_NewRef(Py_None) : NULL;
}

static PyObject *tactus_sha256_end(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer context;
    uint8_t digest[32];
    if (!PyArg_ParseTuple(args, "w*", &context)) {
        return NULL;
    }
    const int ok = is_context(&context, sizeof(tac_sha256_t));
    if (ok) {
        tac_sha256_final(context.buf, digest);
    }
    PyBuffer_Release(&context);
    return ok ? PyBytes_FromStringAndSize((const char *)digest, sizeof digest) : NULL;
}

static PyObject *tactus_ed25519_begin(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer signature, key;
    if (!PyArg_ParseTuple(args, "y*y*", &signature, &key)) {
        return NULL;
    }
    PyObject *result = NULL;
    if (has_size(&signature, 64) && has_size(&key, 32)) {
        tac_ed25519_t check;
        memset(&check, 0, sizeof check); // what begin() leaves alone is copied, too
        tac_ed25519_begin(&check, signature.buf, key.buf);
        result = PyByteArray_FromStringAndSize((const char *)&check, sizeof check);
    }
    PyBuffer_Release(&signature);
    PyBuffer_Release(&key);
    return result;
}

static PyObject *tactus_ed25519_update(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer context, message;
    if (!PyArg_ParseTuple(args, "w*y*", &context, &message)) {
        return NULL;
    }
    const int ok = is_context(&context, sizeof(tac_ed25519_t));
    if (ok) {
        tac_ed25519_update(context.buf, message.buf, (size_t)message.len);
    }
    PyBuffer_Release(&context);
    PyBuffer_Release(&message);
    return ok ? Py_NewRef(Py_None) : NULL;
}

static PyObject *tactus_ed25519_step(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer context;
    if (!PyArg_ParseTuple(args, "w*", &context)) {
        return NULL;
    }
    PyObject *result = NULL;
    if (is_context(&context, sizeof(tac_ed25519_t))) {
        result = code(tac_ed25519_step(context.buf));
    }
    PyBuffer_Release(&context);
    return result;
}

static PyObject *tactus_root_keys(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    const tac_view_t keys = tac_board_root_keys();
    return PyBytes_FromStringAndSize((const char *)keys.data, (Py_ssize_t)keys.bytes);
}

// ---- telemetry

static PyObject *tactus_telemetry_info(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    tac_board_telemetry_t info;
    const int rc = tac_board_telemetry_info(&info);
    if (rc < 0) {
        return code(rc);
    }
    return Py_BuildValue("(kkkkk)", (unsigned long)info.oldest, (unsigned long)info.next,
                         (unsigned long)info.acknowledged, (unsigned long)info.lost,
                         (unsigned long)info.bytes);
}

static PyObject *tactus_telemetry_prepare(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    return code(tac_board_telemetry_prepare());
}

static PyObject *tactus_telemetry_append(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer data;
    if (!PyArg_ParseTuple(args, "y*", &data)) {
        return NULL;
    }
    const int rc = tac_board_telemetry_append(data.buf, (size_t)data.len);
    PyBuffer_Release(&data);
    return code(rc);
}

static PyObject *tactus_telemetry_acknowledge(PyObject *self, PyObject *args) {
    (void)self;
    uint32_t sequence;
    return PyArg_ParseTuple(args, "O&", to_u32, &sequence)
               ? code(tac_board_telemetry_acknowledge(sequence))
               : NULL;
}

static PyObject *tactus_telemetry_records(PyObject *self, PyObject *args) {
    (void)self;
    uint32_t cursor;
    Py_buffer out;
    if (!PyArg_ParseTuple(args, "O&w*", to_u32, &cursor, &out)) {
        return NULL;
    }
    const int bytes = tac_board_telemetry_records(cursor, out.buf, (size_t)out.len);
    PyBuffer_Release(&out);
    return code(bytes);
}

static PyObject *tactus_telemetry_contents(PyObject *self, PyObject *args) {
    (void)self;
    uint32_t cursor, skip, last;
    Py_buffer out;
    if (!PyArg_ParseTuple(args, "O&O&O&w*", to_u32, &cursor, to_u32, &skip, to_u32, &last, &out)) {
        return NULL;
    }
    const int bytes = tac_board_telemetry_contents(cursor, skip, last, out.buf, (size_t)out.len);
    PyBuffer_Release(&out);
    return code(bytes);
}

static PyObject *tactus_percentiles(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer packed;
    uint32_t at, found[3];
    if (!PyArg_ParseTuple(args, "y*O&", &packed, to_u32, &at)) {
        return NULL;
    }
    const int end = tac_board_percentiles(packed.buf, (size_t)packed.len, at, found);
    PyBuffer_Release(&packed);
    return end < 0 ? code(end)
                   : Py_BuildValue("(ikkk)", end, (unsigned long)found[0], (unsigned long)found[1],
                                   (unsigned long)found[2]);
}

static PyObject *tactus_time_ms(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    return PyLong_FromUnsignedLongLong(tac_board_time_ms());
}

static PyObject *tactus_trial(PyObject *self, PyObject *args) {
    (void)self;
    uint32_t figure, task;
    if (!PyArg_ParseTuple(args, "O&O&", to_u32, &figure, to_u32, &task)) {
        return NULL;
    }
    return code(tac_board_trial(figure, task));
}

static PyObject *tactus_watchdog(PyObject *self, PyObject *args) {
    (void)self;
    uint32_t timeout_us;
    if (!PyArg_ParseTuple(args, "O&", to_u32, &timeout_us)) {
        return NULL;
    }
    tac_port_watchdog(timeout_us);
    Py_RETURN_NONE;
}

static PyObject *tactus_fault(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    tac_port_fault();
}

#define PLAIN(name) {#name, tactus_##name, METH_NOARGS, NULL}
#define TAKES(name) {#name, tactus_##name, METH_VARARGS, NULL}

// clang-format off
static PyMethodDef methods[] = {
    {"init", (PyCFunction)(void (*)(void))tactus_init, METH_VARARGS | METH_KEYWORDS, NULL},
    PLAIN(board), PLAIN(memory), PLAIN(time_us), PLAIN(uptime_ms), PLAIN(reset_cause), PLAIN(reset),
    TAKES(plan_check), TAKES(plan_info), TAKES(engine_run), TAKES(engine_times),
    PLAIN(boot_id), PLAIN(temperature_mc), PLAIN(memory_peaks), PLAIN(sched_reset), TAKES(sched_add), TAKES(sched_start), PLAIN(sched_stop), TAKES(sched_run),
    TAKES(sched_input), TAKES(sched_output), TAKES(sched_feed), TAKES(sched_add_lite),
    TAKES(sched_set_mode), TAKES(sched_want_mode), TAKES(sched_loop), TAKES(sched_frame), PLAIN(sched_frozen),
    PLAIN(collect), PLAIN(litter), TAKES(sched_longest),
    TAKES(sched_background), TAKES(sched_stats), TAKES(sched_results), TAKES(sched_events),
    TAKES(arena_touched), TAKES(quantize_i16), TAKES(scale_i16),
    PLAIN(link_poll), PLAIN(link_rx), PLAIN(link_done), PLAIN(link_tx), TAKES(link_send),
    PLAIN(link_stream), PLAIN(link_counters), TAKES(crc16),
    TAKES(slot_info), TAKES(slot_begin), TAKES(slot_write), TAKES(slot_finish), TAKES(slot_mark),
    TAKES(slot_erase), PLAIN(slot_select), TAKES(slot_data), PLAIN(counter), PLAIN(key_version),
    TAKES(patch_begin), TAKES(patch_check), TAKES(patch_step), PLAIN(replay),
    PLAIN(sha256_begin), TAKES(sha256_update), TAKES(sha256_end),
    TAKES(ed25519_begin), TAKES(ed25519_update), TAKES(ed25519_step), PLAIN(root_keys),
    PLAIN(telemetry_info), PLAIN(telemetry_prepare), TAKES(telemetry_append), TAKES(telemetry_acknowledge),
    TAKES(telemetry_records), TAKES(telemetry_contents), TAKES(percentiles), PLAIN(time_ms),
    TAKES(trial), TAKES(watchdog), PLAIN(fault), PLAIN(crashes), PLAIN(crashes_over),
    {NULL, NULL, 0, NULL},
};
// clang-format on

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_tactus",
    .m_doc = "Engine, scheduler, store and link of a board, in C.",
    .m_size = -1, // one static context: no sub-interpreters
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__tactus(void) {
    return PyModule_Create(&module);
}
