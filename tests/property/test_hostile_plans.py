"""What tac_plan_check() accepts runs inside its bounds, however the image was changed.

Under AddressSanitizer and UBSan in a child process, on heap blocks of exactly the image's and the
arena's size.
"""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_library import SOURCES, compile_cached
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_builder import FORMATS, OFFSETS, RECORD
from plan_samples import ARENA, OK, PLANS, plans


class Harness:
    """The child process; restarts after a crash, which it reports as an AssertionError."""

    def __init__(self) -> None:
        source = Path(__file__).parent / "plan_harness.c"
        self._program = compile_cached(
            "plan_harness",
            [source, *SOURCES],
            ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
        )
        self._start()

    def _start(self) -> None:
        self._child = subprocess.Popen(
            [self._program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def run(self, image: bytes, arena_bytes: int, *, checked: bool = True) -> int:
        """Checks the image and runs it when accepted; gives the code of the check."""
        assert self._child.stdin and self._child.stdout and self._child.stderr
        self._child.stdin.write(struct.pack("<III", len(image), arena_bytes, not checked) + image)
        self._child.stdin.flush()
        answer = self._child.stdout.read(4)
        if len(answer) < 4:
            report = self._child.stderr.read().decode(errors="replace")
            self.close()
            self._start()
            raise AssertionError(f"the engine left its bounds; image {image.hex()}\n{report}")
        code: int = struct.unpack("<i", answer)[0]
        return code

    def close(self) -> None:
        assert self._child.stdin
        self._child.stdin.close()
        self._child.wait(timeout=30)
        for pipe in (self._child.stdout, self._child.stderr):
            assert pipe
            pipe.close()


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
