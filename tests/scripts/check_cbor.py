"""protocol/cbor.py against cbor.json. Usage: check_cbor.py VECTORS"""

import struct

from vector_file import load, show, untagged

from protocol import cbor


def refusal(data, canonical=False):
    """Text of the CborError, or `accepted`."""
    try:
        cbor.decode(data, canonical=canonical)
    except cbor.CborError as error:
        return str(error)
    return "accepted"


def in_tight_buffers(value, size):
    """Whether the encoder refuses every buffer that is too small and writes nothing behind one that is not."""
    for short in range(size):
        try:
            cbor.encode_into(bytearray(short), 0, value)
            return False
        except cbor.CborError:
            pass
    buffer = bytearray(b"\xaa" * (size + 4))
    end = cbor.encode_into(memoryview(buffer), 2, value)
    return end == size + 2 and buffer[:2] == b"\xaa\xaa" and buffer[end:] == b"\xaa\xaa"


def main():
    """Run."""
    vectors = load("cbor")
    for case in vectors["valid"]:
        data = bytes.fromhex(case["hex"])
        value = untagged(case["value"])
        same = cbor.decode(data) == value and cbor.decode(data, canonical=True) == value
        view = memoryview(b"\xff" + data + b"\xff")
        inside = cbor.decode(view, 1, 1 + len(data)) == value
        back = cbor.encode(value) == data
        show(case["hex"][:24], same, inside, back, in_tight_buffers(value, len(data)))
        cut = [refusal(data[:size]) == "accepted" for size in range(len(data))]
        show("  prefixes accepted", cut.count(True))
    for case in vectors["floats"]:
        value = cbor.decode(bytes.fromhex(case["hex"]))
        value = value[0] if isinstance(value, list) else value
        show(case["hex"], struct.pack(">d", value) == bytes.fromhex(case["bits"]))
        try:
            cbor.decode(bytes.fromhex(case["hex"]), floats=False)
            show("  FAIL: read without leave")
        except cbor.CborError as error:
            show("  without leave", error)
        try:
            cbor.encode(value)
            show("  FAIL: written")
        except cbor.CborError as error:
            show("  writing", error)
    for case in vectors["lax"]:
        data = bytes.fromhex(case["hex"])
        show(case["hex"], refusal(data), "/", refusal(data, True))
    for case in vectors["bad"]:
        data = bytes.fromhex(case["hex"])
        show(case["hex"] or "nothing", refusal(data), "/", refusal(data, True))


main()
