"""Writes protocol/vectors/manifest.json, package.json and replay.json with cbor2 and cryptography.

Run: python tests/vectors/generate_package.py
"""

from __future__ import annotations

import copy
import hashlib
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cbor2
import package_builder as build
from vector_file import tagged, write

TRIAL: dict[str, Any] = {
    "window_ms": 4000,
    "jobs": 10,
    "miss_ppm": 1000,
    "overrun_ppm": 10_000,
    "link_gap_ms": 900,
    "start_us": [300, 0],
}
# (field, its value or None to delete it, the path in the error)
BAD_FIELDS: list[tuple[str, Any, str]] = [
    ("format", 2, "format"),
    ("app", "", "app"),
    ("app", "two words", "app"),
    ("app", "x" * 33, "app"),
    ("version", 3, "version"),
    ("counter", -1, "counter"),
    ("counter", 2**32, "counter"),
    ("counter", True, "counter"),
    ("extra", 1, "extra"),
    ("evidence_sha256", bytes(31), "evidence_sha256"),
    ("evidence_sha256", "x" * 32, "evidence_sha256"),
    ("target", [], "target"),
    ("target.class", None, "target.class"),
    ("target.features", ["dsp", "dsp"], "target.features[1]"),
    ("target.kernels", 0, "target.kernels"),
    ("target.plan", 2**32, "target.plan"),
    ("target.arena_bytes", 2**24 + 1, "target.arena_bytes"),
    ("tasks", [], "tasks"),
    ("tasks.0", 7, "tasks[0]"),
    ("tasks.1.name", "left", "tasks[1].name"),
    ("tasks.0.name", "loop", "tasks[0].name"),
    ("tasks.0.plan", 2, "tasks[0].plan"),
    ("tasks.0.arena_offset", 8, "tasks[0].arena_offset"),
    ("tasks.0.arena_offset", 80, "tasks[0].arena_offset"),
    ("tasks.1.arena_bytes", 33, "tasks[1].arena_bytes"),
    ("tasks.0.period_us", 2**30, "tasks[0].period_us"),
    ("tasks.0.deadline_us", 50_001, "tasks[0].deadline_us"),
    ("tasks.0.budget_us", 40_001, "tasks[0].budget_us"),
    ("tasks.0.budget_us", 0, "tasks[0].budget_us"),
    ("tasks.0.longest_op_us", 41, "tasks[0].longest_op_us"),
    ("tasks.0.policy", "retry", "tasks[0].policy"),
    ("tasks.0.policy", b"abort", "tasks[0].policy"),
    ("tasks.0.input.shape", [], "tasks[0].input.shape"),
    ("tasks.0.input.shape", [65_535, 65_535], "tasks[0].input.shape"),
    ("tasks.0.input.shape.2", 0, "tasks[0].input.shape[2]"),
    ("tasks.0.input.dtype", "int16", "tasks[0].input.dtype"),
    ("tasks.0.input.scale_f32", 0, "tasks[0].input.scale_f32"),
    ("tasks.0.input.scale_f32", 0x7F800000, "tasks[0].input.scale_f32"),
    ("tasks.0.output.scale_f32", 0xBF800000, "tasks[0].output.scale_f32"),
    ("tasks.0.output.zero_point", 128, "tasks[0].output.zero_point"),
    ("tasks.0.labels", ["a", "b"], "tasks[0].labels"),
    ("tasks.0.labels", ["a", "b", "c", "d", "e", ""], "tasks[0].labels[5]"),
    ("tasks.0.source.kind", "camera", "tasks[0].source.kind"),
    ("tasks.0.source.name", "x" * 17, "tasks[0].source.name"),
    ("tasks.0.source.window", 4, "tasks[0].source.window"),
    ("tasks.0.source.hop", 0, "tasks[0].source.hop"),
    ("tasks.0.post", "softmax", "tasks[0].post"),
    ("tasks.0.selftest.0.input", 9, "tasks[0].selftest[0].input"),
    ("tasks.0.selftest.0.output_sha256", b"", "tasks[0].selftest[0].output_sha256"),
    ("tasks.0.selftest.0.more", 1, "tasks[0].selftest[0].more"),
    ("trial", {}, "trial.window_ms"),
    ("trial", TRIAL | {"window_ms": 3_600_001}, "trial.window_ms"),
    ("trial", TRIAL | {"jobs": 65_536}, "trial.jobs"),
    ("trial", TRIAL | {"miss_ppm": 1_000_001}, "trial.miss_ppm"),
    ("trial", TRIAL | {"overrun_ppm": -1}, "trial.overrun_ppm"),
    ("trial", TRIAL | {"link_gap_ms": 60_001}, "trial.link_gap_ms"),
    ("trial", TRIAL | {"start_us": [1]}, "trial.start_us"),
    ("trial", TRIAL | {"start_us": [1, 1 << 30]}, "trial.start_us[1]"),
    ("trial", TRIAL | {"more": 1}, "trial.more"),
    ("payloads", [], "payloads"),
    ("payloads.0.offset", 17, "payloads[0].offset"),
    ("payloads.1.bytes", 0, "payloads[1].bytes"),
    ("payloads.1.sha256", None, "payloads[1].sha256"),
]


