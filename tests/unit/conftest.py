"""Fixtures of the tests of the device's Python: a board, empty or with a package that runs."""

from __future__ import annotations

from collections.abc import Iterator

import package_builder as build
import pytest
from device_bench import Bench


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


@pytest.fixture
def running() -> Iterator[Bench]:
    bench = Bench()
    bench.install(build.build())
    yield bench
    bench.close()
