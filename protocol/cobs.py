"""SMP messages on a port of their own, stuffed so that zeros only end frames.

    COBS(message + u16be(crc16(message))) 00

COBS is Consistent Overhead Byte Stuffing (Cheshire and Baker, 1999); CRC-16/XMODEM as on the console. This is the
framing of smpclient's `Cobs`. SPEC.md, "COBS framing".
"""

from protocol.console import MESSAGE_MAX, crc16

RESYNC = b"\x00"  # ends whatever a broken exchange has left in the receiver
CARRIES_TEXT = False
_FULL = 0xFF


def encode(message: "bytes | bytearray | memoryview") -> bytes:
    """Frame one message. Raises ValueError unless it has 1 to MESSAGE_MAX bytes."""
    if not 0 < len(message) <= MESSAGE_MAX:
        raise ValueError("a message has 1 to %d bytes" % MESSAGE_MAX)
    message = bytes(message)
    out = bytearray()
    for run in (message + crc16(message, 0).to_bytes(2, "big")).split(b"\x00"):
        while len(run) >= _FULL - 1:
            out.append(_FULL)
            out += run[: _FULL - 1]
            run = run[_FULL - 1 :]
        out.append(len(run) + 1)
        out += run
    out.append(0)
    return bytes(out)


class Decoder:
    """Finds messages in a stream of bytes, however it is cut into pieces.

    Damaged frames are dropped and counted; the decoder goes on behind the next zero.
    """

    def __init__(self, message_max: int = MESSAGE_MAX) -> None:
        self.frames = 0
        self.errors_crc = 0
        self.errors_format = 0
        self.errors_size = 0
        self._message_max = message_max
        self._frame = bytearray()

    def feed(self, data: "bytes | bytearray | memoryview") -> "list[bytes]":
        """Take received bytes; return the messages they complete."""
        messages: list[bytes] = []
        pieces = bytes(data).split(b"\x00")
        for index in range(len(pieces)):
            if index > 0:
                message = self._finish()
                if message is not None:
                    messages.append(message)
                self._frame = bytearray()
            # Noise without end is kept no longer than it takes to know that it is none of ours.
            room = 2 * MESSAGE_MAX - len(self._frame)
            self._frame += pieces[index][:room]
        return messages

    def _finish(self) -> "bytes | None":
        if not self._frame:
            return None
        raw = _unstuffed(bytes(self._frame))
        if raw is None or len(raw) < 3:
            self.errors_format += 1
        elif len(raw) - 2 > self._message_max:
            self.errors_size += 1
        elif crc16(raw[:-2], 0) != (raw[-2] << 8 | raw[-1]):
            self.errors_crc += 1
        else:
            self.frames += 1
            return raw[:-2]
        return None


def _unstuffed(frame: bytes) -> "bytes | None":
    # The bytes that COBS stands for, None where the last block is cut short.
    out = bytearray()
    at = 0
    while at < len(frame):
        code = frame[at]
        out += frame[at + 1 : at + code]
        at += code
        if code != _FULL and at < len(frame):
            out.append(0)
    return bytes(out) if at == len(frame) else None
