"""Packages and replay images written from SPEC.md with cbor2 and cryptography, for tests and golden vectors.

Shares no code with protocol/ or host/package (but the type that holds a signer); whatever a test changes in the manifest is signed as it is.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from plan_builder import Kind, Plan, op, single

from host.package.keys import Signer

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
ROOTS = [Ed25519PrivateKey.from_private_bytes(bytes(range(n, n + 32))) for n in (2, 3, 4)]
ROOT = ROOTS[0]
CLAMP_MAX = 20
INPUT_BYTES = 6  # 2 samples of 3 channels
CHANNELS = 3

# Of packages whose trial is not what a test is about: over when each task had a job.
SHORT_TRIAL = {
    "window_ms": 0,
    "jobs": 1,
    "miss_ppm": 1_000_000,
    "overrun_ppm": 1_000_000,
    "link_gap_ms": 0,
    "start_us": [],
}

Manifest = dict[str, Any]


def public(key: Ed25519PrivateKey = KEY) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def f32(value: float) -> int:
    return int(struct.unpack("<I", struct.pack("<f", value))[0])


def plan(wcet_us: int = 40, **changes: Any) -> Plan:
    """One CLAMP of 6 int8 values to [-20, 20]."""
    fields: dict[str, Any] = {
        "act_min": -CLAMP_MAX,
        "act_max": CLAMP_MAX,
        "count": INPUT_BYTES,
        "wcet_us": wcet_us,
    }
    return single(op(Kind.CLAMP, **(fields | changes)), [INPUT_BYTES], INPUT_BYTES)


TEST_INPUT = struct.pack("6b", -100, -20, -3, 5, 20, 127)
TEST_OUTPUT = struct.pack("6b", -20, -20, -3, 5, 20, 20)


def task(name: str, payload: int, arena_offset: int, test: int, **changes: Any) -> Manifest:
    tensor = {"shape": [1, 2, 1, 3], "dtype": "int8", "scale_f32": f32(0.5), "zero_point": -1}
    return {
        "name": name,
        "plan": payload,
        "arena_offset": arena_offset,
        "arena_bytes": 32,
        "period_us": 50_000,
        "deadline_us": 40_000,
        "budget_us": 40,
        "longest_op_us": 40,
        "policy": "abort",
        "input": dict(tensor),
        "output": dict(tensor),
        "labels": [],
        "source": {"kind": "replay", "name": "walk", "lsb_f32": f32(0.25), "window": 2, "hop": 1},
        "post": "argmax",
        "selftest": [{"input": test, "output_sha256": hashlib.sha256(TEST_OUTPUT).digest()}],
    } | changes


def payloads(image: bytes | None = None) -> list[tuple[str, bytes]]:
    return [("clamp", plan().image() if image is None else image), ("vector", TEST_INPUT)]


def manifest(**changes: Any) -> Manifest:
    return {
        "format": 1,
        "app": "demo",
        "version": "1.2.3",
        "counter": 5,
        "target": {
            "class": "hosted",
            "features": ["dsp"],
            "kernels": 1 << Kind.CLAMP,
            "plan": 1,
            "arena_bytes": 64,
        },
        "tasks": [task("left", 0, 0, 1), task("right", 0, 32, 1, period_us=80_000)],
        "payloads": [],
        "evidence_sha256": hashlib.sha256(b"evidence").digest(),
    } | changes


def padded(size: int) -> int:
    return -(-size // 16) * 16


def to_be_signed(protected: bytes, payload: bytes) -> bytes:
    return cbor2.dumps(["Signature1", protected, b"", payload])


def envelope(payload: bytes, key: Ed25519PrivateKey = KEY) -> bytes:
    kid = hashlib.sha256(public(key)).digest()[:8]
    protected = cbor2.dumps({1: -8, 4: kid}, canonical=True)
    signature = key.sign(to_be_signed(protected, payload))
    return cbor2.dumps(cbor2.CBORTag(18, [protected, {}, payload, signature]))


def kid(key: Ed25519PrivateKey) -> bytes:
    return hashlib.sha256(public(key)).digest()[:8]


def sign_by(payload: bytes, roots: Sequence[Ed25519PrivateKey]) -> bytes:
    """A COSE_Sign over any payload, signed by `roots` in the order of their ids."""
    signatures = []
    for root in sorted(roots, key=kid):
        protected = cbor2.dumps({1: -8, 4: kid(root)}, canonical=True)
        message = cbor2.dumps(["Signature", b"", protected, b"", payload])
        signatures.append([protected, {}, root.sign(message)])
    return cbor2.dumps(cbor2.CBORTag(98, [b"", {}, payload, signatures]))


def key_set(
    version: int = 1,
    keys: Sequence[Ed25519PrivateKey] = (KEY,),
    roots: Sequence[Ed25519PrivateKey] = (ROOT,),
    revoked: Sequence[Ed25519PrivateKey] = (),
    expires: int = 0,
    **changes: Any,
) -> bytes:
    """A signed key set; `changes` go over the payload as they are."""
    fields = {
        "format": 1,
        "version": version,
        "expires": expires,
        "keys": sorted(public(key) for key in keys),
        "revoked": sorted(kid(key) for key in revoked),
    }
    return sign_by(cbor2.dumps(fields | changes, canonical=True), roots)


def build(
    content: Manifest | None = None,
    parts: Sequence[tuple[str, bytes]] | None = None,
    key: Ed25519PrivateKey | Signer = KEY,
    alter: Callable[[Manifest], None] | None = None,
    keys: bytes | None = None,
) -> bytes:
    """A package file. `alter` changes the finished manifest before it is signed; `keys` is the key set.

    A host.package.keys.Signer as `key` brings its own key set.
    """
    if isinstance(key, Signer):
        key, keys = key.key, keys or key.key_set
    keys = key_set() if keys is None else keys
    tail = keys.ljust(padded(len(keys)), b"\0")
    content = manifest() if content is None else content
    parts = payloads() if parts is None else parts
    size = 0
    while True:
        at = 16 + padded(size) + len(tail)
        content["payloads"] = []
        for name, data in parts:
            digest = hashlib.sha256(data).digest()
            entry = {"name": name, "offset": at, "bytes": len(data), "sha256": digest}
            content["payloads"].append(entry)
            at += padded(len(data))
        if alter is not None:
            alter(content)
        signed = envelope(cbor2.dumps(content, canonical=True), key)
        if len(signed) <= size:
            break
        size = len(signed)
    body = signed.ljust(padded(size), b"\0") + tail
    body += b"".join(data.ljust(padded(len(data)), b"\0") for _, data in parts)
    return struct.pack("<4sIII", b"TPK1", len(signed), 16 + len(body), len(keys)) + body


def replay_image(
    name: str = "walk", channels: int = CHANNELS, windows: Sequence[int] = (0, 1, 3)
) -> bytes:
    """One record of 5 samples: counts -7, -6, ... in sample-major order."""
    counts = [i - 7 for i in range(5 * channels)]
    data = struct.pack(f"<{len(counts)}h", *counts)
    data += bytes(-len(data) % 4)
    table = struct.pack(f"<{len(windows)}I", *windows)
    record = struct.pack(
        "<16s5I12s", name.encode(), 56, 5, channels, len(windows), 56 + len(data), b""
    )
    return b"TRP1" + struct.pack("<I", 1) + record + data + table
