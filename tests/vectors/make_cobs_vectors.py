"""Writes protocol/vectors/cobs.json. Run once per format; the file is committed.

Frames are stuffed a byte at a time, straight from the paper's description of COBS; what a stream yields is stated by
hand beside it. Shares no code with protocol/ or device/.

    python tests/vectors/make_cobs_vectors.py
"""

import binascii
import json
import random
import struct
from pathlib import Path

VECTORS = Path(__file__).resolve().parents[2] / "protocol/vectors"


def stuffed(data: bytes) -> bytes:
    out, block = b"", b""
    for byte in data:
        if byte:
            block += bytes([byte])
        if not byte or len(block) == 254:
            out += bytes([len(block) + 1]) + block
            block = b""
    return out + bytes([len(block) + 1]) + block


def frame(message: bytes, crc_xor: int = 0) -> bytes:
    crc = binascii.crc_hqx(message, 0) ^ crc_xor
    return stuffed(message + struct.pack(">H", crc)) + b"\0"


def main() -> None:
    dice = random.Random(21)
    sizes = [1, 2, 8, 251, 252, 253, 254, 255, 507, 508, 600, 2048]
    samples = [dice.randbytes(size) for size in sizes]
    samples += [bytes([dice.randrange(1, 256) for _ in range(size)]) for size in range(250, 258)]
    samples += [bytes(1), bytes(300), b"\xff" * 600, b"\0\x01\0", bytes(254) + b"\x01" * 254]
    frames = [{"message": m.hex(), "wire": frame(m).hex()} for m in samples]
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

    a, b = samples[2], samples[10]
    one, two = frame(a), frame(b)
    stream("nothing", b"", [], "000")
    stream("two frames", one + two, [a, b], "000")
    stream("zeros around", bytes(3) + one + bytes(2) + two + bytes(1), [a, b], "000")
    stream("not finished", two[:-1], [], "000")
    stream("the tail of a frame, then a frame", two[400:] + one, [a], "010")
    stream("cut, then a frame behind a zero", two[:300] + b"\0" + one, [a], "010")
    stream("cut, and the next frame lost with it", b"\xff" + two[1:200] + one + two, [b], "010")
    stream("a wrong CRC", frame(a, crc_xor=1) + one, [a], "100")
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
    stream("larger, and a wrong CRC", frame(b, crc_xor=9) + one, [a], "001", capacity=599)
    text = json.dumps({"frames": frames, "streams": streams}, indent=1)
    (VECTORS / "cobs.json").write_text(text + "\n")
    print(len(frames), "frames,", len(streams), "streams")


if __name__ == "__main__":
    main()
