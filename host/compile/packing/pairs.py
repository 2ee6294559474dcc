"""Two output channels per weight word: which channels go together, exactly. See engine/packed.h."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from host.compile.packing.refusal import NotPackedError

UPPER_LIMIT = 1 << 23  # |A| of a channel in the upper byte stays below
LOWER_LIMIT = 1 << 29  # |v| of any channel: doubling it and adding the constant stay inside int32


@dataclass(frozen=True, slots=True)
class Pair:
    """Channels in the lower (b) and upper (a) byte; alone = b again with weights of zero."""

    lower: int
    upper: int | None


@dataclass(frozen=True, slots=True)
class Channels:
    """Weights [channels, taps] and biases with the input zero point folded in, and their bounds."""

    weights: npt.NDArray[np.int64]
    bias: npt.NDArray[np.int64]
    bound: npt.NDArray[np.int64]  # no accumulator exceeds it in magnitude, at any time


def channels_of(
    weights: npt.NDArray[np.int8], bias: npt.NDArray[np.int32] | None, in0_add: int
) -> Channels:
    """Fold the zero point: sum w * (x + add) + bias = sum w * x + (bias + add * sum w).

    Raises NotPackedError when an accumulator could leave LOWER_LIMIT.
    """
    wide = weights.astype(np.int64)
    folded = in0_add * wide.sum(axis=1)
    if bias is not None:
        folded = folded + bias
    bound = np.abs(folded) + 128 * np.abs(wide).sum(axis=1)
    if int(bound.max()) >= LOWER_LIMIT:
        raise NotPackedError(f"an accumulator of up to {int(bound.max())}")
    return Channels(wide, folded, bound)


def pair_up(channels: Channels) -> tuple[Pair, ...]:
    """Pairs that cover every channel once; neighbours stay together where that is exact."""
    count = len(channels.bias)
    pairs: list[Pair] = []
    left: list[int] = []
    for one in range(0, count, 2):
        pair = _together(channels, one, one + 1) if one + 1 < count else None
        if pair is None:
            left.extend(range(one, min(one + 2, count)))
        else:
            pairs.append(pair)
    while left:
        one = left.pop(0)
        match = next((p for p in (_together(channels, one, two) for two in left) if p), None)
        if match is not None:
            pairs.append(match)
            left.remove(match.lower if match.upper == one else _upper(match))
        elif left and (swap := _exchange(channels, one, left[0], pairs)) is not None:
            left.pop(0)
            at, first, second = swap
            pairs[at] = first
            pairs.append(second)
        else:
            pairs.append(Pair(one, None))
    return tuple(pairs)


def _upper(pair: Pair) -> int:
    assert pair.upper is not None
    return pair.upper


def _together(channels: Channels, one: int, two: int) -> Pair | None:
    """The pair of two channels in an order that is exact, if there is one."""
    for lower, upper in ((one, two), (two, one)):
        a, b = channels.weights[upper], channels.weights[lower]
        if channels.bound[upper] < UPPER_LIMIT and not bool(((a == -128) & (b < 0)).any()):
            return Pair(lower, upper)
    return None


def _exchange(
    channels: Channels, one: int, two: int, pairs: list[Pair]
) -> tuple[int, Pair, Pair] | None:
    """Split a finished pair so that its halves go with `one` and `two`."""
    for at, pair in enumerate(pairs):
        if pair.upper is None:
            continue
        for first, second in ((pair.lower, pair.upper), (pair.upper, pair.lower)):
            new = _together(channels, one, first)
            other = _together(channels, two, second)
            if new is not None and other is not None:
                return at, new, other
    return None


def words_of(channels: Channels, pair: Pair, taps: int) -> tuple[int, int, npt.NDArray[np.int32]]:
    """(256 * bias_a + bias_b, bias_b, weight words), `taps` (a multiple of 4) >= the real ones.

    Word 2i holds taps 4i and 4i + 2, word 2i + 1 taps 4i + 1 and 4i + 3.
    """
    half = channels.weights[pair.lower].copy()
    bias = int(channels.bias[pair.lower])
    both = bias
    if pair.upper is not None:
        half += 256 * channels.weights[pair.upper]
        both += 256 * int(channels.bias[pair.upper])
    assert int(half.min()) >= -32768 and int(half.max()) <= 32767
    padded = np.zeros(taps, np.int64)
    padded[: len(half)] = half
    ordered = padded.reshape(-1, 2, 2).transpose(0, 2, 1).astype(np.int16)
    return wrap32(both), bias, np.ascontiguousarray(ordered).reshape(-1).view(np.int32)


def wrap32(value: int) -> int:
    """Modulo 2^32 into int32."""
    return (value + (1 << 31)) % (1 << 32) - (1 << 31)
