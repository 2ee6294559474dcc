"""Every reason for which a board refuses a package, one by one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import package_builder as build
import pytest
from device_bench import Bench
from fake_store import BAD, CONFIRMED, EMPTY, STAGED
from hypothesis import given, settings
from hypothesis import strategies as st
from package_builder import Manifest
from plan_builder import Plan

from protocol import errors, replay


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def patched(path: str, value: Any) -> bytes:
    """A package, properly signed, with one field of the manifest changed."""

    def alter(manifest: Manifest) -> None:
        *parents, last = path.split(".")
        node: Any = manifest
        for key in parents:
            node = node[int(key)] if key.isdigit() else node[key]
        node[int(last) if last.isdigit() else last] = value

    return build.build(alter=alter)


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def in_payload(data: bytes) -> bytes:
    return flipped(data, len(data) - 16)  # the self-test vector


def in_signature(data: bytes) -> bytes:
    size = int.from_bytes(data[4:8], "little")
    return flipped(data, 16 + size - 1)


def with_plan(image: bytes, **task: Any) -> bytes:
    content = build.manifest()
    for entry in content["tasks"]:
        entry.update(task)
    return build.build(content, build.payloads(image))


def with_early_exit(names: bool = True, early: dict[str, Any] | None = None, **task: Any) -> bytes:
    """Two ops of 40 us, of which the first makes the early answer; names: the manifest says so."""
    ops = [dict(build.plan(40).ops[0], in0=0, out=at) for at in (16, 0)]
    plan = Plan(ops, [(0, 6)], [(0, 6), (16, 6)], 32, {"mandatory_ops": 1})
    content = build.manifest()
    for entry in content["tasks"]:
        entry.update({"budget_us": 60, "longest_op_us": 40, "selftest": []} | task)
        if names:
            own = dict(entry["output"], scale_f32=build.f32(0.25))
            entry["early"] = {"mandatory_us": 40, "full_us": 80, "output": own} | (early or {})
    return build.build(content, build.payloads(plan.image()))


def wrong_version() -> bytes:
    image = bytearray(build.plan().image())
    image[0] ^= 1
    return bytes(image)


REFUSALS: dict[str, tuple[int, Callable[[], bytes]]] = {
    "not a package at all": (errors.PKG_FORMAT, lambda: bytes(64)),
    "truncated by one unit": (errors.PKG_FORMAT, lambda: build.build()[:-16]),
    "a head that promises more": (
        errors.PKG_FORMAT,
        lambda: build.build()[:8] + b"\xff\xff\0\0" + build.build()[12:],
    ),
    "an unknown manifest key": (errors.PKG_FORMAT, lambda: patched("colour", "red")),
    "a zero period": (errors.PKG_FORMAT, lambda: patched("tasks.0.period_us", 0)),
    "a payload that overlaps": (errors.PKG_FORMAT, lambda: patched("payloads.1.offset", 16)),
    "a vector of the wrong size": (
        errors.PKG_FORMAT,
        lambda: build.build(parts=[("clamp", build.plan().image()), ("vector", bytes(5))]),
    ),
    "a tensor of another size than the plan's": (
        errors.PKG_FORMAT,
        lambda: patched("tasks.1.output.shape", [1, 5]),
    ),
    "one bit of the signature": (errors.PKG_SIGNATURE, lambda: in_signature(build.build())),
    "one bit of the manifest": (
        errors.PKG_SIGNATURE,
        lambda: flipped(build.build(), 16 + 120),
    ),
    "a key that is not trusted": (errors.PKG_KEY, lambda: build.build(key=build.OTHER_KEY)),
    "a key set of another root": (
        errors.PKG_KEYSET,
        lambda: build.build(keys=build.key_set(roots=[build.ROOTS[1]])),
    ),
    "one bit of a root's signature": (
        errors.PKG_KEYSET,
        lambda: build.build(keys=flipped(build.key_set(), len(build.key_set()) - 1)),
    ),
    "a key set that names no key": (
        errors.PKG_FORMAT,
        lambda: build.build(keys=build.key_set(keys=())),
    ),
    "no key set": (errors.PKG_FORMAT, lambda: build.build(keys=b"")),
    "a key set that names another key": (
        errors.PKG_KEY,
        lambda: build.build(keys=build.key_set(keys=[build.OTHER_KEY])),
    ),
    "a revoked key": (
        errors.PKG_REVOKED,
        lambda: build.build(keys=build.key_set(keys=[build.OTHER_KEY], revoked=[build.KEY])),
    ),
    "a key set older than the confirmed one": (
        errors.PKG_KEYSET_OLD,
        lambda: build.build(keys=build.key_set(version=1)),
    ),
    "one bit of a payload": (errors.PKG_DIGEST, lambda: in_payload(build.build())),
    "another class of board": (errors.PKG_TARGET, lambda: patched("target.class", "armv7e-m")),
    "a feature the board lacks": (
        errors.PKG_CAPABILITY,
        lambda: patched("target.features", ["mve"]),
    ),
    "a kernel the board lacks": (
        errors.PKG_CAPABILITY,
        lambda: patched("target.kernels", 1 << 30 | 1 << 9),
    ),
    "a later format of plans": (errors.PKG_CAPABILITY, lambda: patched("target.plan", 2)),
    "a plan kernel the manifest hides": (
        errors.PKG_CAPABILITY,
        lambda: patched("target.kernels", 1 << 3),
    ),
    "more arena than the board has": (
        errors.PKG_RAM,
        lambda: patched("target.arena_bytes", 4112),
    ),
    "arenas of tasks that may interleave": (
        errors.PKG_RAM,
        lambda: build.build(
            build.manifest(
                tasks=[
                    build.task("left", 0, 0, 1),
                    build.task("right", 0, 16, 1, deadline_us=50_000, budget_us=401),
                ]
            )
        ),
    ),
    "an arena smaller than the plan's": (
        errors.PLAN_ARENA,
        lambda: patched("tasks.0.arena_bytes", 16),
    ),
    "a plan that is none": (errors.PLAN_MAGIC, lambda: with_plan(wrong_version())),
    "a budget below the plan's": (errors.PKG_SCHEDULE, lambda: with_plan(build.plan(41).image())),
    "a vector of the first task before a budget of the second": (
        errors.PKG_FORMAT,
        lambda: build.build(
            build.manifest(
                tasks=[
                    build.task("left", 0, 0, 0),  # the plan is no input
                    build.task("right", 0, 32, 1, budget_us=39, longest_op_us=39),
                ]
            )
        ),
    ),
    "a longest op below the plan's": (
        errors.PKG_SCHEDULE,
        lambda: with_plan(build.plan(100).image(), budget_us=100, longest_op_us=99),
    ),
    "an early exit that the manifest keeps quiet about": (
        errors.PKG_FORMAT,
        lambda: with_early_exit(names=False, budget_us=80),
    ),
    "an early exit that the plan does not have": (
        errors.PKG_FORMAT,
        lambda: with_plan(
            build.plan().image(),
            early={"mandatory_us": 40, "full_us": 40, "output": build.task("a", 0, 0, 1)["output"]},
        ),
    ),
    "a mandatory part below the plan's": (
        errors.PKG_SCHEDULE,
        lambda: with_early_exit(early={"mandatory_us": 39}),
    ),
    "a whole below the plan's": (
        errors.PKG_SCHEDULE,
        lambda: with_early_exit(early={"full_us": 79}),
    ),
    "a longest op below that of an optional part": (
        errors.PKG_SCHEDULE,
        lambda: with_early_exit(longest_op_us=39),
    ),
    "deadlines that cannot be kept": (
        errors.PKG_SCHEDULE,
        lambda: with_plan(build.plan(30_000).image(), budget_us=30_000, longest_op_us=30_000),
    ),
    "a recording the board does not have": (
        errors.NOT_FOUND,
        lambda: patched("tasks.0.source.name", "run"),
    ),
}


@pytest.mark.parametrize("why", REFUSALS)
def test_an_upload_is_refused_with_its_own_code_and_the_running_package_goes_on(
    bench: Bench, why: str
) -> None:
    code, make = REFUSALS[why]
    version = 2 if code == errors.PKG_KEYSET_OLD else 1
    good = build.build(keys=build.key_set(version=version))
    bench.install(good)
    running, started = bench.board.slot, bench.fake.started
    assert bench.upload(make()) == {"err": {"group": 64, "rc": code}}, errors.sentence(code)
    assert bench.states()[1 - running] == BAD
    assert bench.store.slots[1 - running].reason == code
    assert bench.states()[running] == CONFIRMED
    assert bench.board.running and bench.fake.started == started
    bench.reset()
    assert bench.board.running and bench.board.slot == running and bench.board.reason == 0


@pytest.mark.parametrize("budget_us", [40, 60, 80])
def test_a_budget_holds_the_mandatory_part_and_as_much_more_as_it_says(
    bench: Bench, budget_us: int
) -> None:
    bench.install(with_early_exit(budget_us=budget_us))
    assert bench.board.running
    (listed, *_) = bench.read(64, 1)["tasks"]
    assert (listed["budget_us"], listed["early"]["mandatory_us"]) == (budget_us, 40)
    assert listed["early"]["output"] == {"scale_f32": build.f32(0.25), "zero_point": -1}


def test_an_older_security_counter_is_refused(bench: Bench) -> None:
    bench.install(build.build())
    reply = bench.upload(build.build(build.manifest(counter=4)))
    assert reply == {"err": {"group": 64, "rc": errors.PKG_COUNTER}}


def test_an_equal_security_counter_passes(bench: Bench) -> None:
    bench.install(build.build())
    assert bench.upload(build.build(build.manifest(version="1.2.4")))["match"] is True


THEN = 1_900_000_000


def tell_time(bench: Bench, seconds: int) -> None:
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
    assert bench.write(0, 4, {"datetime": text}) == {}


def test_an_expired_key_set_is_refused_on_arrival_when_the_time_is_known(bench: Bench) -> None:
    bench.install(build.build())
    data = build.build(build.manifest(version="2"), keys=build.key_set(expires=THEN))
    tell_time(bench, THEN)
    assert bench.upload(data) == {"err": {"group": 64, "rc": errors.PKG_EXPIRED}}
    tell_time(bench, THEN - 1)
    assert bench.upload(data)["match"] is True


def test_a_board_that_knows_no_time_takes_a_key_set_as_good(bench: Bench) -> None:
    data = build.build(keys=build.key_set(expires=1))
    assert bench.read(0, 4) == {"rc": 5}
    bench.install(data)
    tell_time(bench, THEN)
    bench.reset()  # running packages outlive their key set, and a reset forgets the time
    assert bench.board.running and bench.read(0, 4) == {"rc": 5}


def test_a_staged_package_may_expire_before_its_trial_but_a_confirmed_one_does_not(
    bench: Bench,
) -> None:
    old = build.build(keys=build.key_set(expires=THEN))
    new = build.build(build.manifest(version="2"), keys=build.key_set(expires=THEN))
    bench.install(old)
    assert bench.upload(new)["match"] is True
    tell_time(bench, THEN)
    chosen = {"hash": hashlib.sha256(new).digest(), "confirm": False}
    assert bench.write(1, 0, chosen) == {"err": {"group": 64, "rc": errors.PKG_EXPIRED}}
    tell_time(bench, THEN - 10)
    assert "images" in bench.write(1, 0, chosen)
    bench.reset()
    bench.write(1, 0, {"confirm": True})
    tell_time(bench, THEN + 10)
    back = {"hash": hashlib.sha256(old).digest(), "confirm": False}
    assert "images" in bench.write(1, 0, back)
    bench.reset()
    assert bench.board.package.manifest["version"] == "1.2.3"


def test_a_threshold_counts_different_roots(bench: Bench) -> None:
    roots = build.ROOTS
    wary = Bench(roots=b"".join(map(build.public, roots)), root_threshold=2)
    try:
        for signers, code in (
            (roots[:1], errors.PKG_KEYSET),
            (roots[:2], 0),
            (roots[1:], 0),
            (roots, 0),
            ([roots[0], build.OTHER_KEY], errors.PKG_KEYSET),
        ):
            data = build.build(
                build.manifest(version=f"1.{len(signers)}"), keys=build.key_set(roots=signers)
            )
            reply = wary.upload(data)
            assert reply.get("err", {"rc": 0})["rc"] == code
    finally:
        wary.close()


def test_tasks_with_equal_deadlines_may_share_an_arena(bench: Bench) -> None:
    tasks = [build.task("left", 0, 0, 1), build.task("right", 0, 0, 1)]
    assert bench.upload(build.build(build.manifest(tasks=tasks)))["match"] is True


def test_a_wrong_file_digest_is_told_as_no_match(bench: Bench) -> None:
    data = build.build()
    body = {"off": 0, "data": data[:300], "len": len(data), "sha": bytes(32)}
    reply = bench.write(1, 1, body)
    while reply["off"] < len(data):
        reply = bench.write(1, 1, {"off": reply["off"], "data": data[reply["off"] :][:300]})
    assert reply == {"off": len(data), "match": False}
    assert bench.refusal() == errors.PKG_DIGEST


def test_a_failed_self_test_at_boot_falls_back_to_the_confirmed_package(bench: Bench) -> None:
    bench.install(build.build())
    wrong = [{"input": 1, "output_sha256": hashlib.sha256(b"other").digest()}]
    data = build.build(build.manifest(tasks=[build.task("left", 0, 0, 1, selftest=wrong)]))
    assert bench.upload(data)["match"] is True
    bench.write(1, 0, {"hash": hashlib.sha256(data).digest(), "confirm": False})
    bench.reset()
    assert bench.refusal() == errors.PKG_SELFTEST
    assert bench.board.running and bench.board.reason == errors.PKG_SELFTEST
    assert bench.read(64, 0)["version"] == "1.2.3"


def test_a_staged_package_does_not_run_before_it_is_chosen(bench: Bench) -> None:
    bench.upload(build.build())
    bench.reset()
    assert bench.states().count(STAGED) == 1
    assert not bench.board.running and bench.board.package is None


def test_bytes_that_rot_in_a_confirmed_slot_are_found_at_boot(bench: Bench) -> None:
    bench.install(build.build())
    slot = bench.store.slots[bench.board.slot]
    slot.data[-16] ^= 0x40
    bench.reset()
    assert bench.refusal() == errors.PKG_DIGEST and not bench.board.running
    assert bench.read(64, 0)["reason"] == errors.PKG_DIGEST


LOST_RECORDINGS = {
    "the region is blank": (errors.NOT_FOUND, b"\xff" * 64),
    "another name": (errors.NOT_FOUND, build.replay_image("run")),
    "other channels": (errors.PKG_FORMAT, build.replay_image(channels=2)),
    "a window that leaves it": (errors.CORRUPT, build.replay_image(windows=(4,))),
}


@pytest.mark.parametrize("how", LOST_RECORDINGS)
def test_a_confirmed_package_waits_for_its_recording(bench: Bench, how: str) -> None:
    code, bench.replay = LOST_RECORDINGS[how]
    good, lost = build.replay_image(), bench.replay
    bench.replay = good
    bench.reset()
    bench.install(build.build())
    bench.replay = lost
    for _ in range(2):
        bench.reset()
        assert not bench.board.running and bench.states() == [CONFIRMED, EMPTY]
        info = bench.read(64, 0)
        assert info["reason"] == code and info["running"] is False and "app" not in info
    bench.replay = good
    bench.reset()
    assert bench.board.running and "reason" not in bench.read(64, 0)


def walk_and_run() -> bytes:
    samples = bytes(2 * 5 * build.CHANNELS)
    streams = [(name, samples, build.CHANNELS, [0, 1, 3]) for name in ("walk", "run")]
    return replay.build(streams)


@pytest.mark.parametrize("fallback", [True, False])
def test_a_package_on_trial_without_its_recording_is_refused(bench: Bench, fallback: bool) -> None:
    bench.replay = walk_and_run()
    bench.reset()
    bench.install(build.build())
    data = patched("tasks.0.source.name", "run")
    assert bench.upload(data)["match"] is True
    bench.write(1, 0, {"hash": hashlib.sha256(data).digest(), "confirm": False})
    bench.replay = build.replay_image() if fallback else b""
    bench.reset()
    assert bench.states() == [CONFIRMED, BAD] and bench.refusal() == errors.NOT_FOUND
    assert bench.board.reason == errors.NOT_FOUND
    assert bench.board.running is fallback
    assert bench.board.slot == (0 if fallback else -1)


@pytest.mark.parametrize("windows", [(4,), (0, 2**31)])
def test_a_recording_whose_window_leaves_it_is_refused(
    bench: Bench, windows: tuple[int, ...]
) -> None:
    bench.replay = build.replay_image(windows=windows)
    bench.reset()
    assert bench.upload(build.build()) == {"err": {"group": 64, "rc": errors.CORRUPT}}


def test_a_recording_with_other_channels_is_refused(bench: Bench) -> None:
    bench.replay = build.replay_image(channels=2)
    bench.reset()
    assert bench.upload(build.build()) == {"err": {"group": 64, "rc": errors.PKG_FORMAT}}


def test_flash_that_takes_no_trial_mark_keeps_a_package_from_running(bench: Bench) -> None:
    data = build.build()
    bench.upload(data)
    bench.write(1, 0, {"hash": hashlib.sha256(data).digest(), "confirm": False})
    bench.facts["mark_fails"] = True
    bench.reset()
    assert not bench.board.running and bench.board.reason == errors.FLASH


GOOD = build.build()


@settings(max_examples=150)
@given(st.data())
def test_any_change_of_any_byte_is_refused_and_never_crashes(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(GOOD) - 1))
    mask = data.draw(st.integers(1, 255))
    bench = Bench()
    try:
        reply = bench.upload(GOOD[:at] + bytes([GOOD[at] ^ mask]) + GOOD[at + 1 :], chunk=900)
        assert "err" in reply and reply["err"]["group"] == 64, reply
    finally:
        bench.close()


@pytest.mark.parametrize(("longest_op_us", "state"), [(401, 2), (400, 6)])
def test_arenas_are_shared_when_the_longer_deadline_runs_whole(
    longest_op_us: int, state: int
) -> None:
    content = build.manifest(
        tasks=[
            build.task("left", 0, 0, 1),
            build.task(
                "right",
                0,
                16,
                1,
                deadline_us=50_000,
                budget_us=401,
                longest_op_us=longest_op_us,
            ),
        ]
    )
    bench = Bench()
    try:
        bench.upload(build.build(content))
        assert bench.states()[0] == state
    finally:
        bench.close()


@settings(max_examples=60)
@given(st.binary(min_size=1, max_size=300))
def test_arbitrary_bytes_are_refused_as_a_package(data: bytes) -> None:
    bench = Bench()
    try:
        assert bench.upload(data) == {"err": {"group": 64, "rc": errors.PKG_FORMAT}}
    finally:
        bench.close()
