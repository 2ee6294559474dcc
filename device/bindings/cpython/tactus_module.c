// SPDX-License-Identifier: MIT
// `_tactus` for CPython 3.11 and later (limited API): arguments in, board_context out. The GIL is
// released where the call may last: dispatching and one-shot runs. One thread at a time may use the
// module.
#include "bindings/cpython/tactus_module.h"

#include <string.h>

#include "bindings/board_health.h"
#include "bindings/board_telemetry.h"
#include "bindings/board_trial.h"
#include "engine/plan.h"
#include "port/port.h"
#include "tac_board.h"

enum { LOW_BITS = 0x3fffffff };

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
    tactus_forget_images();
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

// ---- health

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

// clang-format off
static PyMethodDef methods[] = {
    {"init", (PyCFunction)(void (*)(void))tactus_init, METH_VARARGS | METH_KEYWORDS, NULL},
    PLAIN(board), PLAIN(memory), PLAIN(time_us), PLAIN(uptime_ms), PLAIN(reset_cause),
    PLAIN(reset), TAKES(plan_check), TAKES(plan_info), TAKES(engine_run), TAKES(engine_times),
    PLAIN(boot_id), PLAIN(temperature_mc), PLAIN(memory_peaks), PLAIN(time_ms), TAKES(trial),
    TAKES(watchdog), PLAIN(fault), PLAIN(crashes), PLAIN(crashes_over),
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
    PyObject *made = PyModule_Create(&module);
    if (made == NULL || PyModule_AddFunctions(made, tactus_sched_methods) != 0 ||
        PyModule_AddFunctions(made, tactus_store_methods) != 0 ||
        PyModule_AddFunctions(made, tactus_link_methods) != 0) {
        Py_CLEAR(made);
    }
    return made;
}
