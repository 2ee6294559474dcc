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

# The suite draws the same examples each time, so that a change fails for what it changed; with
# `--hypothesis-profile explore` it looks for new ones. print_blob: a failure prints the line that
# replays it.
settings.register_profile(
    "explore",
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("repeat", settings.get_profile("explore"), derandomize=True)
settings.load_profile("repeat")


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The C engine, compiled for this machine."""
    return Engine.build()
