"""Random ops for the packed kernels, as the compiler sees them, and how to run one in a plan."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from engine_library import Engine

from host.compile.graph import Constants, Fields, Kind, Op
from host.compile.image import Placed, write_image

CLAMPS = ((-128, 127), (-128, 127), (-100, 90), (0, 127), (-128, -5), (7, 7))


def int8(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Random bytes; sometimes only extremes, sometimes none of -128, sometimes small ones."""
    choice = rng.integers(6)
    if choice == 0:
        return rng.choice(np.array([-128, 127], np.int8), shape)
    if choice == 1:
        return rng.integers(-20, 20, shape).astype(np.int8)
    return rng.integers(-128 if choice < 4 else -127, 128, shape).astype(np.int8)


def scaling(rng: np.random.Generator, count: int, turns: int) -> tuple[bytes, bytes]:
    """Multipliers and shifts that spread sums of `turns` products over int8."""
    mult = rng.integers(2**30, 2**31, count)
    if rng.integers(6) == 0:
        mult = rng.choice(np.array([0, 1, 2**30, 2**31 - 1]), count)
    middle = 6 + round(math.log2(turns + 1) / 2)
    shift = -np.clip(rng.integers(middle - 3, middle + 3, count), 1, 15)
    if rng.integers(6) == 0:
        shift = -rng.integers(1, 16, count)
    return mult.astype("<i4").tobytes(), shift.astype("<i4").tobytes()


def biases(rng: np.random.Generator, count: int) -> bytes:
    """int32 biases; sometimes none."""
    if rng.integers(5) == 0:
        return b""
    return rng.integers(-20000, 20000, count).astype("<i4").tobytes()


def activation(rng: np.random.Generator) -> dict[str, int]:
    """Zero points and clamp; half of the time the one of a fused ReLU."""
    add = int(rng.integers(-127, 129))
    if rng.integers(2):
        return {"in0_add": add, "out_add": -128, "act_min": -128, "act_max": 127}
    low, high = CLAMPS[rng.integers(len(CLAMPS))]
    out_add = int(rng.integers(-128, 128))
    return {"in0_add": add, "out_add": out_add, "act_min": low, "act_max": high}


def tiles(rng: np.random.Generator, rows: int) -> list[tuple[int, int]]:
    """One to three row tiles."""
    ends = sorted({*rng.integers(1, rows + 1, rng.integers(0, 3)).tolist(), rows})
    return list(zip([0, *ends[:-1]], ends, strict=True))


