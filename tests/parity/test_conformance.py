"""ExecuTorch's own Cortex-M cases: exactly those that COVERAGE.md names as unsupported are.

The names come from the committed table, so that collecting these tests costs nothing.
"""

from __future__ import annotations

import pytest

from host.bench.conformance import Case, collect
from host.bench.parity import TABLE, judge, layouts, read_table, runner
from host.boards import load_board

STATED = read_table(TABLE.read_text())
HOST = layouts(load_board("host"))
RUN = runner("host")


@pytest.fixture(scope="module")
def cases() -> dict[str, Case]:
    return {case.name: case for case in collect()}


def test_the_table_names_every_case_of_the_wheel_and_95_percent_pass(
    cases: dict[str, Case],
) -> None:
    assert set(STATED) == set(cases)
    assert sum(STATED.values()) >= 0.95 * len(STATED)


@pytest.mark.parametrize("name", STATED)
def test_a_case_of_executorch(cases: dict[str, Case], name: str) -> None:
    verdict = judge([cases[name]], HOST, RUN)[name]
    assert verdict.outcome == ("passed" if STATED[name] else "unsupported"), verdict.reason
