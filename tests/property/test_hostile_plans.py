"""What tac_plan_check() accepts runs inside its bounds, however the image was changed.

Under AddressSanitizer and UBSan in a child process, on heap blocks of exactly the image's and the
arena's size.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_builder import FORMATS, OFFSETS, RECORD
from plan_harness import Harness
from plan_samples import ARENA, OK, PLANS, plans


@pytest.fixture(scope="module")
def harness() -> Iterator[Harness]:
    made = Harness()
    yield made
    made.close()


def test_the_harness_sees_a_write_outside_the_arena(harness: Harness) -> None:
    plan = plans()["clamp"]
    plan.ops[0]["out"] = 16  # 20 bytes at 16 in an arena of 32
    assert harness.run(plan.image(), plan.arena_bytes) == ARENA
    with pytest.raises(AssertionError, match="heap-buffer-overflow"):
        harness.run(plan.image(), plan.arena_bytes, checked=False)


@pytest.mark.parametrize("name", PLANS)
def test_any_byte_changed_stays_in_bounds(harness: Harness, name: str) -> None:
    plan = PLANS[name]
    image = plan.image()
    accepted = 0
    for index in range(len(image)):
        old = image[index]
        for value in {0, 1, old ^ 1, (old + 1) & 255, 0x7F, 0x80, 0xFF} - {old}:
            mutant = image[:index] + bytes([value]) + image[index + 1 :]
            accepted += harness.run(mutant, plan.arena_bytes) == OK
    assert accepted > 0, "every mutant was refused: this test ran nothing"


INTERESTING = [
    0, 1, 2, 3, 7, 15, 16, 17, 31, 64, 127, 128, 255, 256, 1000, 32767, 32768, 65535, 2**20,
    2**30, 2**31 - 1, 2**31, 2**32 - 16, 2**32 - 1,
]  # fmt: skip
SHAPES = ["in_h", "in_w", "in_c", "out_h", "out_w", "out_c", "k_h", "k_w", "stride_h", "stride_w",
          "dil_h", "dil_w", "pad_t", "pad_l", "row_begin", "row_end", "count"]  # fmt: skip
edits = st.lists(
    st.tuples(
        st.sampled_from([*FORMATS, *SHAPES, *SHAPES]),
        st.one_of(st.integers(0, 12), st.sampled_from(INTERESTING)),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=2500)
@given(st.sampled_from(sorted(PLANS)), edits, st.integers(0, 64))
def test_any_fields_changed_stay_in_bounds(
    harness: Harness, name: str, fields: list[tuple[str, int]], room: int
) -> None:
    plan = PLANS[name]
    image = bytearray(plan.image())
    records = struct.unpack_from("<I", image, 12)[0]
    # More room lets larger shapes through the check.
    arena_bytes = plan.arena_bytes + 64 * room
    struct.pack_into("<I", image, 24, arena_bytes)
    for field, value in fields:
        size = struct.calcsize(FORMATS[field])
        at = records + OFFSETS[field]
        image[at : at + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
    kinds = 0
    for at in range(records, records + RECORD.size * len(plan.ops), RECORD.size):
        kinds |= 1 << image[at] if image[at] < 32 else 0
    struct.pack_into("<I", image, 28, kinds)
    harness.run(bytes(image), arena_bytes)


@settings(max_examples=300)
@given(st.binary(max_size=400))
def test_any_bytes_are_refused(harness: Harness, data: bytes) -> None:
    assert harness.run(data, 4096) < 0
