"""Writes protocol/vectors/patch.json. Run once per format; the file is committed.

Ops are put together by hand from protocol/SPEC.md; results come from a decoder that shares no code with the product.
Run from the repository:

    python tests/vectors/make_patch_vectors.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from patch_reference import PatchError, decode

BASE = bytes(range(48))
LITERAL, COPY, DIFF, SEEK = range(4)


def head(kind: int, value: int) -> bytes:
    value = value << 2 | kind
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def bits(text: str) -> bytes:
    """Bits as text, with spaces between codes."""
    text = text.replace(" ", "")
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8)


GOOD = {
    "no ops": (0, b""),
    "a literal": (0, b"\x0cabc"),
    "a copy in place": (8, b"\x11"),
    "a copy of another place": (0, head(SEEK, 2 * 8) + head(COPY, 7)),
    "a copy from further back": (20, head(SEEK, 2 * 9 - 1) + head(COPY, 4)),
    "a literal moves the cursor": (0, b"\x08xy" + head(COPY, 4)),
    "a literal past the end of the base": (47, b"\x0cabc"),
    "a seek back from beyond the end": (60, head(SEEK, 2 * 20 - 1) + head(COPY, 8)),
    "a copy with a head of two bytes": (0, head(COPY, 40)),
    "one change of +1": (0, head(DIFF, 4) + b"\x01" + bits("101 0")),
    "changes of -1, +2, -128 with parameters": (
        0,
        head(DIFF, 9) + b"\x22" + bits("000 001" + " 1001 010" + " 001" + "1" * 63 + "011"),
    ),
    "changes side by side": (4, head(DIFF, 3) + b"\x00" + bits("0 0 0 10 0 110")),
}
BAD = {
    "an op of no bytes": (0, b"\x00"),
    "a head that is not the shortest": (0, b"\x84\x00"),
    "a head of five bytes": (0, b"\x80\x80\x80\x80\x01"),
    "a head cut short": (0, b"\x84"),
    "a literal cut short": (0, b"\x10ab"),
    "a copy past the end of the base": (40, head(COPY, 9)),
    "a copy from beyond the base": (60, head(COPY, 1)),
    "a seek before the base": (3, head(SEEK, 2 * 4 - 1)),
    "a seek past the base": (0, head(SEEK, 2 * 49)),
    "a difference without parameters": (0, head(DIFF, 4)),
    "parameters out of range": (0, head(DIFF, 4) + b"\x80" + bits("10")),
    "more equal bytes than there are": (0, head(DIFF, 4) + b"\x00" + bits("11110 0")),
    "a change beyond 255": (0, head(DIFF, 1) + b"\x70" + bits("0 110 0000000")),
    "bits cut short": (0, head(DIFF, 40) + b"\x00" + bits("11111111")),
    "padding that is not zero": (0, head(DIFF, 1) + b"\x00\x01"),
}


def main() -> None:
    good = [
        {"name": name, "off": off, "ops": ops.hex(), "result": decode(ops, BASE, off).hex()}
        for name, (off, ops) in GOOD.items()
    ]
    for name, (off, ops) in BAD.items():
        try:
            decode(ops, BASE, off)
        except PatchError:
            continue
        raise SystemExit(f"{name}: not refused")
    bad = [{"name": name, "off": off, "ops": ops.hex()} for name, (off, ops) in BAD.items()]
    found = {"base": BASE.hex(), "good": good, "bad": bad}
    path = ROOT / "protocol" / "vectors" / "patch.json"
    path.write_text(json.dumps(found, indent=1) + "\n")


main()
