"""Where a task's input comes from. A source writes samples straight into the arena, in int8 or in float32.

What fills() gives runs in the loop under the heap lock: small integers only, no slices, no new names. Generators, because
going on in one costs a fraction of calling a method, and its variables a fraction of attributes.
"""

from array import array

import _tactus

from protocol import errors, replay
from protocol.manifest import elements
from tactus.refusal import RecordingRefused


class ReplaySource:
    """Plays the windows of a recorded stream in order, round and round."""

    def __init__(self, record, image, task):
        source = task["source"]
        tensor = task["input"]
        start = record.data_offset
        size = 2 * record.sample_count * record.channels
        self._samples = image[start : start + size]
        start = record.windows_offset
        # Index of each window's first int16, copied once: reading u32 from flash in the loop costs more bytecodes.
        self._starts = array("I", bytes(4 * record.window_count))
        for index in range(record.window_count):
            at = start + 4 * index
            self._starts[index] = _u32(image, at) * record.channels
        self._window_count = record.window_count
        self._count = source["window"] * record.channels
        self._lsb_bits = source["lsb_f32"]
        self._is_float = tensor["dtype"] == "float32"
        self._scale_bits = tensor["scale_f32"]
        self._zero_point = tensor["zero_point"]
        self._out = None
        self._lite_out = None
        self._lite = None
        if "lite" in task:
            lite = task["lite"]["input"]
            self._lite = (lite["dtype"] == "float32", lite["scale_f32"], lite["zero_point"])

    def bind(self, task_index):
        """Take the task's input buffers. Before sched_start()."""
        self._out = _tactus.sched_input(task_index, 0)
        if self._lite:
            self._lite_out = _tactus.sched_input(task_index, 1)

    def fills(self):
        """The functions that fill for the full variant, for the lite one, and for lite with the same window again.

        Each writes one window as the model takes it and returns its index, the tag of the job, or a negative code.
        They share the place in the recording, which is at its start. After bind().
        """
        place = array("i", [self._window_count - 1])
        full = (self._is_float, self._scale_bits, self._zero_point)
        fill = self._filling(place, True, full, self._out).__next__
        if self._lite is None:
            return [fill, fill, fill]
        lite = self._filling(place, True, self._lite, self._lite_out).__next__
        return [fill, lite, self._filling(place, False, self._lite, self._lite_out).__next__]

    def _filling(self, place, steps, tensor, out):
        # place: the window that was written last
        # The first call runs down to the first yield, in the loop, too: no tuples of more than three.
        is_float, scale, zero_point = tensor
        samples = self._samples
        starts = self._starts
        count = self._count
        lsb = self._lsb_bits
        quantize = _tactus.quantize_i16
        scaled = _tactus.scale_i16
        final = self._window_count - 1
        while True:
            window = place[0]
            if steps:
                window = window + 1 if window < final else 0
                place[0] = window
            if is_float:
                code = scaled(samples, starts[window], count, lsb, out)
            else:
                code = quantize(samples, starts[window], count, lsb, scale, zero_point, out)
            yield window if code >= 0 else code


def check(task, image):
    """Check that a task's recording is on this board and fits its model, in pieces. Raises RecordingRefused."""
    record = _record(task, image)
    name = task["source"]["name"]
    window = task["source"]["window"]
    if window * record.channels != elements(task["input"]):
        raise RecordingRefused(
            errors.PKG_FORMAT, "recording %s has %d channels" % (name, record.channels)
        )
    last = record.sample_count - window
    for at in range(record.windows_offset, record.windows_offset + 4 * record.window_count, 4):
        if at & 127 == 0:  # 32 of them
            yield
        if _u32(image, at) > last:
            raise RecordingRefused(errors.CORRUPT, "a window of recording %s leaves it" % name)


def open_source(task, image):
    """The source of a checked task."""
    return ReplaySource(_record(task, image), image, task)


def _u32(image, at):
    return image[at] | image[at + 1] << 8 | image[at + 2] << 16 | image[at + 3] << 24


def _record(task, image):
    name = task["source"]["name"]
    try:
        record = replay.find(image, name)
    except replay.ReplayError as error:
        raise RecordingRefused(errors.NOT_FOUND, "no recordings on this board: %s" % error)
    if record is None:
        raise RecordingRefused(errors.NOT_FOUND, "recording " + name)
    return record
