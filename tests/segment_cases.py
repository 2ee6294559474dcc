"""Random runs of ops as segments: rings, and any valid list of steps, beside the same ops as wholes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from packed_ops import activation, conv, int8
from plan_builder import FED, FORMATS, OUTSIDE, SLIDE, Kind, Plan, Segment, align

from host.compile import graph
from host.compile.packing import pack_op

Shape = tuple[int, int, int]
ELEMENTWISE = (Kind.ADD, Kind.MUL, Kind.CLAMP, Kind.LUT)
GAP = 48  # bytes that nothing may touch


@dataclass(frozen=True)
class Node:
    """An op, its record without addresses, and the ops whose outputs it reads; None = the input."""

    fields: dict[str, Any]
    sources: tuple[int | None, ...]
    shape: Shape  # of the output
    scratch_bytes: int
    vector: np.ndarray | None = None  # a second input that repeats

    @property
    def fed(self) -> bool:
        return bool(self.fields.get("flags", 0) & FED)

    @property
    def steps_rows(self) -> int:
        """Rows that the steps of this op produce, or consume if it is fed."""
        return int(self.fields["k_h"]) if self.fed else self.shape[0]

    def needs(self, begin: int, end: int, in_rows: int) -> tuple[int, int]:
        """The input rows of output rows begin..end-1."""
        f = self.fields
        if self.fed or f["kind"] in ELEMENTWISE:
            return begin, end
        stride, reach = f.get("stride_h", 1), (f.get("k_h", 1) - 1) * f.get("dil_h", 1) + 1
        if f["kind"] == Kind.PAD:
            stride = reach = 1
        clip = lambda row: min(max(row, 0), in_rows)
        return clip(begin * stride - f["pad_t"]), clip((end - 1) * stride - f["pad_t"] + reach)


@dataclass(frozen=True)
class Net:
    """Ops in order; the last one makes the output."""

    input: Shape
    nodes: list[Node]

    def shape(self, source: int | None) -> Shape:
        return self.input if source is None else self.nodes[source].shape


def _window(rng: np.random.Generator, shape: Shape, three: bool, plain: bool) -> graph.Fields:
    """A window op on a tensor of this shape; every window has a row and a column of it."""
    axes = []
    for size in shape[:2]:
        taps = 3 if three else int(rng.integers(1, 4))
        dilation = 1 if three or not plain else int(rng.choice([1, 1, 2]))
        reach = (taps - 1) * dilation + 1
        before, after = (int(v) for v in rng.integers(0, reach, 2))
        after += max(0, reach - size - before - after)
        stride = int(rng.choice([1, 1, 2, 3]))
        axes.append((taps, dilation, stride, before, (size + before + after - reach) // stride + 1))
    (kh, dh, sh, pt, oh), (kw, dw, sw, pl, ow) = axes
    return graph.Fields(
        in_h=shape[0], in_w=shape[1], in_c=shape[2], out_h=oh, out_w=ow, out_c=shape[2], k_h=kh,
        k_w=kw, stride_h=sh, stride_w=sw, dil_h=dh, dil_w=dw, pad_t=pt, pad_l=pl, row_end=oh,
    )  # fmt: skip


def _record(op: graph.Op) -> dict[str, Any]:
    """The op as plan_builder takes it."""
    constants = {
        name: np.frombuffer(data, np.uint8) for name, data in asdict(op.constants).items() if data
    }
    return (
        {"kind": Kind(op.kind), "layout": op.layout, "wcet_us": 1} | asdict(op.fields) | constants
    )


def _scalings(rng: np.random.Generator) -> dict[str, int]:
    mult = rng.integers(2**30, 2**31, 3).tolist()
    return {
        "mult0": mult[0], "mult1": mult[1], "mult2": mult[2], "shift0": -1, "shift1": -2,
        "shift2": -18, "param0": 20, "in1_add": int(rng.integers(-127, 129)),
    }  # fmt: skip


def _node(rng: np.random.Generator, net: Net, packed: bool) -> Node | None:
    """One more op, or None if the drawn kind does not fit."""
    count = len(net.nodes)
    source = None if count == 0 else count - 1 if rng.integers(4) else int(rng.integers(count))
    if count and not rng.integers(5):
        source = None
    shape = net.shape(source)
    choice, sources = int(rng.integers(12)), (source,)
    vector = None
    if choice < 3:
        f = replace(_window(rng, shape, False, True), out_c=int(rng.integers(1, 9)))
        op = conv(rng, f)
    elif choice < 6:
        f = _window(rng, shape, packed, True)
        op = conv(rng, f, graph.Kind.DWCONV2D) if not packed or shape[2] >= 4 else conv(rng, f)
        if op.kind is graph.Kind.DWCONV2D:
            weights = int8(rng, f.k_h * f.k_w * f.out_c).tobytes()
            op = replace(op, constants=replace(op.constants, weights=weights))
    elif choice == 6:
        f = replace(_window(rng, shape, False, False), act_min=-90, act_max=100)
        op = graph.Op("op", graph.Kind.MAXPOOL2D, ("x",), "y", fields=f)
    elif choice == 7:
        f = replace(_window(rng, shape, False, False), scale=0.13, **activation(rng))
        op = graph.Op("op", graph.Kind.AVGPOOL2D, ("x",), "y", fields=f)
    elif choice == 8:
        top, left, below, right = (int(v) for v in rng.integers(0, 3, 4))
        out = (shape[0] + top + below, shape[1] + left + right)
        f = graph.Fields(
            in_h=shape[0], in_w=shape[1], in_c=shape[2], out_h=out[0], out_w=out[1],
            out_c=shape[2], pad_t=top, pad_l=left, row_end=out[0], param0=-7,
        )  # fmt: skip
        op = graph.Op("op", graph.Kind.PAD, ("x",), "y", fields=f)
    else:
        size = shape[0] * shape[1] * shape[2]
        f = graph.Fields(count=size)
        same = [i for i in range(count) if net.shape(i) == shape]
        if choice == 9:
            kind = graph.Kind.CLAMP
            f = replace(f, act_min=-50, act_max=60)
            if rng.integers(2):
                kind, f = graph.Kind.LUT, graph.Fields(count=size)
        else:
            kind = graph.Kind.ADD if choice == 10 else graph.Kind.MUL
            scalings = _scalings(rng)
            if kind is graph.Kind.MUL:
                scalings = {"mult0": 2**30, "shift0": -3, "in1_add": scalings["in1_add"]}
            f = replace(f, **scalings, **activation(rng))
            if rng.integers(4) == 0:
                vector = int8(rng, shape[2])
                f = replace(f, in_c=shape[2])
            else:
                sources = (source, same[int(rng.integers(len(same)))] if same else source)
        constants = graph.Constants(int8(rng, 256).tobytes() if kind is graph.Kind.LUT else b"")
        op = graph.Op("op", kind, ("a", "b"), "y", fields=f, constants=constants)
    if packed:
        op = pack_op(op)
    f = op.fields
    out_shape = (f.out_h, f.out_w, f.out_c) if f.out_h else shape
    if out_shape[0] * out_shape[1] > 400:
        return None
    return Node(_record(op), sources, out_shape, op.scratch_bytes, vector)


def random_net(rng: np.random.Generator, packed: bool) -> Net:
    """One to eight ops; with luck the last one is an average over the whole plane, fed by rows."""
    channels = 4 * int(rng.integers(1, 4)) if packed else int(rng.integers(1, 7))
    net = Net((int(rng.integers(1, 14)), int(rng.integers(1, 8)), channels), [])
    for _ in range(int(rng.integers(1, 9))):
        node = _node(rng, net, packed)
        if node is not None:
            net.nodes.append(node)
    if rng.integers(2) or not net.nodes:
        source = len(net.nodes) - 1 if net.nodes else None
        h, w, c = net.shape(source)
        f = graph.Fields(
            in_h=h, in_w=w, in_c=c, out_h=1, out_w=1, out_c=c, k_h=int(rng.integers(max(1, h - 1), h + 1)),
            k_w=w, stride_h=1, stride_w=1, dil_h=1, dil_w=1, row_end=1, scale=float(rng.uniform(0.01, 1)),
            **activation(rng),
        )  # fmt: skip
        op = graph.Op("op", graph.Kind.AVGPOOL2D, ("x",), "y", fields=f)
        op = pack_op(op) if packed else op
        net.nodes.append(Node(_record(op) | {"flags": FED}, (source,), (1, 1, c), 4 * c))
    return net


@dataclass(frozen=True)
class Schedule:
    """A list of steps, and the rows that each op's ring holds (0 = the whole tensor)."""

    steps: list[tuple[int, int]]
    ring_rows: list[int]


