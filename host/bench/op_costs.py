"""`python -m host.bench.op_costs`: what each operator kind costs on the emulated core, for board.toml.

A plan of hundreds of operators, every kind in many shapes, runs once on the bare core; a plugin of
the emulator counts the instructions of each. For each kind the lowest plane

    base + units * per_unit + outputs * per_output + runs * per_run

above every count is printed as the tables [wcet.ns_per_unit], [wcet.ns_per_output] and
[wcet.ns_per_run]. units, outputs and runs are those of host.compile.graph.Op; base and the time of
an instruction are the board's.
Plain C only: the instructions of packed kernels are counted by host/compile/packing/cost.py.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from host.bench.bare_metal import Kernels, measure
from host.boards import Board, load_board
from host.compile.graph import Constants, Fields, Kind, Op
from host.compile.image import OPS_MAX, Placed, write_image

BOARD = "qemu-m4"
_REGION = 1 << 16  # bytes: both operands lie in the first, outputs in the second
_SECOND = _REGION // 2
_ROUND_NS = 16  # costs are rounded up to it
_STEPS = 80  # slopes that are tried along an axis
_KERNELS = ((1, 1), (3, 3), (1, 5), (5, 1))
_COUNTS = (1, 13, 100, 1000)
_RNG = np.random.default_rng(1)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one kind, ns. mean, worst: the plane as a multiple of what was counted."""

    per_unit: int
    per_output: int
    per_run: int
    mean: float
    worst: float


def measured_costs(board: Board) -> dict[str, Cost]:
    """Cost of every kind. Raises BenchError."""
    ops = [replace(op, name=f"op{index}", output="z") for index, op in enumerate(sample_ops())]
    return fitted(ops, instructions(board, ops), board)


