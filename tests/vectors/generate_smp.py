"""Writes protocol/vectors/smp.json from the Zephyr documentation's rules, with cbor2.

Run: python tests/vectors/generate_smp.py
"""

from __future__ import annotations

from typing import Any

import cbor2
from vector_file import write

HEADERS = [
    # op, version, group, command, sequence, payload
    (0, 1, 0, 6, 0, {}),
    (2, 1, 0, 0, 255, {"d": "hello"}),
    (3, 1, 0, 5, 1, {}),
    (1, 1, 64, 4, 0, {"seq": 7, "tasks": [b"abc"]}),
    (2, 0, 1, 1, 66, {"off": 0, "data": bytes(40), "len": 40}),
    (0, 3, 65535, 255, 7, {"rc": 13}),
]


def message(op: int, version: int, group: int, command: int, sequence: int, body: Any) -> bytes:
    payload = cbor2.dumps(body, canonical=True)
    head = [version << 3 | op, 0, len(payload) >> 8, len(payload) & 255]
    return bytes([*head, group >> 8, group & 255, sequence, command]) + payload


def main() -> None:
    headers = []
    for op, version, group, command, sequence, body in HEADERS:
        data = message(op, version, group, command, sequence, body)
        headers.append(
            {
                "hex": data.hex(),
                "op": op,
                "version": version,
                "group": group,
                "command": command,
                "sequence": sequence,
                "length": len(data) - 8,
            }
        )
    write("smp", {"headers": headers})


if __name__ == "__main__":
    main()
