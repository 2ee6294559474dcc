"""A second console decoder, over a whole stream at once: what device/link/console.c must agree with.

Cuts the stream at every 06 09 and judges each piece with regular expressions, base64 and binascii.
"""

import base64
import binascii
import re
from dataclasses import dataclass, field

RUN = re.compile(rb"[A-Za-z0-9+/=]*")
LINE_END = re.compile(rb"\r?\n")


@dataclass(slots=True)
class Decoded:
    """Messages in order and the counters of tac_console_t."""

    messages: list[bytes] = field(default_factory=list)
    errors_crc: int = 0
    errors_format: int = 0
    errors_size: int = 0

    @property
    def counters(self) -> tuple[int, int, int, int]:
        return len(self.messages), self.errors_crc, self.errors_format, self.errors_size


def _quad(text: bytes) -> bytes | None:
    """Bytes of four characters, None unless an encoder can have written them."""
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
    return raw if base64.b64encode(raw) == text else None


def _piece(piece: bytes, capacity: int, out: Decoded, last: bool) -> None:
    """One frame: everything from behind its 06 09 to the next 06 09 or the end of the stream."""
    raw = b""
    at = 0
    while True:
        run = RUN.match(piece, at)
        assert run is not None
        text = run.group()
        for i in range(0, len(text) - len(text) % 4, 4):
            part = _quad(text[i : i + 4])
            if part is None:
                out.errors_format += 1
                return
            raw += part
            if len(raw) >= 2:
                expected = raw[0] << 8 | raw[1]
                if expected <= 2:
                    out.errors_format += 1
                    return
                if expected - 2 > capacity:
                    out.errors_size += 1
                    return
                if len(raw) == expected + 2:
                    message = raw[2:-2]
                    if binascii.crc_hqx(message, 0) == raw[-2] << 8 | raw[-1]:
                        out.messages.append(message)
                    else:
                        out.errors_crc += 1
                    return
                if len(raw) > expected + 2:
                    out.errors_format += 1
                    return
            if len(part) < 3:
                out.errors_format += 1
                return
        rest = text[len(text) - len(text) % 4 :]
        at = run.end()
        if at == len(piece) and last:
            # Still under way, unless it cannot be base64 any more.
            if re.fullmatch(rb"[^=]{0,3}|[^=]{2}=", rest) is None:
                out.errors_format += 1
            return
        end = LINE_END.match(piece, at)
        if last and piece[at:] == b"\r" and not rest:
            return
        following = piece.find(b"\x04\x14", end.end()) if end and not rest else -1
        if following < 0:
            if not (last and end and not rest):
                out.errors_format += 1
            return
        at = following + 2


def decode(stream: bytes, capacity: int) -> Decoded:
    """All messages of a stream."""
    out = Decoded()
    pieces = stream.split(b"\x06\x09")[1:]
    for number, piece in enumerate(pieces):
        _piece(piece, capacity, out, last=number == len(pieces) - 1)
    return out
