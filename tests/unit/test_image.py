"""The plan image: every field where plan.h says, equal bytes for equal models, a valid layout."""

from __future__ import annotations

import struct
from dataclasses import fields

import numpy as np
from engine_library import Engine
from plan_builder import FORMATS, HEADER, IO, RECORD

from host.compile.graph import Constants, Fields, Kind, Op
from host.compile.image import Placed, write_image

WEIGHTS = np.arange(-6, 6, dtype=np.int8).tobytes()
BIAS = np.array([7, -9, 11], dtype="<i4").tobytes()


def linear() -> Op:
    numbers = Fields(
        in_h=1, in_c=4, out_h=1, out_c=3, row_end=1, in0_add=5, out_add=-3,
        act_min=-128, act_max=127, mult0=1 << 30, shift0=-4,
    )  # fmt: skip
    return Op("fc", Kind.LINEAR, ("x",), "y", fields=numpy_free(numbers), constants=constants())


def numpy_free(numbers: Fields) -> Fields:
    assert all(type(getattr(numbers, f.name)) in (int, float) for f in fields(numbers))
    return numbers


def constants() -> Constants:
    return Constants(weights=WEIGHTS, bias=BIAS)


def image(ops: list[Op] | None = None) -> bytes:
    chain = [
        linear(),
        Op("cut", Kind.CLAMP, ("y",), "z", fields=Fields(act_min=-5, act_max=5, count=3)),
    ]
    places = {"x": Placed(0, 4), "y": Placed(16, 3), "z": Placed(32, 3)}
    return write_image(chain if ops is None else ops, [11, 22], places, ["x"], ["z"], 48)


def record(data: bytes, index: int) -> dict[str, float]:
    ops_offset = HEADER.unpack_from(data)[4]
    values = RECORD.unpack_from(data, ops_offset + index * RECORD.size)
    return dict(zip(FORMATS, values, strict=True))


def test_the_header_describes_the_image() -> None:
    data = image()
    magic, version, ops, size, ops_at, io_at, inputs, outputs, arena, kinds, target, *rest = (
        HEADER.unpack_from(data)
    )
    assert struct.pack("<I", magic) == b"TACP"
    assert (version, ops, size, inputs, outputs) == (1, 2, len(data), 1, 1)
    assert (arena, kinds, target) == (48, 1 << Kind.LINEAR | 1 << Kind.CLAMP, 0)
    assert not any(rest)
    assert size % 16 == ops_at % 16 == io_at % 16 == 0
    assert [IO.unpack_from(data, io_at + 8 * i) for i in (0, 1)] == [(0, 4), (32, 3)]


def test_each_number_lies_in_the_field_of_its_name() -> None:
    data = image()
    fc, cut = record(data, 0), record(data, 1)
    given = {f.name: getattr(linear().fields, f.name) for f in fields(Fields)}
    assert {name: fc[name] for name in given} == given
    assert (fc["kind"], fc["wcet_us"], fc["in0"], fc["out"]) == (Kind.LINEAR, 11, 0, 16)
    assert (cut["kind"], cut["wcet_us"], cut["in0"], cut["out"]) == (Kind.CLAMP, 22, 16, 32)
    assert (cut["act_min"], cut["act_max"], cut["count"]) == (-5, 5, 3)


def test_constants_are_aligned_and_exact() -> None:
    data = image()
    fc = record(data, 0)
    for name, content in (("weights", WEIGHTS), ("bias", BIAS)):
        at = int(fc[name])
        assert at % 16 == 0 and data[at : at + len(content)] == content
    assert fc["mult"] == fc["shift"] == 0, "absent tables are 0"


def test_equal_constants_are_stored_once_and_equal_models_give_equal_bytes() -> None:
    twice = [linear(), Op("fc2", Kind.LINEAR, ("y",), "z", "", linear().fields, constants())]
    data = image(twice)
    assert record(data, 0)["weights"] == record(data, 1)["weights"]
    assert image(twice) == data
    assert image() == image()


def test_the_engine_accepts_and_runs_the_image(engine: Engine) -> None:
    data = image()
    assert engine.check(data, 48) == 0
    assert engine.check(data, 47) < 0, "an arena that is one byte short is refused"
    x = np.array([1, -2, 3, 4], dtype=np.int8)
    acc = np.frombuffer(WEIGHTS, np.int8).reshape(3, 4).astype(int) @ (x.astype(int) + 5)
    exact = (acc + np.frombuffer(BIAS, "<i4")) / 2**5
    (out,) = engine.run(data, [x.tobytes()], 48)
    expected = np.clip(np.sign(exact) * np.floor(np.abs(exact) + 0.5) - 3, -5, 5)
    assert np.frombuffer(out, np.int8).tolist() == expected.astype(int).tolist()