def plan_of(
    op: Op,
    sizes: list[int],
    out_bytes: int,
    rows: list[tuple[int, int]] | None,
    over: str | None = None,
) -> bytes:
    """A plan image that runs one op, in row tiles if there are any; `over`: input its output replaces."""
    places, end = {}, 0
    for name, size in [*zip(op.inputs, sizes, strict=True), (op.output, out_bytes)]:
        places[name] = Placed(end, size)
        end += -(-size // 16) * 16
    if over is not None:
        places[op.output] = places[over]
    places[op.scratch] = Placed(end, op.scratch_bytes)
    end += -(-op.scratch_bytes // 16) * 16
    ops = [op]
    if rows is not None:
        ops = [
            replace(op, fields=replace(op.fields, row_begin=first, row_end=last))
            for first, last in rows
        ]
    return write_image(ops, [1] * len(ops), places, op.inputs, (op.output,), end)


def run(
    engine: Engine,
    op: Op,
    inputs: list[np.ndarray],
    out_bytes: int,
    rows: list[tuple[int, int]] | None = None,
    over: str | None = None,
) -> np.ndarray:
    """The op's output on an arena of exactly the declared size."""
    image = plan_of(op, [x.nbytes for x in inputs], out_bytes, rows, over)
    arena_bytes = int.from_bytes(image[24:28], "little")
    (data,) = engine.run(image, [x.tobytes() for x in inputs], arena_bytes)
    return np.frombuffer(data, np.int8)


def conv(rng: np.random.Generator, fields: Fields, kind: Kind = Kind.CONV2D) -> Op:
    """A convolution of these shapes with random weights and scalings."""
    f = replace(fields, **activation(rng))
    inputs = f.in_c if kind is Kind.CONV2D else 1
    taps = f.k_h * f.k_w * inputs
    mult, shift = scaling(rng, f.out_c, taps)
    constants = Constants(int8(rng, f.out_c, taps).tobytes(), biases(rng, f.out_c), mult, shift)
    return Op("op", kind, ("x",), "y", fields=f, constants=constants)


def linear(rng: np.random.Generator, rows: int, in_c: int, out_c: int) -> Op:
    """A fully connected layer with random weights and scaling."""
    mult, shift = (int.from_bytes(v, "little", signed=True) for v in scaling(rng, 1, in_c))
    fields = Fields(
        in_h=rows, in_c=in_c, out_h=rows, out_c=out_c, row_end=rows, mult0=mult, shift0=shift,
        **activation(rng),
    )  # fmt: skip
    constants = Constants(int8(rng, out_c, in_c).tobytes(), biases(rng, out_c))
    return Op("op", Kind.LINEAR, ("x",), "y", fields=fields, constants=constants)


def random_op(rng: np.random.Generator) -> tuple[Op, list[np.ndarray], int]:
    """An op of any kind that has a packed kernel, its inputs, and the bytes of its output."""
    pick = lambda low, high: int(rng.integers(low, high + 1))
    kinds = (Kind.CONV2D, Kind.CONV2D, Kind.DWCONV2D, Kind.DWCONV2D, Kind.LINEAR, Kind.ADD,
             Kind.MAXPOOL2D, Kind.AVGPOOL2D)  # fmt: skip
    kind = kinds[pick(0, 7)]
    if kind in (Kind.MAXPOOL2D, Kind.AVGPOOL2D):
        k_h, k_w, out_h, out_w, in_c = (
            pick(1, 4),
            pick(1, 4),
            pick(1, 5),
            pick(1, 5),
            4 * pick(1, 5),
        )
        in_h, in_w = k_h + out_h - 1, k_w + out_w - 1
        f = Fields(
            in_h=in_h, in_w=in_w, in_c=in_c, out_h=out_h, out_w=out_w, out_c=in_c, k_h=k_h, k_w=k_w,
            stride_h=1, stride_w=1, dil_h=1, dil_w=1, row_end=out_h, **activation(rng),
        )  # fmt: skip
        if kind is Kind.AVGPOOL2D:
            f = replace(f, scale=float(np.float32(rng.uniform(1e-4, 2))))
        else:
            f = replace(f, in0_add=0, out_add=0)
        x = int8(rng, in_h, in_w, in_c)
        return Op("op", kind, ("x",), "y", fields=f), [x], out_h * out_w * in_c
    if kind is Kind.LINEAR:
        rows, in_c, out_c = pick(1, 3), pick(1, 200 + 200 * pick(0, 1)), pick(1, 20)
        return linear(rng, rows, in_c, out_c), [int8(rng, rows, in_c)], rows * out_c
    if kind is Kind.ADD:
        count = pick(1, 300)
        mult, shift = rng.integers(2**30, 2**31, 3).tolist(), [-pick(1, 7), -pick(1, 7), -19]
        for side in range(pick(0, 2)):
            mult[side], shift[side] = 2**30, 0
        f = Fields(
            mult0=mult[0], shift0=shift[0], mult1=mult[1], shift1=shift[1], mult2=mult[2],
            shift2=shift[2], in1_add=pick(-127, 128), param0=20, count=count, **activation(rng),
        )  # fmt: skip
        return Op("op", kind, ("a", "b"), "y", fields=f), [int8(rng, count) for _ in "ab"], count
    axes = []
    three = kind is Kind.DWCONV2D and pick(0, 2) > 0
    for _ in "hw":
        taps = 3 if three else pick(1, 5)
        stride, pad, after = pick(1, 3), pick(0, 2), pick(0, 2)
        dilation = 1 if three else pick(1, 4) // 4 + 1
        size = pick(1, 12) if pick(0, 9) else pick(30, 80)
        reach = dilation * (taps - 1) + 1
        size += max(0, reach - size - pad - after)
        axes.append((size, taps, stride, dilation, pad, (size + pad + after - reach) // stride + 1))
    (in_h, k_h, sh, dh, pt, out_h), (in_w, k_w, sw, dw, pl, out_w) = axes
    in_c = pick(4, 13) if three else 1 if kind is Kind.DWCONV2D else pick(1, 40)
    f = Fields(
        in_h=in_h, in_w=in_w, in_c=in_c, out_h=out_h, out_w=out_w,
        out_c=in_c if three else pick(1, 12), k_h=k_h, k_w=k_w, stride_h=sh, stride_w=sw, dil_h=dh,
        dil_w=dw, pad_t=pt, pad_l=pl, row_end=out_h,
    )  # fmt: skip
    return conv(rng, f, kind), [int8(rng, in_h, in_w, in_c)], out_h * out_w * f.out_c
