"""The text that shares the port with SMP frames: print output, tracebacks, the REPL."""

from collections import deque

# First and following lines of a console frame (SPEC.md, "Console framing").
_MARKERS = (b"\x06\x09", b"\x04\x14")
_LINE_MAX = 1024


class LogText:
    """Collects the lines outside frames; keeps the last `keep` of them."""

    def __init__(self, keep: int = 1000) -> None:
        self.lines: deque[str] = deque(maxlen=keep)
        self._line = bytearray()
        self._in_frame = False

    def feed(self, data: bytes) -> None:
        """Take received bytes, frames included; frame lines are left out."""
        for byte in data:
            if byte == 0x0A:
                if not self._in_frame:
                    self._finish()
                self._in_frame = False
            elif not self._in_frame:
                self._line.append(byte)
                if self._line.endswith(_MARKERS):
                    del self._line[-2:]
                    self._in_frame = True
                elif len(self._line) >= _LINE_MAX:
                    self._finish()

    def _finish(self) -> None:
        text = self._line.decode("utf-8", "replace").strip("\r\x00")
        self._line.clear()
        if text:
            self.lines.append("".join(c if c.isprintable() or c == "\t" else "�" for c in text))
