"""The costs of board.toml lie above what the emulated core takes, for every kind and shape measured."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from host.bench.op_costs import fitted, instructions, sample_ops
from host.boards import load_board
from host.compile.graph import Kind, Op
from host.schedule.wcet import op_wcet_us

BOARD = load_board("qemu-m4")


def declared_us(op: Op) -> int:
    bare = replace(BOARD, wcet=replace(BOARD.wcet, margin_percent=0))
    return op_wcet_us(bare, op.kind.name.lower(), op.units, 0, op.outputs, op.runs)


@pytest.mark.emulated
def test_every_kind_declares_more_than_it_takes_and_not_far_more() -> None:
    ops = [replace(op, name=f"op{index}", output="z") for index, op in enumerate(sample_ops())]
    assert {op.kind for op in ops} == {kind for kind in Kind if kind > 0}
    counts = instructions(BOARD, ops)
    above: Counter[Kind] = Counter()
    shapes = Counter(op.kind for op in ops)
    for op, count in zip(ops, counts, strict=True):
        measured_us = count * BOARD.wcet.ns_per_instruction / 1000
        assert measured_us <= declared_us(op), op
        # What the base alone covers says nothing about the kind.
        above[op.kind] += max(declared_us(op) - BOARD.wcet.base_us, 0) / measured_us
    for kind, total in above.items():
        assert total / shapes[kind] < 3.5, kind
    for name, cost in fitted(ops, counts, BOARD).items():
        found = (cost.per_unit, cost.per_output, cost.per_run)
        tables = (BOARD.wcet.ns_per_unit, BOARD.wcet.ns_per_output, BOARD.wcet.ns_per_run)
        stated = tuple(table.get(name, 0) for table in tables)
        assert all(abs(a - b) <= 0.1 * b + 500 for a, b in zip(found, stated, strict=True)), name


def test_a_kind_that_is_too_cheap_is_found_out() -> None:
    ops = [Op("a", Kind.COPY, (), "z"), Op("b", Kind.COPY, (), "z")]
    ops = [
        replace(op, fields=replace(op.fields, count=count))
        for op, count in zip(ops, (1000, 10), strict=True)
    ]
    base = BOARD.wcet.base_us * 1000 // BOARD.wcet.ns_per_instruction
    (cost,) = fitted(ops, [base + 3000, base], BOARD).values()
    assert cost.per_unit >= 3 * BOARD.wcet.ns_per_instruction
    assert cost.per_output == cost.per_run == 0