def random_schedule(rng: np.random.Generator, net: Net) -> Schedule:
    """Any valid list of steps: rows as soon or as late as it happens; rings as large as it needs."""
    count = len(net.nodes)
    base, next_, most = [0] * count, [0] * count, [0] * count
    whole = [
        node.fed or index == count - 1 or not rng.integers(6)
        for index, node in enumerate(net.nodes)
    ]
    steps: list[tuple[int, int]] = []

    def runnable(index: int, rows: int) -> bool:
        node, end = net.nodes[index], next_[index] + rows
        if end > node.steps_rows:
            return False
        for source in node.sources:
            if source is None:
                continue
            if node.needs(next_[index], end, net.shape(source)[0])[1] > next_[source]:
                return False
        return True

    def first_needed(index: int) -> int:
        """The oldest row of this op's output that somebody still reads."""
        oldest = next_[index]
        for reader, node in enumerate(net.nodes):
            if index in node.sources and next_[reader] < node.steps_rows:
                rows = node.needs(next_[reader], next_[reader] + 1, net.shape(index)[0])
                oldest = min(oldest, rows[0])
        return oldest

    eager = rng.uniform()
    while next_[-1] < net.nodes[-1].steps_rows:
        ready = [index for index in range(count) if runnable(index, 1)]
        index = ready[-1] if rng.uniform() < eager else int(rng.choice(ready))
        rows = 1
        while rows < 6 and runnable(index, rows + 1) and rng.integers(2):
            rows += 1
        steps.append((index, rows))
        next_[index] += rows
        most[index] = max(most[index], next_[index] - base[index])
        for ring in rng.permutation(count).tolist():
            dead = first_needed(ring) - base[ring]
            if not whole[ring] and dead > 0 and rng.integers(3):
                dropped = int(rng.integers(1, dead + 1))
                steps.append((SLIDE | ring, dropped))
                base[ring] += dropped
    ring_rows = [
        0 if whole[i] else min(max(1, most[i] + int(rng.integers(2))), net.nodes[i].shape[0])
        for i in range(count)
    ]
    return Schedule(steps, ring_rows)


