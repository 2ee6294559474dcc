"""Certified distances against the step-by-step walk of the kernels' loops, over random shapes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from overlap_cases import PACKED, STREAMED, WINDOWED, packed_op, random_op, sizes

from host.compile.graph import Kind, Op
from host.compile.plan.overlap import certified
from host.compile.plan.walk import survives

EVERY = [*WINDOWED, Kind.LINEAR, Kind.PAD, *STREAMED]
seeds = st.integers(0, 2**32 - 1)


def threshold(op: Op, which: int, reverse: bool, step: int = 1) -> int:
    """The smallest multiple of `step` from which on every one is safe, by trying all."""
    in_bytes, out_bytes = sizes(op)
    size = in_bytes[which]
    top, bottom = (size, -out_bytes) if reverse else (out_bytes, -size)
    least = -(-top // step) * step
    while least > bottom:
        closer = least - step
        if not survives(op, which, size, out_bytes, -closer if reverse else closer):
            break
        least = closer
    return least


@settings(max_examples=700, deadline=None)
@given(st.sampled_from(EVERY), seeds)
def test_forward_distances_are_exact(kind: Kind, seed: int) -> None:
    op = random_op(kind, np.random.default_rng(seed))
    for which, distance in enumerate(certified(op)):
        assert distance.forward is not None
        assert max(distance.forward, -sizes(op)[0][which]) == threshold(op, which, False)


@settings(max_examples=200, deadline=None)
@given(seeds)
def test_reverse_distances_of_depthwise_are_exact(seed: int) -> None:
    op = random_op(Kind.DWCONV2D, np.random.default_rng(seed), reverse=True)
    (distance,) = certified(op)
    assert distance.reverse is not None
    assert max(distance.reverse, -sizes(op)[1]) == threshold(op, 0, True)


def test_reverse_is_certified_for_no_other_kernel() -> None:
    rng = np.random.default_rng(3)
    for kind in EVERY:
        op = random_op(kind, rng)
        if kind != Kind.DWCONV2D:
            assert all(distance.reverse is None for distance in certified(op))
    widening = random_op(Kind.DWCONV2D, rng, reverse=True)
    f = widening.fields
    widening = replace(widening, fields=replace(f, out_c=2 * f.in_c))
    assert certified(widening)[0].reverse is None


@pytest.mark.parametrize("kind", [Kind.PERMUTE, Kind.VIEW])
def test_what_no_kernel_runs_certifies_nothing(kind: Kind) -> None:
    (distance,) = certified(Op("x", kind, ("a",), "b"))
    assert distance.forward is None and distance.reverse is None


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(PACKED), seeds)
def test_distances_of_packed_kernels_are_exact(kind: Kind, seed: int) -> None:
    op = packed_op(kind, np.random.default_rng(seed))
    in_bytes, out_bytes = sizes(op)
    for which, distance in enumerate(certified(op)):
        assert distance.forward is not None
        nearest = min(max(distance.forward, -in_bytes[which]), out_bytes)
        assert nearest == threshold(op, which, False)
        if distance.reverse is not None:
            mirrored = replace(op, fields=replace(op.fields, flags=1))
            # Beyond the input there is nothing to overwrite.
            nearest = min(max(distance.reverse, -out_bytes), in_bytes[which])
            assert nearest == threshold(mirrored, which, True)


def among_multiples(channels: int, reverse: bool, seed: int) -> tuple[int, int]:
    """The certificate of a packed depthwise op among multiples of 16, and the least that is safe."""
    op = packed_op(Kind.DWCONV2D, np.random.default_rng(seed), channels)
    (size,), out_bytes = sizes(op)
    (certificate,) = certified(op, 16)
    distance = certificate.reverse if reverse else certificate.forward
    assert distance is not None
    mirrored = replace(op, fields=replace(op.fields, flags=int(reverse)))
    low, high = (-out_bytes, size) if reverse else (-size, out_bytes)
    nearest = -(-min(max(distance, low), high) // 16) * 16
    return nearest, max(threshold(mirrored, 0, reverse, 16), -(-low // 16) * 16)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([4, 8, 16]), st.booleans(), seeds)
def test_distances_of_depthwise_among_multiples_are_safe(
    channels: int, reverse: bool, seed: int
) -> None:
    nearest, least = among_multiples(channels, reverse, seed)
    assert nearest >= least


def test_distances_of_depthwise_among_multiples_are_exact_but_for_gaps_between_rows() -> None:
    # A step's bytes count as one interval: what would fit between the rows of a tile is not used.
    cases = [(c, r, seed) for c in (4, 8, 16) for r in (False, True) for seed in range(20)]
    exact = [nearest == least for nearest, least in (among_multiples(*case) for case in cases)]
    assert sum(exact) >= 0.95 * len(cases)
