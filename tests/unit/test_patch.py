"""The board's decoder of patch ops against the golden vectors."""

from __future__ import annotations

import json
from typing import Any

import pytest
from patch_reference import PatchError, decode, decode_in_c, measure_in_c

from host.boards import ROOT
from host.package.delta_code import COPY, head, seek

VECTORS: dict[str, Any] = json.loads((ROOT / "protocol" / "vectors" / "patch.json").read_text())
BASE = bytes.fromhex(VECTORS["base"])


def name(case: dict[str, Any]) -> str:
    return str(case["name"])


@pytest.mark.parametrize("case", VECTORS["good"], ids=name)
@pytest.mark.parametrize("room", [1, 3, 100])
def test_good_ops_make_their_result_in_pieces_of_any_size(case: dict[str, Any], room: int) -> None:
    ops, result = bytes.fromhex(case["ops"]), bytes.fromhex(case["result"])
    assert decode_in_c(ops, BASE, case["off"], room) == result == decode(ops, BASE, case["off"])
    assert measure_in_c(ops, BASE, case["off"]) == len(result)


@pytest.mark.parametrize("case", VECTORS["bad"], ids=name)
def test_bad_ops_are_refused_before_and_while_they_are_applied(case: dict[str, Any]) -> None:
    ops = bytes.fromhex(case["ops"])
    with pytest.raises(PatchError):
        measure_in_c(ops, BASE, case["off"])
    with pytest.raises(PatchError):
        decode_in_c(ops, BASE, case["off"], 1)


def test_measuring_costs_what_the_ops_are_long_not_what_they_make() -> None:
    base = bytes(1 << 20)
    there_and_back = head(COPY, 1 << 20) + seek(-1 << 20)
    assert measure_in_c(there_and_back * 30, base, 0) == 30 << 20
