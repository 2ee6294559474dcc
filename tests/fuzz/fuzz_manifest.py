"""Manifests, signatures, key sets and whole packages: only errors of the protocol, only refusals of the board.

Input: a manifest, or any of the others. A manifest that the schema accepts is put into a package, with places and
digests of its payloads made right, and signed; what then passes every check is installed and must load or be refused.
"""

from __future__ import annotations

import copy
import hashlib
from typing import Any

import cbor2
import package_builder
from fuzz_smp import FuzzedBench
from mutate import main, must, typed

from protocol import cose, keyset, manifest, package
from protocol.pieces import finish

KEYS = package_builder.key_set()
BENCH = FuzzedBench()


def signed(content: dict[str, Any]) -> bytes:
    """A package around a manifest of any content; the payloads it names get the bytes of the sample's, as long as they go."""
    parts = [data for _, data in package_builder.payloads()]
    entries = content["payloads"]
    bodies = [parts[min(index, len(parts) - 1)] for index in range(len(entries))]

    def place(changed: dict[str, Any]) -> None:
        for entry, (_, body), fresh in zip(entries, listed, changed["payloads"], strict=True):
            entry.update({k: fresh[k] for k in ("offset", "bytes", "sha256")})
            must(len(body) == entry["bytes"], "the builder and this target disagree")
        changed["payloads"] = entries

    listed = [(entry["name"], body) for entry, body in zip(entries, bodies, strict=True)]
    return package_builder.build(dict(content), listed, alter=place)


def verify(data: bytes) -> bool:
    refusal = BENCH.module("refusal").Refused
    try:
        finish(BENCH.module("package").verify(memoryview(data), BENCH.fake.board(), 0))
    except refusal as error:
        must(0 < error.code < 256, "a refusal without a code")
        return False
    return True


def install(data: bytes) -> None:
    sha = hashlib.sha256(data).digest()
    BENCH.power_up(copy.deepcopy(BENCH.blank))
    BENCH.upload(data, 700)
    BENCH.write(1, 0, {"hash": sha, "confirm": False})
    BENCH.power_up(BENCH.store)
    for command in range(9):
        BENCH.read(64, command)
    BENCH.goes_on()


def run(data: bytes) -> None:
    for parse in (cose.parse, cose.parse_sign, keyset.parse, package.key_set, package.envelope):
        typed(parse, data)
    verify(data)
    content = typed(manifest.parse, data)
    if content is None:
        return
    must(cbor2.dumps(content, canonical=True) == data, "a manifest of another encoding")
    whole = signed(copy.deepcopy(content))
    if verify(whole):
        install(whole)


if __name__ == "__main__":
    main(run)
