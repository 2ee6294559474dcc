"""Writes the seeds of every fuzzing target: valid inputs out of golden vectors and builders, and good parts of them.

`python make_seeds.py FOLDER` makes FOLDER/<target>/*. They are cheap to make and not kept in the repository; what is
kept, under corpus/, are inputs that a fuzzer found.
"""

from __future__ import annotations

import hashlib
import json
import random
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cbor2
import numpy as np
import package_builder
from plan_builder import Plan
from plan_samples import PLANS
from segment_cases import random_net, random_schedule, segment_plan

from host.package.delta import make

VECTORS = Path(__file__).resolve().parent.parent.parent / "protocol" / "vectors"
PLAN_SEED_BYTES_MAX = 4096


def vectors(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text())


def console() -> Iterator[bytes]:
    found = vectors("console")
    for stream in found["streams"]:
        yield bytes([5, 200]) + bytes.fromhex(stream["data"])[:2000]
    for frame in found["frames"]:
        wire = bytes.fromhex(frame["wire"])
        if len(wire) < 1000:
            yield bytes([4, 7]) + b"log text\r\n" + wire + wire


def plan() -> Iterator[bytes]:
    rng = np.random.default_rng(7)
    plans: list[Plan] = list(PLANS.values())
    for index in range(60):
        net = random_net(rng, packed=index % 2 == 1)
        plans.append(segment_plan(rng, net, random_schedule(rng, net)))
    for made in plans:
        image = made.image()
        if len(image) <= PLAN_SEED_BYTES_MAX:
            yield image


def record(sequence: int, slots: list[tuple[int, int, int, int, int]]) -> bytes:
    """A journal record without its CRC, which the target adds; slots: state, reason, length, received, sequence."""
    parts = b"".join(
        struct.pack("<BBHIII", state, reason, 0, *rest) + hashlib.sha256(bytes([state])).digest()
        for state, reason, *rest in slots
    )
    return struct.pack("<4sIII", b"TSJ1", sequence, 3, 1) + parts + bytes(16)


def journal() -> Iterator[bytes]:
    empty, bad = (0, 0, 0, 0, 0), (6, 42, 900, 900, 4)
    receiving, staged = (1, 0, 900, 0, 3), (2, 0, 900, 900, 3)
    pending, tried, confirmed = (3, 0, 900, 900, 4), (4, 0, 900, 900, 5), (5, 0, 900, 900, 2)
    calls = [
        (0, 0, 0, 0),
        (1, 0, 0, 700),
        (2, 0, 700, 0),
        (3, 0, 0, 0),
        (4, 0, 2, 0),
        (4, 1, 3, 0),
        (4, 1, 4, 0),
        (4, 1, 5, 9),
        (6, 1, 0, 0),
    ]
    script = b"".join(struct.pack("<BBHI", *call) for call in calls)
    states = [empty, receiving, staged, pending, tried, confirmed, bad]
    for geometry in range(4):
        stride = 256 if geometry == 1 else 128
        for index, state in enumerate(states):
            records = [record(5 + i, [confirmed, state]) for i in range(2)]
            content = b"".join(part.ljust(stride, b"\xff") for part in records)
            head = struct.pack("<BIB", geometry, 0xFFFFFFFF, len(calls))
            yield head + script + bytes([2 * index, index % 5]) + content