def whole_plan(net: Net) -> Plan:
    """The ops one after the other on whole tensors."""
    places, ends = _places(net, [0] * len(net.nodes), lambda size: align(size))
    return _plan(net, places, ends, by_rows=False)


def segment_plan(rng: np.random.Generator, net: Net, schedule: Schedule, gap: int = GAP) -> Plan:
    """The same by rows; rings at any address, with gaps between all tensors."""

    def room(size: int) -> int:
        return size + gap + int(rng.integers(0, 4)) * int(rng.integers(0, 2))

    places, end = _places(net, schedule.ring_rows, room)
    plan = _plan(net, places, end, by_rows=True)
    number = lambda source: OUTSIDE if source is None else source
    links = []
    for node, rows in zip(net.nodes, schedule.ring_rows, strict=True):
        second = number(node.sources[1]) if len(node.sources) == 2 else OUTSIDE
        links.append((number(node.sources[0]), second, rows))
    plan.segments.append(Segment(0, links, schedule.steps))
    return plan


@dataclass(frozen=True)
class Places:
    """Arena (offset, bytes) of the input, of each op's output, scratch and repeating second input."""

    input: tuple[int, int]
    outputs: list[tuple[int, int]]
    scratch: list[tuple[int, int]]
    vectors: dict[int, tuple[int, int]]

    def used(self) -> list[tuple[int, int]]:
        return [self.input, *self.outputs, *self.scratch, *self.vectors.values()]


def _places(net: Net, ring_rows: list[int], room: Any) -> tuple[Places, int]:
    end = 0

    def place(size: int, aligned: bool = False) -> tuple[int, int]:
        nonlocal end
        end += -end % 4 if aligned else 0
        at = (end, size)
        end += room(size)
        return at

    first = place(int(np.prod(net.input)))
    outputs, scratch, vectors = [], [], {}
    for index, (node, rows) in enumerate(zip(net.nodes, ring_rows, strict=True)):
        outputs.append(place((rows or node.shape[0]) * node.shape[1] * node.shape[2]))
        scratch.append(place(-(-node.scratch_bytes // 4) * 4, aligned=True))
        if node.vector is not None:
            vectors[index] = place(node.vector.size)
    return Places(first, outputs, scratch, vectors), end


def _plan(net: Net, places: Places, end: int, by_rows: bool) -> Plan:
    ops = []
    address = lambda source: places.input[0] if source is None else places.outputs[source][0]
    for index, node in enumerate(net.nodes):
        record = dict(node.fields)
        if by_rows and record["kind"] in ELEMENTWISE:
            record["out_h"] = node.shape[0]
        if node.fed and not by_rows:
            record["flags"] = 0
        elif node.scratch_bytes:
            record["scratch"] = places.scratch[index][0]
        record["in0"] = address(node.sources[0])
        if len(node.sources) == 2:
            record["in1"] = address(node.sources[1])
        elif index in places.vectors:
            record["in1"] = places.vectors[index][0]
        record["out"] = places.outputs[index][0]
        assert set(record) <= set(FORMATS)
        ops.append(record)
    vectors = [places.vectors[index] for index in sorted(places.vectors)]
    inputs = [places.input, *vectors]
    plan = Plan(ops, inputs, [places.outputs[-1]], align(end))
    plan.header["target"] = max(op["layout"] for op in ops)
    return plan


def inputs_of(rng: np.random.Generator, net: Net) -> list[bytes]:
    """A random window and the repeating vectors, in the order of the plan's inputs."""
    vectors = [node.vector.tobytes() for node in net.nodes if node.vector is not None]
    return [int8(rng, *net.input).tobytes(), *vectors]


def untouchable(net: Net, plan: Plan, schedule: Schedule) -> np.ndarray:
    """bool [arena bytes]: where a run by rows must not write: gaps, and the inputs."""
    free = np.ones(plan.arena_bytes, bool)
    for node, record, rows in zip(net.nodes, plan.ops, schedule.ring_rows, strict=True):
        size = (rows or node.shape[0]) * node.shape[1] * node.shape[2]
        free[record["out"] : record["out"] + size] = False
        if node.scratch_bytes:
            free[record["scratch"] : record["scratch"] + -(-node.scratch_bytes // 4) * 4] = False
    return free
