"""Fixtures that several test folders share, and the hypothesis profile."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# --import-mode=importlib leaves sys.path alone; the helper modules beside this file are imported
# by their plain names.
sys.path.insert(0, str(Path(__file__).parent))

from engine_library import Engine

# print_blob: a failure prints the line that replays it.
settings.register_profile(
    "tactus",
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("tactus")


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The C engine, compiled for this machine."""
    return Engine.build()
