"""Writes protocol/vectors/{cobs,console}.json: SMP messages on a wire, and what streams of them yield.

Frames are made straight from the paper's description of COBS, a byte at a time, and from that of Zephyr's "SMP
over console" with binascii.crc_hqx and base64; what a stream yields is stated by hand beside it. Shares no code
with protocol/ or device/.
"""

from __future__ import annotations

import base64
import binascii
import random
import struct
from collections.abc import Callable
from typing import Any

from vector_file import write


class Streams(list[dict[str, Any]]):
    """The cases of one framing; counters: errors of CRC, form and size, a digit each."""

    def add(
        self, name: str, data: bytes, expected: list[bytes], counters: str, capacity: int = 2048
    ) -> None:
        crc, form, size = (int(digit) for digit in counters)
        self.append(
            {
                "name": name,
                "capacity": capacity,
                "data": data.hex(),
                "messages": [m.hex() for m in expected],
                "errors_crc": crc,
                "errors_format": form,
                "errors_size": size,
            }
        )


def stuffed(data: bytes) -> bytes:
    out, block = b"", b""
    for byte in data:
        if byte:
            block += bytes([byte])
        if not byte or len(block) == 254:
            out += bytes([len(block) + 1]) + block
            block = b""
    return out + bytes([len(block) + 1]) + block


def cobs_frame(message: bytes, crc_xor: int = 0) -> bytes:
    crc = binascii.crc_hqx(message, 0) ^ crc_xor
    return stuffed(message + struct.pack(">H", crc)) + b"\0"


def console_frame(
    message: bytes, end: bytes = b"\n", crc_xor: int = 0, length_add: int = 0
) -> bytes:
    length = struct.pack(">H", len(message) + 2 + length_add)
    crc = struct.pack(">H", binascii.crc_hqx(message, 0) ^ crc_xor)
    text = base64.b64encode(length + message + crc)
    lines = [text[i : i + 124] for i in range(0, len(text), 124)]
    marks = [b"\x06\x09"] + [b"\x04\x14"] * (len(lines) - 1)
    return b"".join(mark + line + end for mark, line in zip(marks, lines, strict=True))


def cobs_cases() -> tuple[list[bytes], Streams]:
    dice = random.Random(21)
    sizes = [1, 2, 8, 251, 252, 253, 254, 255, 507, 508, 600, 2048]
    samples = [dice.randbytes(size) for size in sizes]
    samples += [bytes([dice.randrange(1, 256) for _ in range(size)]) for size in range(250, 258)]
    samples += [bytes(1), bytes(300), b"\xff" * 600, b"\0\x01\0", bytes(254) + b"\x01" * 254]
    streams = Streams()
    stream = streams.add
    a, b = samples[2], samples[10]
    one, two = cobs_frame(a), cobs_frame(b)
    stream("nothing", b"", [], "000")
    stream("two frames", one + two, [a, b], "000")
    stream("zeros around", bytes(3) + one + bytes(2) + two + bytes(1), [a, b], "000")
    stream("not finished", two[:-1], [], "000")
    stream("the tail of a frame, then a frame", two[400:] + one, [a], "010")
    stream("cut, then a frame behind a zero", two[:300] + b"\0" + one, [a], "010")
    stream("cut, and the next frame lost with it", b"\xff" + two[1:200] + one + two, [b], "010")
    stream("a wrong CRC", cobs_frame(a, crc_xor=1) + one, [a], "100")
    stream("text", b"boot\r\n> \0" + one, [a], "010")
    stream("one byte", b"\x01\0" + one, [a], "010")
    stream("only a CRC", stuffed(b"\0\0") + b"\0" + one, [a], "010")
    stream(
        "a full last block without an empty one behind",
        bytes([255]) + b"x" * 254 + b"\0",
        [],
        "100",
    )
    stream("a block longer than the frame", b"\x09abc\0" + one, [a], "010")
    stream("larger than the buffer", two + one, [a], "001", capacity=599)
    stream("exactly the buffer", two + one, [b, a], "000", capacity=600)
    stream("larger, and a wrong CRC", cobs_frame(b, crc_xor=9) + one, [a], "001", capacity=599)
    return samples, streams


