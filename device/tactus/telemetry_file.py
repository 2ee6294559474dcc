"""The telemetry ring as a file: the records of one moment, one CBOR item behind the other (RFC 8742)."""

import _tactus

from protocol import smp
from tactus.request import GroupError

_CURSOR_BYTES = 8


class TelemetryFile:
    """All records that can be read when it is opened. Records that come later are not in it.

    It keeps no copy: once the ring has come round to its first record, reading fails. Reads that go on where
    one ended, or begin there again, cost a sector; others walk there from the start.
    """

    def __init__(self, board):
        self._board = board
        self._first, following, _, _, self._size = _tactus.telemetry_info()
        self._last = following - 1
        self._begin = self._end = (0, self._first, 0)  # offset, sequence, bytes of it

    def __len__(self):
        return self._size

    def read_pieces(self, offset, size):
        """Up to `size` bytes from `offset` on, in pieces: a view of the board's scratch. Raises GroupError."""
        self._board.telemetry.hold()
        at = self._end if self._end[0] == offset else self._begin
        if at[0] > offset:
            at = (0, self._first, 0)
        room = len(self._board.scratch) - _CURSOR_BYTES
        while at[0] < offset:
            at = self._step(at, min(room, offset - at[0]))
            yield
        self._begin = at
        self._end = self._step(at, min(size, room, self._size - offset))
        return self._board.scratch[_CURSOR_BYTES : _CURSOR_BYTES + self._end[0] - offset]

    def _step(self, at, size):
        offset, sequence, skip = at
        if size == 0:
            return at
        scratch = self._board.scratch[: _CURSOR_BYTES + size]
        if _tactus.telemetry_info()[0] > self._first:
            raise GroupError(smp.GROUP_FS, smp.FS_OFFSET_NOT_VALID)
        read = _tactus.telemetry_contents(sequence, skip, self._last, scratch) - _CURSOR_BYTES
        if read != size:
            raise GroupError(smp.GROUP_FS, smp.FS_OFFSET_NOT_VALID)
        sequence = int.from_bytes(bytes(scratch[:4]), "little")
        return offset + read, sequence, int.from_bytes(bytes(scratch[4:8]), "little")