def telemetry() -> Iterator[bytes]:
    calls = [(0, 20, 0), (2, 0, 0), (1, 192, 0), (0x83, 0, 0), (2, 0, 3), (0, 100, 0)]
    script = b"".join(struct.pack("<BBH", *call) for call in calls)
    for geometry, (sector, unit, sectors) in enumerate(
        [(1024, 1, 3), (1024, 16, 4), (4096, 256, 2)]
    ):
        for first in (1, sectors, 5 * sectors):
            content, sequence = b"", 10
            for place in range(sectors):
                number = first + (place - (first - 1)) % sectors
                entries = [(1, struct.pack("<II", number, sequence - 1))]
                entries += [(2, bytes(size)) for size in (1, 30, 192)] + [(3, b"")]
                body = b""
                for kind, data in entries:
                    entry = struct.pack("<BBHI", kind, len(data), 0, sequence) + data + bytes(4)
                    body += entry.ljust(-(-len(entry) // unit) * unit, b"\xff")
                    sequence += kind == 2
                content += body.ljust(sector, b"\xff")
            for sealed in (0xFFFF, 0x000B):
                head = struct.pack("<BHB", geometry, sealed, len(calls))
                yield head + script + bytes([first % 9, first % 5]) + content[: sector + 600]
        yield struct.pack("<BHB", geometry, 0, len(calls)) + script + bytes([0, 0])


def crypto() -> Iterator[bytes]:
    for case in vectors("ed25519")["vectors"]:
        parts = [bytes.fromhex(case[name]) for name in ("signature", "key", "message")]
        if len(parts[0]) == 64 and len(parts[1]) == 32 and len(parts[2]) < 300:
            yield b"\x01" + b"".join(parts)
    for size in (0, 1, 55, 56, 64, 111, 112, 128, 300):
        yield b"\x00" + struct.pack("<HH", size // 3, size // 2) + bytes(range(256))[:size]


def patch() -> Iterator[bytes]:
    found = vectors("patch")
    for case in found["good"] + found["bad"]:
        yield struct.pack("<HHBH", 48, case["off"], 4, 20) + bytes.fromhex(case["ops"])
    rng = random.Random(5)
    base = bytes(7 * index & 255 for index in range(4000))
    for share in (0.01, 0.1, 0.6):
        changed = bytearray(base)
        for index in range(len(base)):
            if rng.random() < share:
                changed[index] = (changed[index] + rng.choice((1, 255, 30))) % 256
        moved = bytes(changed[2000:]) + b"between" + bytes(changed[:2000])
        for result in (bytes(changed), moved):
            delta = make(base, result)
            for offset in (0, 2500):
                yield struct.pack("<HHBH", 4000, offset, 99, 3000) + delta.part(offset, 900)[0]


def cbor() -> Iterator[bytes]:
    for cases in vectors("cbor").values():
        yield from (bytes.fromhex(case["hex"]) for case in cases)


def message(op: int, group: int, command: int, body: object, version: int = 1) -> bytes:
    payload = cbor2.dumps(body, canonical=True)
    return struct.pack(">BBHHBB", version << 3 | op, 0, len(payload), group, 9, command) + payload


def join(start: int, messages: list[bytes]) -> bytes:
    """An input of fuzz_smp.py."""
    return bytes([start]) + b"".join(struct.pack("<H", len(part)) + part for part in messages)


def smp() -> Iterator[bytes]:
    headers = [bytes.fromhex(case["hex"]) for case in vectors("smp")["headers"]]
    yield join(0, headers)
    data = package_builder.build()
    sha = hashlib.sha256(data).digest()
    first = {"image": 0, "len": len(data), "off": 0, "sha": sha, "data": data[:200]}
    requests: list[tuple[int, int, int, dict[str, Any]]] = [
        (2, 0, 0, {"d": "hello"}),
        (0, 0, 2, {}),
        (2, 0, 4, {"datetime": "2026-01-02T03:04:05"}),
        (2, 0, 5, {}),
        (0, 0, 7, {"format": "sv"}),
        (2, 1, 0, {"hash": sha, "confirm": False}),
        (2, 1, 0, {"confirm": True}),
        (2, 1, 1, first),
        (2, 1, 1, {"off": 200, "data": data[200:500]}),
        (2, 1, 5, {"slot": 1}),
        (0, 2, 0, {"name": "loop"}),
        (2, 64, 4, {"lease_ms": 1000, "period_ms": 100}),
        (0, 64, 3, {"cursor": 0, "max": 2}),
    ]
    story = [message(*request) for request in requests]
    yield join(1, story)
    for start in (0, 1):
        for part in story:
            yield join(start, [part])
        for group in (0, 1, 2, 8, 10, 64):
            yield join(
                start, [message(op, group, command, {}) for command in range(12) for op in (0, 2)]
            )
    chunks = [data[at : at + 400] for at in range(0, len(data), 400)]
    bodies = [{"off": 400 * index, "data": chunk} for index, chunk in enumerate(chunks)]
    uploads = [message(2, 1, 1, body) for body in [first | bodies[0], *bodies[1:]]]
    trial = [message(2, 1, 0, {"hash": sha, "confirm": False}), message(2, 0, 5, {})]
    yield join(0, [*uploads, *trial, message(2, 1, 0, {"confirm": True})])


def manifest() -> Iterator[bytes]:
    found = vectors("manifest")
    yield from (bytes.fromhex(case) for case in found["valid"])
    tasks = [package_builder.task("left", 0, 0, 1), package_builder.task("right", 0, 32, 1)]
    modes = [{"name": "slow", "tasks": [{"period_us": 90_000, "deadline_us": 90_000}, {}]}]
    for content in (package_builder.manifest(tasks=tasks), package_builder.manifest(modes=modes)):
        package_builder.build(content)  # fills in the payloads
        yield cbor2.dumps(content, canonical=True)
    yield package_builder.build()
    yield package_builder.key_set()
    yield package_builder.envelope(b"payload")


SEEDS = {
    "console": console,
    "plan": plan,
    "journal": journal,
    "telemetry": telemetry,
    "patch": patch,
    "crypto": crypto,
    "cbor": cbor,
    "smp": smp,
    "manifest": manifest,
}


def main() -> None:
    folder = Path(sys.argv[1])
    for target, seeds in SEEDS.items():
        (folder / target).mkdir(parents=True, exist_ok=True)
        for seed in seeds():
            name = hashlib.sha256(seed).hexdigest()[:16]
            (folder / target / name).write_bytes(seed)


if __name__ == "__main__":
    main()
