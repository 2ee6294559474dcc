"""Where a task's input comes from. A source writes int8 samples straight into the arena.

fill() runs in the loop under the heap lock: small integers only, no slices, no new names.
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
        self._scale_bits = tensor["scale_f32"]
        self._zero_point = tensor["zero_point"]
        self._next = 0
        self._last = 0
        self._out = None
        self._lite_out = None
        self._lite_scale_bits = 0
        self._lite_zero_point = 0
        if "lite" in task:
            self._lite_scale_bits = task["lite"]["input"]["scale_f32"]
            self._lite_zero_point = task["lite"]["input"]["zero_point"]

    def bind(self, task_index):
        """Take the task's input buffers and start over at the first window. Before sched_start()."""
        self._out = _tactus.sched_input(task_index, 0)
        if self._lite_scale_bits:
            self._lite_out = _tactus.sched_input(task_index, 1)
        self._next = 0

    def fills(self):
        """The functions that fill for the full variant, for the lite one, and for lite with the same window again.

        Each writes one window, quantized, and returns its index, the tag of the job, or a negative code.
        """
        return [self.fill, self.fill_lite, self.fill_again]

    def fill(self):
        """Write the next window for the full variant."""
        tag = self._next
        code = _tactus.quantize_i16(
            self._samples,
            self._starts[tag],
            self._count,
            self._lsb_bits,
            self._scale_bits,
            self._zero_point,
            self._out,
        )
        self._last = tag
        following = tag + 1
        self._next = following if following < self._window_count else 0
        return tag if code >= 0 else code

    def fill_lite(self):
        """Write the next window for the lite variant."""
        tag = self._next
        self._last = tag
        following = tag + 1
        self._next = following if following < self._window_count else 0
        return self.fill_again()

    def fill_again(self):
        """Write the last window again, for the lite variant."""
        tag = self._last
        code = _tactus.quantize_i16(
            self._samples,
            self._starts[tag],
            self._count,
            self._lsb_bits,
            self._lite_scale_bits,
            self._lite_zero_point,
            self._lite_out,
        )
        return tag if code >= 0 else code


def check(task, image):
    """Check that a task's recording is on this board and fits its model. Raises RecordingRefused."""
    record = _record(task, image)
    name = task["source"]["name"]
    window = task["source"]["window"]
    if window * record.channels != elements(task["input"]):
        raise RecordingRefused(
            errors.PKG_FORMAT, "recording %s has %d channels" % (name, record.channels)
        )
    last = record.sample_count - window
    for at in range(record.windows_offset, record.windows_offset + 4 * record.window_count, 4):
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