def instructions(board: Board, ops: list[Op]) -> list[int]:
    """Instructions of each op with the dispatcher's part, on operands of random float32 bytes."""
    places = {
        "x": Placed(0, _REGION),
        "y": Placed(_SECOND, _SECOND),
        "z": Placed(_REGION, _REGION),
    }
    found: list[int] = []
    for first in range(0, len(ops), OPS_MAX):
        part = ops[first : first + OPS_MAX]
        image = write_image(part, [1] * len(part), places, ["x"], ["z"], 2 * _REGION)
        values = _RNG.normal(0, 2, (1, _REGION // 4)).astype("<f4")
        measured = measure(board, image, Kernels(), values.view(np.int8))
        found += [step.instructions for step in measured.ops]
    return found


def fitted(ops: list[Op], counts: list[int], board: Board) -> dict[str, Cost]:
    """For each kind the plane that lies above all counts and exceeds them least on the average."""
    by_kind: dict[str, list[tuple[int, int, int, int]]] = defaultdict(list)
    for op, count in zip(ops, counts, strict=True):
        by_kind[op.kind.name.lower()].append((op.units, op.outputs, op.runs, count))
    return {kind: _plane(np.array(rows), board) for kind, rows in by_kind.items()}


def _plane(rows: npt.NDArray[np.int64], board: Board) -> Cost:
    units, outputs, runs, counts = rows.T
    base = board.wcet.base_us * 1000
    needed = counts * board.wcet.ns_per_instruction
    best: Cost | None = None
    for per_unit in _slopes(needed - base, units):
        left = needed - base - per_unit * units
        for per_output in _slopes(left, outputs):
            rest = left - per_output * outputs
            per_run = _steepest(rest, runs)
            if (rest > per_run * runs).any():
                continue  # what has no run is not below the plane
            above = (base + units * per_unit + outputs * per_output + runs * per_run) / needed
            if best is None or above.mean() < best.mean:
                mean, worst = float(above.mean()), float(above.max())
                best = Cost(per_unit, per_output, per_run, mean, worst)
    assert best is not None
    return best


def _steepest(needed: npt.NDArray[np.int64], of: npt.NDArray[np.int64]) -> int:
    """The least cost of one that covers what is needed wherever there is one, rounded up."""
    some = of > 0
    most = float((needed[some] / of[some]).max()) if some.any() else 0.0
    return max(0, -(-math.ceil(most) // _ROUND_NS)) * _ROUND_NS


def _slopes(needed: npt.NDArray[np.int64], of: npt.NDArray[np.int64]) -> list[int]:
    steepest = _steepest(needed, of)
    if steepest == 0:
        return [0]
    tried = np.geomspace(_ROUND_NS, steepest, _STEPS) // _ROUND_NS * _ROUND_NS
    return sorted({0, steepest, *map(int, tried)})


def sample_ops() -> Iterator[Op]:
    """Operators of every kind: small and large, odd and even, with and without borders."""
    yield from _convolutions()
    yield from _pools()
    yield from _products()
    yield from _elementwise()
    yield from _moves()
    yield from _floats()


def _op(kind: Kind, fields: Fields, constants: Constants | None = None, inputs: str = "x") -> Op:
    return Op("", kind, tuple(inputs), "", fields=fields, constants=constants or Constants())


def _int8(count: int) -> bytes:
    return _RNG.integers(-128, 128, count, np.int8).tobytes()


def _real(count: int) -> bytes:
    return _RNG.normal(0, 1, count).astype("<f4").tobytes()


def _scalings(channels: int, weights: int) -> Constants:
    return Constants(
        weights=_int8(weights),
        bias=_RNG.integers(-999, 999, channels).astype("<i4").tobytes(),
        mult=_RNG.integers(2**30, 2**31 - 1, channels).astype("<i4").tobytes(),
        shift=_RNG.integers(-9, -5, channels).astype("<i4").tobytes(),
    )


_INT8 = Fields(in0_add=5, out_add=-3, act_min=-100, act_max=100)


def _windows(channels: tuple[tuple[int, int], ...], base: Fields) -> Iterator[Fields]:
    """Windows over small and large maps with (in_c, out_c)."""
    steps = ((1, 1, 1, 0), (2, 2, 1, 1), (1, 2, 2, 2))  # strides, dilation, padding
    for (k_h, k_w), (in_c, out_c), (s_h, s_w, dil, pad), (in_h, in_w) in itertools.product(
        _KERNELS, channels, steps, ((11, 9), (16, 24))
    ):
        if pad >= min(k_h, k_w) and k_h * k_w > 1:
            pad = min(k_h, k_w) - 1
        pad = 0 if k_h * k_w == 1 else pad
        out_h = (in_h + 2 * pad - dil * (k_h - 1) - 1) // s_h + 1
        out_w = (in_w + 2 * pad - dil * (k_w - 1) - 1) // s_w + 1
        if max(in_h * in_w * in_c, out_h * out_w * out_c) > 1 << 13:
            continue
        yield replace(
            base,
            in_h=in_h,
            in_w=in_w,
            in_c=in_c,
            out_h=out_h,
            out_w=out_w,
            out_c=out_c,
            k_h=k_h,
            k_w=k_w,
            stride_h=s_h,
            stride_w=s_w,
            dil_h=dil,
            dil_w=dil,
            pad_t=pad,
            pad_l=pad,
            row_end=out_h,
        )


_CHANNELS = ((1, 1), (1, 8), (3, 5), (4, 8), (8, 16), (16, 3), (32, 8))


def _convolutions() -> Iterator[Op]:
    for f in _windows(_CHANNELS, _INT8):
        weights = f.out_c * f.k_h * f.k_w * f.in_c
        yield _op(Kind.CONV2D, f, _scalings(f.out_c, weights))
        yield _op(Kind.F32_CONV2D, _bare(f), Constants(weights=_real(weights)))
        wide = (f.in_h - 1) * f.stride_h + f.dil_h * (f.k_h - 1) + 1
        long = (f.in_w - 1) * f.stride_w + f.dil_w * (f.k_w - 1) + 1
        turned = replace(f, out_h=wide, out_w=long, row_end=wide, pad_t=0, pad_l=0)
        if wide * long * f.out_c <= 1 << 13:
            yield _op(Kind.TCONV2D, turned, _scalings(f.out_c, weights))
            yield _op(Kind.F32_TCONV2D, _bare(turned), Constants(weights=_real(weights)))
    for f in _windows(((1, 1), (1, 5), (3, 3), (4, 8), (8, 8), (16, 16), (17, 17)), _INT8):
        yield _op(Kind.DWCONV2D, f, _scalings(f.out_c, f.k_h * f.k_w * f.out_c))


def _bare(f: Fields) -> Fields:
    return replace(f, in0_add=0, out_add=0, act_min=0, act_max=0)


def _pools() -> Iterator[Op]:
    for f in _windows(((1, 1), (3, 3), (8, 8), (17, 17)), _INT8):
        if f.dil_h == 1:
            yield _op(Kind.MAXPOOL2D, replace(f, in0_add=0, out_add=0))
            yield _op(Kind.AVGPOOL2D, replace(f, scale=0.1))


def _products() -> Iterator[Op]:
    for rows, depth, columns in itertools.product((1, 3, 9), (1, 6, 64, 250), (1, 5, 32)):
        f = Fields(in_h=rows, in_c=depth, out_h=rows, out_c=columns, row_end=rows)
        scaled = replace(
            f, mult0=2**30, shift0=-7, in0_add=5, out_add=-3, act_min=-100, act_max=100
        )
        yield _op(
            Kind.LINEAR, scaled, Constants(weights=_int8(columns * depth), bias=bytes(4 * columns))
        )
        yield _op(Kind.MATMUL, replace(scaled, in1_add=4), None, "xy")
        yield _op(Kind.F32_MATMUL, f, None, "xy")


def _elementwise() -> Iterator[Op]:
    sums = {"mult0": 2**30, "mult1": 2**31 - 1, "mult2": 1500000000, "shift2": -18}
    exp = Constants(weights=np.exp(-np.arange(256) / 9).astype("<f4").tobytes())
    for count in _COUNTS:
        two = replace(_INT8, in1_add=-9, count=count)
        for in_c in (0, 1) if count > 1 else (0,):
            repeated = replace(two, in_c=in_c)
            yield _op(Kind.ADD, replace(repeated, param0=20, **sums), None, "xy")
            yield _op(
                Kind.ADD, replace(repeated, param0=20, **sums, shift0=3, shift1=2), None, "xy"
            )
            yield _op(Kind.MUL, replace(repeated, mult0=2**30, shift0=-3), None, "xy")
            yield _op(Kind.MUL, replace(repeated, mult0=2**30, shift0=3), None, "xy")
            yield _op(Kind.DIV, replace(repeated, scale=3.5), None, "xy")
            yield _op(Kind.MINIMUM, Fields(count=count, in_c=in_c), None, "xy")
            yield _op(Kind.MAXIMUM, Fields(count=count, in_c=in_c), None, "xy")
        yield _op(Kind.QUANTIZE, replace(_INT8, in0_add=0, scale=2.5, count=count))
        yield _op(Kind.DEQUANTIZE, Fields(in0_add=3, scale=0.5, count=count))
        yield _op(Kind.CLAMP, Fields(act_min=-9, act_max=9, count=count))
        yield _op(Kind.LUT, Fields(count=count), Constants(weights=_int8(256)))
        for in_c in (1, 2, 10, 100):
            if count % in_c == 0:
                yield _op(Kind.SOFTMAX, Fields(in_c=in_c, out_add=-128, count=count), exp)
                yield _op(Kind.F32_SOFTMAX, Fields(in_c=in_c, count=count))
                yield _op(Kind.F32_MEAN, Fields(in_c=in_c, count=count, scale=float(in_c)))


def _moves() -> Iterator[Op]:
    for count, size in itertools.product(_COUNTS, (1, 4)):
        for extents in ((1, 1, 1, 1, 1, count), (1, 1, 1, 1, count, 1), (count, 1, 1, 1, 1, 1)):
            steps = [int(extent > 1) for extent in extents]
            walk = np.array([*extents, *steps, *steps], "<i4").tobytes()
            yield _op(Kind.STRIDED, Fields(param0=size, count=count), Constants(weights=walk))
        yield _op(Kind.COPY, Fields(count=count * size))
        yield _op(
            Kind.CONST, Fields(count=count * size), Constants(weights=_int8(count * size)), ""
        )
    for height, width, channels in ((1, 1, 1), (9, 7, 1), (1, 50, 1), (12, 12, 9), (50, 1, 1)):
        out_h, out_w = height + 2, width + 2
        yield _op(
            Kind.PAD,
            Fields(
                *(height, width, channels, out_h, out_w, channels),
                pad_t=1,
                pad_l=1,
                row_end=out_h,
                param0=-7,
            ),
        )


def _floats() -> Iterator[Op]:
    for count in _COUNTS:
        for code in range(4):
            for in_c in (0, 1) if count > 1 else (0,):
                f = Fields(scale=1.0, param0=code, count=count, in_c=in_c)
                yield _op(Kind.F32_BINARY, f, None, "xy")
        for code in range(2):
            yield _op(Kind.F32_UNARY, Fields(param0=code, count=count))
        bounds = Constants(weights=np.array([-1, 1], "<f4").tobytes())
        yield _op(Kind.F32_CLAMP, Fields(count=count), bounds)


def main() -> None:
    """Print the tables as board.toml has them."""
    board = load_board(BOARD)
    costs = measured_costs(board)
    kinds = [kind.name.lower() for kind in Kind if kind.name.lower() in costs]
    print("# kind: declared time on the average and at most, as a multiple of the measured one")
    for kind in kinds:
        print(f"# {kind}: {costs[kind].mean:.1f}, {costs[kind].worst:.1f}")
    for title in ("per_unit", "per_output", "per_run"):
        print(f"\n[wcet.ns_{title}]")
        for kind in kinds:
            value = getattr(costs[kind], title)
            if value or title == "per_unit":
                print(f"{kind} = {value:_}")


if __name__ == "__main__":
    main()
