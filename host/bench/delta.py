"""What a delta saves: bytes on the wire of typical changes to packages of real models.

Messages are built and framed as they go over the line, both directions, with the decoder of no board in between;
tests/emulated/test_delta_update.py holds a board to it.
"""

import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import cbor2

from host.bench.workload import workload
from host.boards import Board, load_board
from host.compile.result import CompiledModel
from host.link.patch import announcement, message_room
from host.package import delta, keys
from host.package.write import PackageHead, PackageTask, ReplaySource, write_package
from host.progress import Progress, silent
from protocol import cobs, console, smp

MODELS = ("resnet8", "ds_cnn")
_SEED = 1
_OPS_AT, _OP_BYTES = 12, 128  # of a plan image: protocol/SPEC.md, section "Plan image"
_TABLES = (76, 80, 84, 88)  # of an op record: image offsets of weights, bias, mult, shift
_WEIGHTS = 0


@dataclass(frozen=True, slots=True)
class DeltaFigure:
    """One change of one package; wire bytes count both directions, of the transfer alone."""

    model: str
    change: str
    package_bytes: int
    ops_bytes: int
    messages: int
    wire_bytes_console: int
    wire_bytes_cobs: int
    is_sent: bool  # as a delta: it is worth it

    @property
    def ratio(self) -> float:
        """Bytes on the console's wire over bytes of the package."""
        return self.wire_bytes_console / self.package_bytes


@dataclass(frozen=True, slots=True)
class DeltaFigures:
    """All changes of all models, `metadata_ratio` of the first model's metadata."""

    figures: tuple[DeltaFigure, ...]

    @property
    def metadata_ratio(self) -> float:
        """Of a change of version, counter and evidence of the largest package."""
        return self.figures[0].ratio

    def as_json(self) -> dict[str, Any]:
        """The keys of `bench update`."""
        return {
            "delta_metadata_ratio": round(self.metadata_ratio, 5),
            "deltas": [
                asdict(figure) | {"ratio": round(figure.ratio, 5)} for figure in self.figures
            ],
        }


def measure_delta(board_name: str = "qemu-m4", progress: Progress = silent) -> DeltaFigures:
    """Figures for packages of MODELS made for a board."""
    board = load_board(board_name)
    figures = []
    for index, name in enumerate(MODELS):
        progress("measuring deltas", index / len(MODELS))
        compiled = workload(name, board).compiled
        base = _package(board, compiled)
        for change, result in _changed(board, compiled):
            figures.append(_figure(name, change, base, result, board.link_bytes))
    return DeltaFigures(tuple(figures))


def measure_metadata(board: Board) -> DeltaFigure:
    """The figure behind `metadata_ratio`, alone."""
    compiled = workload(MODELS[0], board).compiled
    change, result = next(_changed(board, compiled))
    return _figure(MODELS[0], change, _package(board, compiled), result, board.link_bytes)


def _changed(board: Board, model: CompiledModel) -> Iterator[tuple[str, bytes]]:
    yield "metadata: version, counter, evidence", _package(board, model, version="1.0.1")
    yield (
        "a longer version, which moves the payloads",
        _package(board, model, version="1.0.1+hotfix.20261122"),
    )
    yield "a deadline", _package(board, model, deadline_us=50_000_000)
    yield "all labels", _package(board, model, labels="renamed")
    for share in (0.01, 0.05, 0.3):
        image = _tuned(model.image, share)
        yield (
            f"{share:.0%} of the weights by 1",
            _package(board, replace(model, image=image), "1.1.0"),
        )
    for change, last_only, spread in (("last layer", True, 0.02), ("all weights", False, 0.002)):
        tuned = _fine_tuned(board, model.name, last_only, spread)
        yield f"{change} moved by {spread:.1%}, built anew", _package(board, tuned, "1.1.0")
    image = _tuned(model.image, 1.0, lambda rng, weight: rng.randrange(256))
    yield "trained anew", _package(board, replace(model, image=image), "2.0.0")


def _fine_tuned(board: Board, name: str, last_only: bool, spread: float) -> CompiledModel:
    """The model exported and compiled again, its float weights moved by `spread` of their deviation."""
    import torch

    from host.bench.mlperf_tiny import mlperf_tiny_spec
    from host.bench.workload import ARENA_BYTES
    from host.compile.compile import compile_model
    from host.export.program import export_model

    spec = mlperf_tiny_spec(name)
    torch.manual_seed(_SEED)
    with torch.no_grad():
        for parameter in list(spec.module.parameters())[-2 if last_only else 0 :]:
            parameter += torch.randn_like(parameter) * parameter.std().nan_to_num(0) * spread
    return compile_model(export_model(spec), replace(board, arena_bytes=ARENA_BYTES))


def _package(
    board: Board,
    model: CompiledModel,
    version: str = "1.0.0",
    deadline_us: int = 60_000_000,
    labels: str = "label",
) -> bytes:
    task = PackageTask(
        name=model.name,
        model=model,
        arena_offset=0,
        period_us=60_000_000,
        deadline_us=deadline_us,
        policy="skip_next",
        labels=tuple(f"{labels} {index}" for index in range(model.output.size_bytes)),
        source=ReplaySource("noise", 1 / 32768, 1, 1),
        selftests=(),
    )
    head = PackageHead(model.name, version, 1 if version == "1.0.0" else 2, board.device_class)
    return write_package(head, [task], version.encode(), keys.demo_signer())


def _by_one(rng: random.Random, weight: int) -> int:
    return (weight + rng.choice((1, 255))) % 256


def _tuned(
    image: bytes,
    share: float,
    change: Callable[[random.Random, int], int] = _by_one,
) -> bytes:
    """The plan image with a share of the bytes of its weights, packed as they are, changed."""
    rng = random.Random(_SEED)
    tuned = bytearray(image)
    ops, count = struct.unpack_from("<I", image, _OPS_AT)[0], struct.unpack_from("<H", image, 6)[0]
    starts = [
        [struct.unpack_from("<I", image, ops + _OP_BYTES * op + at)[0] for at in _TABLES]
        for op in range(count)
    ]
    ends = sorted({len(image), ops, *(start for table in starts for start in table)} - {0})
    for table in starts:
        if table[_WEIGHTS]:
            end = next(end for end in ends if end > table[_WEIGHTS])
            for place in range(table[_WEIGHTS], end):
                if rng.random() < share:
                    tuned[place] = change(rng, tuned[place])
    return bytes(tuned)


def _figure(model: str, change: str, base: bytes, result: bytes, link_bytes: int) -> DeltaFigure:
    made = delta.make(base, result)
    at = ops_bytes = messages = 0
    wire = {console: 0, cobs: 0}
    while at < len(result):
        ops, end = made.part(at, message_room(link_bytes, None if at else made))
        head = {"off": at} if at else announcement(made)
        reply: dict[str, object] = {"off": end}
        if end == len(result):
            reply["match"] = True
        for framing in wire:
            for op, body in ((smp.WRITE, {**head, "ops": ops}), (smp.WRITE_REPLY, reply)):
                wire[framing] += len(framing.encode(_message(op, body)))
        at, ops_bytes, messages = end, ops_bytes + len(ops), messages + 1
    is_sent = delta.plan(base, result, message_room(link_bytes)) is not None
    return DeltaFigure(
        model, change, len(result), ops_bytes, messages, wire[console], wire[cobs], is_sent
    )


def _message(op: int, body: dict[str, object]) -> bytes:
    payload = cbor2.dumps(body)
    return smp.pack_header(op, smp.GROUP_TACTUS, smp.TACTUS_PATCH, 0, len(payload)) + payload
