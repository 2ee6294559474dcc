"""SMP messages as base64 lines on a console, mixed with any other text: the framing of Zephyr and MCUboot.

    raw = u16be(len(message) + 2) + message + u16be(crc16(message))
    06 09 <base64> 0a      first line of a frame
    04 14 <base64> 0a      each further line

A line has at most 127 bytes: marker, 124 base64 characters (93 bytes of raw), newline. CRC-16/XMODEM covers the
message only. Text outside frames is ignored. SPEC.md, "Console framing".
"""

from binascii import a2b_base64, b2a_base64

try:
    from binascii import crc_hqx
except ImportError:  # MicroPython
    import _tactus

    crc_hqx = _tactus.crc16

crc16 = crc_hqx  # XMODEM, chained: crc16(data, crc before)

RESYNC = b"\n"  # ends whatever half line a broken exchange has left in the receiver
CARRIES_TEXT = True
MESSAGE_MAX = 65533  # the length field counts the CRC too
LINE_MAX = 127
_LINE_CHARS = 124
_FIRST = b"\x06\x09"
_NEXT = b"\x04\x14"


def encode(message: "bytes | bytearray | memoryview") -> bytes:
    """Frame one message as console lines. Raises ValueError unless it has 1 to MESSAGE_MAX bytes."""
    if not 0 < len(message) <= MESSAGE_MAX:
        raise ValueError("a message has 1 to %d bytes" % MESSAGE_MAX)
    message = bytes(message)
    raw = (len(message) + 2).to_bytes(2, "big") + message + crc16(message, 0).to_bytes(2, "big")
    text = b2a_base64(raw)[:-1]
    lines = []
    for start in range(0, len(text), _LINE_CHARS):
        lines.append(_NEXT if start else _FIRST)
        lines.append(text[start : start + _LINE_CHARS])
        lines.append(b"\n")
    return b"".join(lines)


class Decoder:
    """Finds messages in a stream of bytes, however it is cut into pieces.

    A frame starts wherever 06 09 stands, even in the middle of a line of text, and then takes the rest of the line.
    Damaged frames are dropped and counted; the decoder goes on at the next 06 09.
    """

    def __init__(self, message_max: int = MESSAGE_MAX) -> None:
        self.frames = 0
        self.errors_crc = 0
        self.errors_format = 0
        self.errors_size = 0
        self._message_max = message_max
        self._line = bytearray()
        self._raw = bytearray()
        self._open = False

    def feed(self, data: "bytes | bytearray | memoryview") -> "list[bytes]":
        """Take received bytes; return the messages they complete."""
        messages: list[bytes] = []
        self._line += data
        while True:
            end = self._line.find(b"\n")
            if end < 0:
                break
            line = bytes(self._line[:end])
            self._line = self._line[end + 1 :]
            message = self._take(line)
            if message is not None:
                messages.append(message)
        self._bound()
        return messages

    def _bound(self) -> None:
        # A line without an end is text, or a frame line gone wrong: keep only what may still become a frame.
        if len(self._line) > 4 * LINE_MAX:
            start = max(self._line.rfind(_FIRST), self._line.rfind(_NEXT))
            keep = start if start >= 0 and len(self._line) - start <= LINE_MAX else -1
            self._line = self._line[keep:]

    def _take(self, line: bytes) -> "bytes | None":
        start = line.rfind(_FIRST)
        if start >= 0:
            # A frame that another one cuts short, in an earlier line or in this one.
            self.errors_format += int(self._open) + line[:start].count(_FIRST)
            self._open = True
            self._raw = bytearray()
        elif self._open:
            start = line.rfind(_NEXT)
            if start < 0:
                return None  # a line of text between two lines of a frame
        else:
            return None
        text = line[start + 2 :]
        if text.endswith(b"\r"):
            text = text[:-1]
        raw = _from_base64(text)
        if raw is None:
            self._drop_format()
            return None
        self._raw += raw
        message = self._finish()
        if self._open and text.endswith(b"="):
            self._drop_format()  # padding ends a message, and this one has not ended
        return message

    def _finish(self) -> "bytes | None":
        have = len(self._raw) - 2
        if have < 0:
            self._drop_format()
            return None
        expected = self._raw[0] << 8 | self._raw[1]
        if expected < 3:  # no message, only a CRC
            self._drop_format()
            return None
        if expected - 2 > self._message_max:
            self.errors_size += 1
            self._open = False
            return None
        if have < expected:
            return None
        if have > expected:
            self._drop_format()
            return None
        self._open = False
        message = bytes(self._raw[2:expected])
        if crc16(message, 0) != (self._raw[expected] << 8 | self._raw[expected + 1]):
            self.errors_crc += 1
            return None
        self.frames += 1
        return message

    def _drop_format(self) -> None:
        self.errors_format += 1
        self._open = False


def _from_base64(text: bytes) -> "bytes | None":
    # a2b_base64 skips what it does not know; only what it would itself write is taken here.
    if not text or len(text) > _LINE_CHARS:
        return None
    try:
        raw = a2b_base64(text)
    except ValueError:
        return None
    return raw if b2a_base64(raw)[:-1] == text else None
