"""Throws arbitrary flash content and arbitrary console bytes at the C of store and link.

As a program: `python hostile_store.py <seed> <rounds>` does so in a build with address and undefined-behaviour
sanitizers (libasan has to be preloaded); test_journal.py starts it.
"""

import base64
import hashlib
import random
import struct
import sys
import zlib

from store_library import (
    CONFIRMED,
    CUTS,
    OK,
    PENDING,
    STAGED,
    TRIED,
    Board,
    CobsDecoder,
    ConsoleDecoder,
)

GEOMETRIES = [(256, 1, 2048), (256, 256, 4096), (512, 16, 8192), (4096, 4, 12288)]
NUMBERS = [
    0,
    1,
    2,
    127,
    128,
    4095,
    4096,
    8192,
    12288,
    12289,
    2**31 - 1,
    2**31,
    2**32 - 2,
    2**32 - 1,
]


def record(dice: random.Random) -> bytes:
    """A journal record with a right CRC and fields that no store would write (store/journal.h)."""
    sequence = dice.choice([*NUMBERS, *range(1, 100)])
    slots = b""
    for _ in range(2):
        state = dice.choice([*range(8), 255])
        if dice.random() < 0.7:
            length = dice.randrange(1, 4097)
            received = dice.choice([0, length, dice.randrange(length + 1)])
            numbers = [length, received, dice.randrange(sequence + 1)]
        else:
            numbers = [dice.choice(NUMBERS) for _ in range(3)]
        slots += struct.pack("<BBHIII", state, dice.randrange(256), 0, *numbers)
        slots += dice.choice([bytes(32), dice.randbytes(32)])
    body = struct.pack("<4sIII", b"TSJ1", sequence, dice.choice(NUMBERS), 0) + slots + bytes(12)
    return body + struct.pack("<I", zlib.crc32(body))


def journal_content(dice: random.Random, size: int, stride: int) -> bytes:
    """Garbage, erased cells, forged and damaged records."""
    content = b""
    while len(content) < size:
        kind = dice.randrange(6)
        if kind < 3:
            part = bytearray(record(dice).ljust(stride, b"\xff"))
            if kind == 2:
                part[dice.randrange(128)] ^= 1 << dice.randrange(8)
        elif kind == 3:
            part = bytearray(dice.randbytes(stride))
        else:
            part = bytearray(b"\xff" * stride)
        content += bytes(part)
    return content[:size]


def use_store(board: Board, dice: random.Random) -> None:
    """Calls in any order with any arguments; afterwards an upload must still work."""
    for _ in range(dice.randrange(12)):
        slot = dice.choice([0, 1, 1, 2, 2**32 - 1])
        known = slot if slot < 2 else 0
        info = board.slot(known)
        call = dice.randrange(7)
        if call == 0:
            board.select()
        elif call == 1:
            sha = bytes(info.sha256) if dice.random() < 0.5 else dice.randbytes(32)
            board.begin(slot, dice.choice([*NUMBERS, info.length, 700]), sha)
        elif call in (2, 3):
            offset = dice.choice([info.received, 0, info.received + 1])
            board.write(slot, offset, dice.randbytes(dice.choice([0, 1, 255, 1000, 5000])))
        elif call == 4:
            board.finish(slot)
        elif call == 5:
            board.mark(slot, dice.randrange(9), dice.randrange(256), dice.choice(NUMBERS))
        else:
            board.erase(slot)


def recover(board: Board, dice: random.Random) -> None:
    """From whatever there is, one slot takes a package, unless the forged sequence numbers are at their end."""
    current = board.select()
    slot = max(current, 0)
    if current >= 0 and board.state(current) == CONFIRMED:
        slot = 1 - current
    if board.store.sequence >= 2**31 - 64:
        return
    data = dice.randbytes(dice.randrange(1, board.layout.slot_bytes))
    assert board.upload(slot, data, dice.randrange(1, 4000)) == OK, f"slot {slot}: no upload"
    assert board.open() == 0
    assert board.state(slot) == STAGED
    assert hashlib.sha256(board.data(slot, len(data))).digest() == bytes(board.slot(slot).sha256)


def hostile_journal(seed: int, sanitize: bool = False) -> None:
    dice = random.Random(seed)
    sector, unit, slot_bytes = dice.choice(GEOMETRIES)
    board = Board(sector, unit, slot_bytes, seed=seed, sanitize=sanitize)
    content = journal_content(dice, 2 * sector, max(128, unit))
    board.load(board.layout.journal_offset, content)
    for offset in board.layout.slot_offset:
        board.load(offset, dice.randbytes(slot_bytes))
    assert board.open() == 0
    for i in (0, 1):
        info = board.slot(i)
        assert info.received <= info.length <= slot_bytes
        if info.state in (STAGED, PENDING, TRIED, CONFIRMED):
            assert info.received == info.length > 0
    if dice.random() < 0.5:
        board.cut(dice.randrange(1, 30), dice.choice(CUTS))
    use_store(board, dice)
    board.cut(0, 0)
    assert board.open() == 0
    recover(board, dice)
    # Slots may hold forged RECEIVING records over unknown cells: they start at a sector and erase it.
    assert board.violations == 0


def hostile_console(seed: int, sanitize: bool = False) -> None:
    dice = random.Random(seed)
    capacity = dice.choice([1, 8, 100, 600])
    decoder = ConsoleDecoder(capacity, sanitize)
    for _ in range(30):
        length = dice.choice([0, 2, 3, capacity + 1, capacity + 2, capacity + 3, 65535])
        raw = length.to_bytes(2, "big") + dice.randbytes(dice.randrange(capacity + 9))
        text = base64.b64encode(raw)
        cut = dice.randrange(len(text) + 1)
        stream = dice.choice([b"\x06\x09", b"\x04\x14", b"\r\n", b""]) + text[:cut]
        stream += dice.choice([b"\n", b"\n\x04\x14", b"", dice.randbytes(4)]) + text[cut:]
        for message in decoder.feed(stream):
            assert 0 < len(message) <= capacity


def hostile_cobs(seed: int, sanitize: bool = False) -> None:
    dice = random.Random(seed)
    capacity = dice.choice([1, 8, 100, 600])
    decoder = CobsDecoder(capacity, sanitize)
    decoder.decoder.limit = dice.choice([capacity, 65533])
    for _ in range(30):
        stream = bytes([dice.choice([1, 2, 9, 254, 255])]) + dice.randbytes(
            dice.randrange(capacity + 9)
        )
        stream = stream.replace(b"\0", dice.choice([b"\0", b"\1"]))
        for message in decoder.feed(stream + dice.choice([b"", b"\0"])):
            assert 0 < len(message) <= capacity


def main() -> None:
    first, rounds = int(sys.argv[1]), int(sys.argv[2])
    for seed in range(first, first + rounds):
        hostile_journal(seed, sanitize=True)
        hostile_console(seed, sanitize=True)
        hostile_cobs(seed, sanitize=True)
    print(rounds, "rounds")


if __name__ == "__main__":
    main()
