// SPDX-License-Identifier: MIT
// `_tactus` for CPython: the link, and the telemetry that is kept for it.
#include "bindings/cpython/tactus_module.h"

#include "bindings/board_telemetry.h"
#include "link/console.h"

// ---- link

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

// clang-format off
PyMethodDef tactus_link_methods[] = {
    PLAIN(link_poll), PLAIN(link_rx), PLAIN(link_done), PLAIN(link_tx), TAKES(link_send),
    PLAIN(link_stream), PLAIN(link_counters), TAKES(crc16), PLAIN(telemetry_info),
    PLAIN(telemetry_prepare), TAKES(telemetry_append), TAKES(telemetry_acknowledge),
    TAKES(telemetry_records), TAKES(telemetry_contents), TAKES(percentiles),
    {NULL, NULL, 0, NULL},
};
// clang-format on
