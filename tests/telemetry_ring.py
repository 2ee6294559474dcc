"""Bytes of a telemetry ring, written after SPEC.md and not by the code under test."""

from __future__ import annotations

import binascii
import struct

from host.boards import Flash
from protocol import telemetry

HEAD, RECORD = 1, 2


def entry(kind: int, sequence: int, content: bytes, write_bytes: int) -> bytes:
    size = len(content)
    body = bytes([kind, size, ~kind & 255, ~size & 255]) + struct.pack("<I", sequence) + content
    body += struct.pack("<I", binascii.crc32(body))
    return body + b"\xff" * (-len(body) % write_bytes)


def record(sequence: int, boot_id: int = 99) -> bytes:
    fields: dict[str, object] = {"slot": 0, "state": 5, "before": 4}
    return telemetry.encode(boot_id, sequence, 1000 * sequence, None, telemetry.PACKAGE, fields)


def full_ring(flash: Flash) -> tuple[bytes, int]:
    """A ring whose last sector has room for one record less than two; and its newest sequence."""
    image, sequence = b"", 0
    sectors = flash.telemetry_bytes // flash.sector_bytes
    for number in range(1, sectors + 1):
        content = struct.pack("<II", number, 0)
        sector = entry(HEAD, sequence + 1, content, flash.write_bytes)
        while len(sector) + 250 < flash.sector_bytes:
            sequence += 1
            sector += entry(RECORD, sequence, record(sequence), flash.write_bytes)
        image += sector.ljust(flash.sector_bytes, b"\xff")
    return image, sequence
