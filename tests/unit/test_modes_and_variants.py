"""Lite variants and modes from app.toml over the manifest to what a board takes, arms and refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import package_builder as build
import package_samples as samples
import pytest
from device_bench import Bench
from fake_tactus import ATTENTION, START
from package_builder import Manifest

from host.appfile import App, load_app
from host.boards import load_board
from host.errors import DoesNotFitError, UsageError
from host.package.read import parse_package
from host.package.write import LiteVariant, PackageMode
from host.schedule.admit import TaskTiming
from host.schedule.modes import admit_modes
from protocol import errors, manifest

APP = """
name = "watch"
version = "1.2.0"
[[task]]
name = "motion"
model = "motion"
period_ms = 1000
deadline_ms = 200
policy = "degrade"
source = { kind = "replay", record = "wrist" }
variants = { lite = { model = "small" } }
[[task]]
name = "digits"
model = "digits"
period_ms = 50
deadline_ms = 50
source = { kind = "replay", record = "pen" }
[modes.hot]
motion = { period_ms = 2000, variant = "lite" }
digits = "off"
[modes.cool]
digits = { period_ms = 40 }
"""
HOT = {"period_us": 100_000, "deadline_us": 50_000, "variant": 1}


def app(folder: Path, text: str = APP) -> App:
    (folder / "app.toml").write_text(text)
    return load_app(folder)


def test_variants_and_modes_are_read_from_app_toml(tmp_path: Path) -> None:
    loaded = app(tmp_path)
    assert [task.lite for task in loaded.tasks] == ["small", None]
    assert loaded.tasks[0].in_variant("lite").model == "small"
    assert [mode.name for mode in loaded.modes] == ["hot", "cool"]
    hot, cool = (mode.tasks for mode in loaded.modes)
    assert hot[0] and (hot[0].period_us, hot[0].deadline_us) == (2_000_000, 200_000)
    assert hot[0].variant == "lite" and hot[1] is None
    assert cool[0] and (cool[0].period_us, cool[0].variant) == (1_000_000, "full")
    assert cool[1] and (cool[1].period_us, cool[1].deadline_us) == (40_000, 40_000)


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        ('variants = { lite = { model = "small" } }', "", "no lighter variant"),
        ('variant = "lite" }', 'variant = "tiny" }', "modes.hot.motion.variant"),
        ("digits = { period_ms = 40 }", 'digits = { variant = "lite" }', "does not have"),
        ("[modes.cool]", "[modes.normal]", "no mode can be called 'normal'"),
        ("[modes.cool]\ndigits", "[modes.cool]\ndigit", "unknown key 'digit'"),
        ("motion = { period_ms = 2000, ", 'motion = "off" # ', "no task runs"),
        ("period_ms = 40 }", "period_ms = 40, deadline_ms = 41 }", "deadline_ms is 41"),
    ],
)
def test_a_mistake_in_modes_or_variants_is_named(
    tmp_path: Path, old: str, new: str, cause: str
) -> None:
    assert old in APP
    with pytest.raises(UsageError, match=cause) as caught:
        app(tmp_path, APP.replace(old, new))
    assert caught.value.remedy


def test_a_mode_that_is_not_schedulable_fails_the_build_by_name(tmp_path: Path) -> None:
    board = load_board("qemu-m4")
    motion = TaskTiming("motion", 40_000, 1_000_000, 200_000, 8_000)
    digits = TaskTiming("digits", 10_000, 50_000, 50_000, 3_000)
    loaded = app(tmp_path)
    light = replace(motion, budget_us=9_000, longest_op_us=4_000)
    verdicts = admit_modes(board, loaded, [motion, digits], [light, None])
    assert set(verdicts) == {"hot", "cool"}
    heavy = replace(digits, budget_us=38_000)
    with pytest.raises(DoesNotFitError, match="in mode 'cool': "):
        admit_modes(board, loaded, [motion, heavy], [light, None])


def test_a_package_carries_variants_and_modes() -> None:
    lite = LiteVariant(samples.model("small", size=400), samples.task().selftests)
    tasks = (replace(samples.task(), lite=lite), samples.task("digits", arena_offset=4096))
    modes = [PackageMode("hot", ((2_000_000, 200_000, 1), None))]
    content = parse_package(samples.package(tasks=tasks, modes=modes)).manifest
    assert content["tasks"][0]["lite"]["budget_us"] == lite.model.budget_us
    assert "lite" not in content["tasks"][1]
    assert manifest.mode_names(content) == ["normal", "hot"]
    full = manifest.mode_timings(content, 0)
    assert full[0][:2] == (1_000_000, 500_000) and full[0][4] == 0
    assert manifest.mode_timings(content, 1) == [
        (2_000_000, 200_000, lite.model.budget_us, lite.model.longest_op_us, 1),
        (0, 0, 0, 0, 0),
    ]


def content(**lite: Any) -> Manifest:
    """Two tasks, the first with a lite variant, and a mode in which only that runs."""
    made = build.manifest()
    first = made["tasks"][0]
    times = {"budget_us": 30, "longest_op_us": 30}
    tensors = {name: dict(first[name]) for name in ("input", "output")}
    first["lite"] = {"plan": 2, **times, "selftest": [], **tensors} | lite
    made["modes"] = [{"name": "hot", "tasks": [dict(HOT), None]}]
    return made


def package(made: Manifest, **plan: Any) -> bytes:
    image = build.plan(wcet_us=30, **({"act_max": 3} | plan)).image()
    return build.build(made, [*build.payloads(), ("lite", image)])


def altered(change: Callable[[Manifest], object]) -> bytes:
    made = content()
    change(made)
    return package(made)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


REFUSED: dict[str, tuple[int, Callable[[], bytes]]] = {
    "a lite variant that needs more time": (
        errors.PKG_FORMAT,
        lambda: package(content(budget_us=41)),
    ),
    "a lite variant that declares too little": (
        errors.PKG_SCHEDULE,
        lambda: package(content(budget_us=29, longest_op_us=29)),
    ),
    "a lite variant of another size": (
        errors.PKG_FORMAT,
        lambda: altered(lambda m: m["tasks"][0]["lite"]["input"].update(shape=[1, 2, 1, 2])),
    ),
    "a lite plan that is none": (errors.PLAN_MAGIC, lambda: package(content(plan=1))),
    "an unknown key": (errors.PKG_FORMAT, lambda: package(content(colour=1))),
    "no such variant": (errors.PKG_FORMAT, lambda: altered(lambda m: m["tasks"][0].pop("lite"))),
    "a mode called normal": (
        errors.PKG_FORMAT,
        lambda: altered(lambda m: m["modes"][0].update(name="normal")),
    ),
    "a mode without tasks": (
        errors.PKG_FORMAT,
        lambda: altered(lambda m: m["modes"][0].update(tasks=[None, None])),
    ),
    "a mode for other tasks": (
        errors.PKG_FORMAT,
        lambda: altered(lambda m: m["modes"][0].update(tasks=[dict(HOT)])),
    ),
    "a mode with a deadline below the budget": (
        errors.PKG_FORMAT,
        lambda: altered(lambda m: m["modes"][0]["tasks"][0].update(deadline_us=29)),
    ),
    "a mode that is not schedulable": (
        errors.PKG_SCHEDULE,
        lambda: altered(lambda m: m["modes"][0]["tasks"][0].update(deadline_us=1900)),
    ),
    "arenas shared by tasks that interleave in a mode": (
        errors.PKG_RAM,
        lambda: altered(
            lambda m: (
                m["tasks"][0].update(budget_us=m["tasks"][0]["budget_us"] + 1),  # not whole
                m["tasks"][1].update(arena_offset=0),
                m["modes"][0].update(
                    tasks=[dict(HOT), {"period_us": 90_000, "deadline_us": 40_000, "variant": 0}]
                ),
            )
        ),
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_board_refuses(bench: Bench, why: str) -> None:
    code, make = REFUSED[why]
    reply = bench.upload(make())
    assert reply["err"] == {"group": 64, "rc": code}


def test_a_board_arms_variants_and_modes(bench: Bench) -> None:
    bench.install(package(content()))
    scaled = bench.fake.modes
    assert scaled == {(1, 0): (100_000, 50_000, 30, 1), (1, 1): (0, 0, 0, 0)}
    assert bench.fake.tasks[0]["lite_budget"] == 30
    assert [task["whole"] for task in bench.fake.tasks] == [1, 1]  # one op each
    assert bench.read(64, 12) == {"mode": "normal", "modes": ["normal", "hot"], "wanted": "normal"}
    assert bench.write(64, 12, {"mode": "hot"}) == {}
    assert bench.fake.wanted_mode == 1
    assert bench.write(64, 12, {"mode": "cold"})["err"]["rc"] == errors.NOT_FOUND
    assert bench.write(64, 12, {}) == {"rc": 3}
    assert bench.read(64, 0)["mode"] == "normal"


def test_a_job_that_starts_again_gets_the_window_it_had(bench: Bench) -> None:
    bench.install(package(content()))
    bench.fake.events = [START, START | 1 << 4, START | 2 << 4, START, ATTENTION]
    bench.module("loop").beat(bench.board)
    assert bench.fake.begun == [(0, 0), (1, 1), (2, 1), (0, 2)]
    first = bench.fake.tasks[0]
    assert bytes(first["lite_input"]) != bytes(first["input"])
