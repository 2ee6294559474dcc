"""protocol/smp.py, console.py and cobs.py against their vectors. Usage: check_link.py VECTORS"""

from vector_file import load, show

from protocol import cobs, console, smp


def counters(decoder):
    """Counters of a decoder as a list."""
    return [decoder.frames, decoder.errors_crc, decoder.errors_format, decoder.errors_size]


def check_framing(framing, name):
    """One of the two framings: frames both ways, streams whole and byte by byte."""
    vectors = load(name)
    for case in vectors["frames"]:
        message = bytes.fromhex(case["message"])
        wire = bytes.fromhex(case["wire"])
        decoder = framing.Decoder()
        show(len(message), framing.encode(message) == wire, decoder.feed(wire) == [message])
    for case in vectors["streams"]:
        data = bytes.fromhex(case["data"])
        wanted = [bytes.fromhex(item) for item in case["messages"]]
        expected = [len(wanted), case["errors_crc"], case["errors_format"], case["errors_size"]]
        whole = framing.Decoder(case["capacity"])
        found = whole.feed(data)
        pieces = framing.Decoder(case["capacity"])
        dribbled = []
        for i in range(len(data)):
            dribbled += pieces.feed(data[i : i + 1])
        show(
            case["name"],
            found == wanted,
            dribbled == wanted,
            counters(whole) == expected,
            counters(pieces) == expected,
        )


def main():
    """Run."""
    for case in load("smp")["headers"]:
        data = bytes.fromhex(case["hex"])
        fields = (case["op"], case["group"], case["command"], case["sequence"], case["length"])
        packed = smp.pack_header(*fields, version=case["version"])
        buffer = bytearray(8)
        smp.put_header(buffer, *fields, version=case["version"])
        show(
            case["hex"][:16],
            smp.parse_header(data) == fields,
            smp.version(data) == case["version"],
            packed == data[:8],
            buffer == data[:8],
        )
    for size in range(8):
        try:
            smp.parse_header(bytes(size))
            show("FAIL: a header of", size)
        except smp.SmpError as error:
            show("size", size, error)
    check_framing(console, "console")
    check_framing(cobs, "cobs")
    small = console.Decoder(8)
    show(
        "capacity", small.feed(console.encode(bytes(9)) + console.encode(bytes(8))), counters(small)
    )
    try:
        console.encode(b"")
        show("FAIL: framed nothing")
    except ValueError as error:
        show("nothing", error)


main()