def console_cases() -> tuple[list[bytes], Streams]:
    dice = random.Random(20)
    sizes = [1, 2, 3, 8, 9, 10, 88, 89, 90, 91, 92, 93, 94, 181, 182, 183, 500, 1368]
    messages = {size: dice.randbytes(size) for size in sizes}
    streams = Streams()
    stream = streams.add
    a, b = messages[10], messages[182]
    one, two, long = console_frame(a), console_frame(b), console_frame(messages[500])
    lines = [line + b"\n" for line in two.split(b"\n")[:-1]]
    stream("nothing", b"", [], "000")
    stream("two frames", one + two, [a, b], "000")
    stream("carriage returns", console_frame(a, b"\r\n") + console_frame(b, b"\r\n"), [a, b], "000")
    stream(
        "text around", b"boot\r\n> " + one + b"I (12) motion: x\n" + two + b">>> ", [a, b], "000"
    )
    stream("text between the lines of a frame", b"log 1\n".join(lines), [b], "000")
    stream("text without a newline before a frame", b"abc" + one, [a], "000")
    stream(
        "every byte value as text",
        bytes(range(256)).replace(b"\x06", b"") + b"\n" + one,
        [a],
        "000",
    )
    stream("a stray next-line mark", b"\x04\x14AAAA\n" + one, [a], "000")
    stream("a stray first half of a mark", b"\x06" + one + b"\x06\x06" + one[1:], [a, a], "000")
    stream("a wrong CRC", console_frame(a, crc_xor=1) + one, [a], "100")
    stream("a wrong CRC in many lines", console_frame(b, crc_xor=0x8000) + one, [a], "100")
    stream("cut in the first line, then a frame", one[:9] + one, [a], "010")
    stream("cut between two lines, then a frame", lines[0] + one, [a], "010")
    stream("a line is missing", long.replace(long.split(b"\n")[1] + b"\n", b"") + one, [a], "010")
    stream("cut, newline, text, frame", one[:10] + b"\nlog\n" + one, [a], "010")
    stream("a foreign byte in base64", one[:8] + b"!" + one[8:] + one, [a], "010")
    stream("a lost byte in base64", one[:8] + one[9:] + one, [a], "010")
    stream("text inside a line", one[:8] + b"[log] text" + one[8:] + one, [a], "010")
    stream("a new frame begins within a line", two[:50] + one, [a], "010")
    stream("padding in the middle", b"\x06\x09AB==" + one, [a], "010")
    stream("padding first", b"\x06\x09====\n" + one, [a], "010")
    stream("length 0", b"\x06\x09" + base64.b64encode(bytes(6)) + b"\n" + one, [a], "010")
    stream(
        "length 2, no message",
        b"\x06\x09" + base64.b64encode(b"\0\x02\0\0") + b"\n" + one,
        [a],
        "010",
    )
    stream(
        "a byte more than announced", console_frame(messages[8], length_add=-1) + one, [a], "010"
    )
    stream("fewer bytes than announced", console_frame(messages[9], length_add=1) + one, [a], "010")
    stream("larger than the buffer", long + one, [a], "001", capacity=499)
    stream("exactly the buffer", long + one, [messages[500], a], "000", capacity=500)
    stream("announces 65535", b"\x06\x09//8AAAAA\n" + one, [a], "001")
    stream("an empty frame", b"\x06\x09\n\x06\x09\n" + one, [a], "020")
    stream("not finished", two[:200], [], "000")
    return list(messages.values()), streams


def save(name: str, frame: Callable[[bytes], bytes], cases: tuple[list[bytes], Streams]) -> None:
    messages, streams = cases
    frames = [{"message": m.hex(), "wire": frame(m).hex()} for m in messages]
    write(name, {"frames": frames, "streams": streams})


def main() -> None:
    save("cobs", cobs_frame, cobs_cases())
    save("console", console_frame, console_cases())


if __name__ == "__main__":
    main()
