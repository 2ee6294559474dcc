// SPDX-License-Identifier: MIT
// What the files of this binding share. tactus_module.c puts their tables of functions together.
#ifndef TAC_CPYTHON_TACTUS_MODULE_H
#define TAC_CPYTHON_TACTUS_MODULE_H

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>

#include "bindings/board_context.h"

#define PLAIN(name) {#name, tactus_##name, METH_NOARGS, NULL}
#define TAKES(name) {#name, tactus_##name, METH_VARARGS, NULL}

extern PyMethodDef tactus_sched_methods[], tactus_store_methods[], tactus_link_methods[];

void tactus_forget_images(void); // of tasks, which are held until now

static inline PyObject *code(int value) {
    return PyLong_FromLong(value);
}

// "O&" converter: an int in 0..2^32-1. TypeError or ValueError otherwise.
static inline int to_u32(PyObject *arg, void *out) {
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

static inline int has_size(const Py_buffer *buffer, Py_ssize_t size) {
    if (buffer->len != size) {
        PyErr_Format(PyExc_ValueError, "%zd bytes wanted, not %zd", size, buffer->len);
        return 0;
    }
    return 1;
}

static inline PyObject *view_object(tac_view_t view, int flags) {
    if (view.data == NULL) {
        PyErr_SetString(PyExc_ValueError, "nothing there");
        return NULL;
    }
    return PyMemoryView_FromMemory((char *)view.data, (Py_ssize_t)view.bytes, flags);
}

#endif
