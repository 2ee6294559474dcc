"""Writes protocol/vectors/console.json. Run once per format; the file is committed.

Frames are made with binascii.crc_hqx and base64, straight from the description of Zephyr's "SMP over console";
what a stream yields is stated by hand beside it. Shares no code with protocol/ or device/.

    python tests/vectors/make_console_vectors.py
"""

import base64
import binascii
import json
import random
import struct
from pathlib import Path

VECTORS = Path(__file__).resolve().parents[2] / "protocol/vectors"


def frame(message: bytes, end: bytes = b"\n", crc_xor: int = 0, length_add: int = 0) -> bytes:
    length = struct.pack(">H", len(message) + 2 + length_add)
    crc = struct.pack(">H", binascii.crc_hqx(message, 0) ^ crc_xor)
    text = base64.b64encode(length + message + crc)
    lines = [text[i : i + 124] for i in range(0, len(text), 124)]
    marks = [b"\x06\x09"] + [b"\x04\x14"] * (len(lines) - 1)
    return b"".join(mark + line + end for mark, line in zip(marks, lines, strict=True))


def main() -> None:
    dice = random.Random(20)
    sizes = [1, 2, 3, 8, 9, 10, 88, 89, 90, 91, 92, 93, 94, 181, 182, 183, 500, 1368]
    messages = {size: dice.randbytes(size) for size in sizes}
    frames = [{"message": m.hex(), "wire": frame(m).hex()} for m in messages.values()]
    streams = []

    def stream(
        name: str, data: bytes, expected: list[bytes], counters: str, capacity: int = 2048
    ) -> None:
        crc, form, size = (int(digit) for digit in counters)
        streams.append(
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

    a, b = messages[10], messages[182]
    one, two, long = frame(a), frame(b), frame(messages[500])
    lines = [line + b"\n" for line in two.split(b"\n")[:-1]]
    stream("nothing", b"", [], "000")
    stream("two frames", one + two, [a, b], "000")
    stream("carriage returns", frame(a, b"\r\n") + frame(b, b"\r\n"), [a, b], "000")
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
    stream("a wrong CRC", frame(a, crc_xor=1) + one, [a], "100")
    stream("a wrong CRC in many lines", frame(b, crc_xor=0x8000) + one, [a], "100")
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
    stream("a byte more than announced", frame(messages[8], length_add=-1) + one, [a], "010")
    stream("fewer bytes than announced", frame(messages[9], length_add=1) + one, [a], "010")
    stream("larger than the buffer", long + one, [a], "001", capacity=499)
    stream("exactly the buffer", long + one, [messages[500], a], "000", capacity=500)
    stream("announces 65535", b"\x06\x09//8AAAAA\n" + one, [a], "001")
    stream("an empty frame", b"\x06\x09\n\x06\x09\n" + one, [a], "020")
    stream("not finished", two[:200], [], "000")
    text = json.dumps({"frames": frames, "streams": streams}, indent=1)
    (VECTORS / "console.json").write_text(text + "\n")
    print(len(frames), "frames,", len(streams), "streams")


if __name__ == "__main__":
    main()
