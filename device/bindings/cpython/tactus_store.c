// SPDX-License-Identifier: MIT
// `_tactus` for CPython: slots, patches, and the checks of a package.
#include "bindings/cpython/tactus_module.h"

#include <string.h>

#include "bindings/board_patch.h"
#include "store/ed25519.h"
#include "store/sha256.h"

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

// clang-format off
PyMethodDef tactus_store_methods[] = {
    TAKES(slot_info), TAKES(slot_begin), TAKES(slot_write), TAKES(slot_finish), TAKES(slot_mark),
    TAKES(slot_erase), PLAIN(slot_select), TAKES(slot_data), TAKES(patch_begin),
    TAKES(patch_check), TAKES(patch_step), PLAIN(counter), PLAIN(key_version), PLAIN(replay),
    PLAIN(sha256_begin), TAKES(sha256_update), TAKES(sha256_end), TAKES(ed25519_begin),
    TAKES(ed25519_update), TAKES(ed25519_step), PLAIN(root_keys),
    {NULL, NULL, 0, NULL},
};
// clang-format on
