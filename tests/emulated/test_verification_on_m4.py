"""The signature check on the emulated Cortex-M4, whose field arithmetic no other core runs: verdicts and lengths."""

from __future__ import annotations

import hashlib
import json
import re

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from host.bench.verification import Case, measure_cases, measure_verification
from host.boards import ROOT, load_board
from protocol import errors

pytestmark = pytest.mark.emulated
BOARD = load_board("qemu-m4")
VECTORS = json.loads((ROOT / "protocol/vectors/ed25519.json").read_text())["vectors"]
BASELINE_INSTRUCTIONS = 1_780_000  # Monocypher 4.0.3, -Os, a message of 62 bytes


def declared(name: str) -> int:
    header = (ROOT / "device/store/ed25519.h").read_text()
    found = re.search(rf"{name} = (\d+)", header)
    assert found is not None
    return int(found.group(1))


def test_every_vector_is_judged_right_in_steps_as_long_as_declared() -> None:
    cases = [
        Case(*(bytes.fromhex(vector[name]) for name in ("signature", "key", "message")), b"data")
        for vector in VECTORS
    ]
    for seed in range(60):  # other numbers, so that carries of this core's own arithmetic are met
        private = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"m4 %d" % seed).digest())
        message = b"%d" % seed
        key = private.public_key().public_bytes_raw()
        cases.append(Case(private.sign(message), key, message, b"data"))
    costs, _ = measure_cases(BOARD, cases)
    assert [cost.code for cost in costs[len(VECTORS) :]] == [0] * 60
    for vector, cost in zip(VECTORS, costs, strict=False):
        assert cost.code == (0 if vector["valid"] else errors.PKG_SIGNATURE), vector["name"]
        assert cost.digest == hashlib.sha256(b"data").digest()
        assert len(cost.steps) <= declared("TAC_ED25519_STEPS_MAX")
        assert max(cost.steps) <= declared("TAC_ED25519_STEP_INSTRUCTIONS")
    good = [
        cost.ed25519
        for vector, cost in zip(VECTORS, costs, strict=False)
        if vector["valid"] and len(vector["message"]) // 2 <= 62
    ]
    print(f"short messages: {min(good):,} to {max(good):,} instructions")
    assert 200_000 < max(good) < BASELINE_INSTRUCTIONS


def test_the_figures_of_a_package() -> None:
    figures = measure_verification(BOARD)
    print(figures)
    assert figures.verify_instructions == figures.ed25519_instructions + figures.sha256_instructions
    assert figures.longest_step_instructions < figures.ed25519_instructions / 8
    assert 100_000 * 20 < figures.sha256_instructions < 100_000 * 45
