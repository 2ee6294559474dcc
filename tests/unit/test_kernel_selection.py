"""TAC_KERNELS: an engine built for some op kinds runs those and refuses images that need others."""

from __future__ import annotations

from engine_library import SOURCES, Engine, compile_cached
from plan_builder import Kind, op, single

from protocol import errors


def test_a_build_for_one_kind_runs_it_and_refuses_the_others(engine: Engine) -> None:
    flags = ["-O2", "-shared", "-fPIC", f"-DTAC_KERNELS={1 << Kind.CLAMP:#x}u"]
    small = Engine(compile_cached("clamp-only.so", SOURCES, flags))
    clamp = single(op(Kind.CLAMP, act_min=-3, act_max=5, count=4), [4], 4).image()
    assert small.run(clamp, [bytes([0, 100, 200, 255])]) == [bytes([0, 5, 253, 255])]
    copy = single(op(Kind.COPY, count=4), [4], 4).image()
    assert engine.check(copy, 64) == 0
    assert small.check(copy, 64) == -errors.PLAN_KERNEL
