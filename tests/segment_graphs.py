"""Random graphs of ops that can run by rows: chains with residuals, of plain or packed kernels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from host.compile.graph import Constants, Fields, Graph, Kind, Op, Tensor
from host.compile.packing import pack_op

Shape = tuple[int, int, int]
_HALF = {"mult0": 2**30, "mult1": 2**30, "mult2": 2**30, "shift2": -18, "param0": 20}
_RANGE = {"act_min": -128, "act_max": 127}


class _Builder:
    def __init__(self, rng: np.random.Generator, packed: bool) -> None:
        self.rng, self.packed = rng, packed
        self.shapes: dict[str, Shape] = {}
        self.ops: list[Op] = []

    def number(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def put(
        self, kind: Kind, inputs: tuple[str, ...], shape: Shape, fields: Fields, data: Constants
    ) -> str:
        name = f"t{len(self.ops)}"
        op = Op(name, kind, inputs, name, fields=fields, constants=data)
        self.ops.append(pack_op(op) if self.packed else op)
        self.shapes[name] = shape
        return name

    def window(self, kind: Kind, source: str, kernel: int, whole: bool = False) -> str:
        h, w, c = self.shapes[source]
        stride = 1 if whole else self.number(1, 2)
        pad = 0 if whole else kernel // 2
        kh, kw = (self.number(max(1, h - 1), h), w) if whole else (min(kernel, h), min(kernel, w))
        pt, pl = (pad if kh > 1 else 0), (pad if kw > 1 else 0)
        oh, ow = (
            (1, 1) if whole else ((h + 2 * pt - kh) // stride + 1, (w + 2 * pl - kw) // stride + 1)
        )
        oc = 4 * self.number(1, 3) if kind == Kind.CONV2D else c
        depth = c if kind == Kind.CONV2D else 1
        data = Constants()
        if kind in (Kind.CONV2D, Kind.DWCONV2D):
            weights = self.rng.integers(-127, 128, kh * kw * depth * oc, np.int8)
            weights[weights == 0] = 1
            data = Constants(
                weights=weights.tobytes(),
                mult=self.rng.integers(2**30, 2**31 - 1, oc).astype("<i4").tobytes(),
                shift=np.full(oc, -8, "<i4").tobytes(),
            )
        fields = Fields(
            h, w, c, oh, ow, oc, kh, kw, stride, stride, 1, 1, pt, pl, 0, oh, **_RANGE,
            scale=0.125 if kind == Kind.AVGPOOL2D else 0.0,
        )  # fmt: skip
        return self.put(kind, (source,), (oh, ow, oc), fields, data)

    def table(self, source: str) -> str:
        count = int(np.prod(self.shapes[source]))
        data = Constants(self.rng.permutation(256).astype(np.uint8).tobytes())
        return self.put(Kind.LUT, (source,), self.shapes[source], Fields(count=count), data)

    def sum(self, one: str, other: str) -> str:
        count = int(np.prod(self.shapes[one]))
        fields = Fields(count=count, **_HALF, **_RANGE)
        if self.packed:
            fields = replace(fields, shift0=-1, shift1=-1)
        return self.put(Kind.ADD, (one, other), self.shapes[one], fields, Constants())


def random_graph(rng: np.random.Generator, packed: bool, most_ops: int = 7) -> Graph:
    """A chain of 2 to `most_ops` ops with residuals; the last one makes the output."""
    b = _Builder(rng, packed)
    b.shapes["input"] = b.number(4, 12), b.number(1, 7), 4 * b.number(1, 3)
    last = "input"
    for _ in range(b.number(2, most_ops)):
        same = [n for n, s in b.shapes.items() if s == b.shapes[last]]
        match b.number(0, 5):
            case 0:
                last = b.table(last)
            case 1:
                last = b.sum(last, same[b.number(0, len(same) - 1)])
            case 2:
                last = b.window(Kind.DWCONV2D, last, 3)
            case 3:
                last = b.window(Kind.MAXPOOL2D, last, 3)
            case _:
                last = b.window(Kind.CONV2D, last, (1, 3)[b.number(0, 1)])
    if b.number(0, 2) == 0:
        last = b.window(Kind.AVGPOOL2D, last, 0, whole=True)
    tensors = {n: Tensor(n, int(np.prod(s)), "int8") for n, s in b.shapes.items()}
    graph = Graph(tensors, tuple(b.ops), ("input",), (last,))
    return _needed(graph)


def _needed(graph: Graph) -> Graph:
    """Without ops whose output nobody reads."""
    ops = graph.ops
    while True:
        read = {n for op in ops for n in op.inputs} | set(graph.outputs)
        kept = tuple(op for op in ops if op.output in read)
        if kept == ops:
            return graph.with_ops(kept)
        ops = kept