def field_case(path: str, value: Any, where: str) -> dict[str, Any]:
    """One edit of the first valid manifest and the path that the error names."""
    edit = {"delete": True} if value is None else {"value": tagged(value)}
    return {"field": path, "path": where} | edit


def main() -> None:
    file = build.build()
    size = int.from_bytes(file[4:8], "little")
    protected, _, payload, signature = cbor2.loads(file[16 : 16 + size]).value
    manifest = cbor2.loads(payload)
    labelled = copy.deepcopy(manifest)
    labelled["tasks"][0]["labels"] = ["sitting", "two words", "gehend", "läuft", "5", "6"]
    labelled["target"]["features"] = []
    labelled["trial"] = TRIAL
    lax = cbor2.dumps(dict(reversed(list(manifest.items()))))
    twice = bytes([payload[0] + 1]) + payload[1:] + cbor2.dumps("version") + cbor2.dumps("9")
    long_head = b"\xb8" + bytes([payload[0] & 31]) + payload[1:]
    long_text = payload.replace(b"\x63app", b"\x78\x03app", 1)
    endless = b"\xbf" + payload[1:] + b"\xff"
    floating = cbor2.dumps({**manifest, "counter": 1.5}, canonical=True)
    write(
        "manifest",
        {
            "valid": [payload.hex(), cbor2.dumps(labelled, canonical=True).hex()],
            "bad_fields": [field_case(*row) for row in BAD_FIELDS],
            "bad": [
                *(lax.hex(), floating.hex(), twice.hex(), long_head.hex(), long_text.hex()),
                *(endless.hex(), payload.hex() + "00", payload.hex()[:-2], "80", "", "a0ff"),
            ],
        },
    )
    write(
        "package",
        {
            "packages": [
                {
                    "file": file.hex(),
                    "key": build.public().hex(),
                    "kid": hashlib.sha256(build.public()).digest()[:8].hex(),
                    "protected": protected.hex(),
                    "key_set": build.key_set().hex(),
                    "manifest": payload.hex(),
                    "signature": signature.hex(),
                    "to_be_signed": build.to_be_signed(protected, payload).hex(),
                    "payloads": [data.hex() for _, data in build.payloads()],
                }
            ]
        },
    )
    image = build.replay_image()
    bad = {
        "no magic": b"\xff" * 64,
        "cut off": image[:-1],
        "record table cut off": image[:40],
        "a sample count beyond the image": image[:28] + b"\xff\xff\0\0" + image[32:],
        "a sample count out of range": image[:28] + b"\0\0\0\x10" + image[32:],
        "2^28-1 samples of 3 channels": image[:28] + b"\xff\xff\xff\x0f" + image[32:],
        "a reserved byte": image[:55] + b"\1" + image[56:],
        "no channels": image[:32] + bytes(4) + image[36:],
        "an odd offset": image[:24] + b"\x39" + image[25:],
        "too many records": image[:4] + b"\xff\xff\0\0" + image[8:],
        "no name": image[:8] + bytes(16) + image[24:],
    }
    write(
        "replay",
        {
            "valid": [
                {
                    "hex": image.hex(),
                    "name": "walk",
                    "samples": 5,
                    "channels": 3,
                    "starts": [0, 1, 3],
                }
            ],
            "bad": [{"why": why, "hex": data.hex()} for why, data in bad.items()],
        },
    )


if __name__ == "__main__":
    main()
