"""The packed kernels as the emulated Cortex-M4 runs them: same arena as on this machine, in time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import m4_engine
import numpy as np
import pytest
from engine_library import Engine
from m4_engine import Case
from packed_ops import plan_of as image_of
from packed_ops import random_op, tiles

from host.compile.graph import Kind
from host.compile.packing import pack_op

CASES = 400


@pytest.mark.skipif(m4_engine.missing(), reason="no arm-none-eabi-gcc or no qemu-system-arm")
def test_the_m4_leaves_the_same_arena_within_the_counted_instructions(
    engine: Engine, tmp_path: Path
) -> None:
    rng = np.random.default_rng(20261122)
    cases, packed = [], []
    while len(cases) < CASES:
        plain, inputs, out_bytes = random_op(rng)
        op = pack_op(plain)
        if op.layout == 0:
            continue
        if len(cases) % 5 == 0 and op.kind in (Kind.CONV2D, Kind.DWCONV2D):
            op = replace(op, fields=replace(op.fields, flags=1))
        rows = tiles(rng, op.fields.out_h) if len(cases) % 4 == 0 and op.fields.out_h else None
        image = image_of(op, [x.nbytes for x in inputs], out_bytes, rows)
        arena = bytearray(b"\xa5" * int.from_bytes(image[24:28], "little"))
        at = 0
        for x in inputs:
            arena[at : at + x.nbytes] = x.tobytes()
            at += -(-x.nbytes // 16) * 16
        cases.append(Case(image, bytes(arena)))
        packed.append(op)
    outcomes = m4_engine.run(m4_engine.build(tmp_path), cases)
    for case, op, outcome in zip(cases, packed, outcomes, strict=True):
        assert outcome.code == 0
        assert outcome.hash == m4_engine.fnv1a(engine.run_arena(case.image, case.arena)), op
        if op.instructions and len(outcome.instructions) == 1:
            assert outcome.instructions[0] <= op.instructions, op
