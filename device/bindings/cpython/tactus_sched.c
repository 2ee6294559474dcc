// SPDX-License-Identifier: MIT
// `_tactus` for CPython: the scheduler, its statistics and the samples it feeds.
#include "bindings/cpython/tactus_module.h"

#include "sched/sched.h"

// Images of tasks: the dispatcher reads them after the call that named them has returned.
static Py_buffer task_images[TAC_TASKS_MAX * TAC_VARIANTS];

void tactus_forget_images(void) {
    for (size_t i = 0; i < TAC_TASKS_MAX * TAC_VARIANTS; i++) {
        PyBuffer_Release(&task_images[i]); // does nothing for one that is not held
    }
}

static PyObject *tactus_sched_reset(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    tac_board_sched_reset();
    tactus_forget_images();
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

// clang-format off
PyMethodDef tactus_sched_methods[] = {
    PLAIN(sched_reset), TAKES(sched_add), TAKES(sched_add_lite), TAKES(sched_set_mode),
    TAKES(sched_want_mode), TAKES(sched_start), PLAIN(sched_stop), TAKES(sched_run),
    TAKES(sched_feed), TAKES(sched_input), TAKES(arena_touched), TAKES(sched_output),
    TAKES(sched_background), TAKES(sched_loop), TAKES(sched_frame), PLAIN(sched_frozen),
    PLAIN(collect), PLAIN(litter), TAKES(sched_stats), TAKES(sched_longest), TAKES(sched_results),
    TAKES(sched_events), TAKES(quantize_i16), TAKES(scale_i16),
    {NULL, NULL, 0, NULL},
};
// clang-format on
