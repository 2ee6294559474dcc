"""The cycle model: mnemonics to timings, pairs of loads, and the join of counted blocks with code."""

from __future__ import annotations

import pytest

from host.bench.cortex_m4_timing import (
    REFILL,
    Instruction,
    UnknownInstructionError,
    base_name,
    block_cycles,
    registers,
)
from host.bench.profile import Program, read_sections


def cycles(*lines: str) -> int:
    """Cycles of lines such as "ldr r0, [r1]"."""
    return block_cycles([Instruction(2 * i, *line.split(" ", 1)) for i, line in enumerate(lines)])


@pytest.mark.parametrize(
    ("mnemonic", "base"),
    [
        ("adds", "add"), ("addseq.w", "add"), ("addne", "add"), ("bls.n", "b"), ("blt.w", "b"),
        ("bl", "bl"), ("bleq", "bl"), ("blx", "blx"), ("bics.w", "bic"), ("mls", "mls"),
        ("movs", "mov"), ("lsls", "lsl"), ("sbcs", "sbc"), ("teq", "teq"), ("muls", "mul"),
        ("ldrsb.w", "ldrsb"), ("ldrge.w", "ldr"), ("stmia.w", "stmia"), ("itete", "it"),
        ("smlalbb", "smlalbb"), ("smlals", "smlal"), ("cbnz", "cbnz"), ("vmovne.f32", "vmov"),
        ("vcvt.s32.f32", "vcvt"), ("vldmia", "vldmia"), ("ssatls", "ssat"),
    ],
)  # fmt: skip
def test_suffixes_do_not_hide_an_instruction(mnemonic: str, base: str) -> None:
    assert base_name(mnemonic) == base


def test_an_instruction_without_a_timing_is_an_error_not_a_guess() -> None:
    with pytest.raises(UnknownInstructionError, match="wibble"):
        base_name("wibble.w")


def test_register_lists_are_counted_with_their_ranges() -> None:
    assert registers("{r0, r4-r6, lr}") == [0, 4, 5, 6, 14]
    assert registers("[r1, fp, lsl #2]") == [1, 11]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("smlad r0, r1, r2, r0", 1), ("smlal r0, r1, r2, r3", 1), ("sdiv r0, r1, r2", 12),
        ("ldr r0, [r1, #4]", 2), ("ldrsb.w r0, [r1], #1", 2), ("ldrd r0, r1, [r2]", 3),
        ("str r0, [r1, #4]", 1), ("str.w r0, [r1, r2, lsl #2]", 2), ("strd r0, r1, [r2]", 3),
        ("ldmia.w r0!, {r1, r2, r3}", 4), ("push {r4-r11, lr}", 10), ("pop {r4, pc}", 3),
        ("vldr s0, [r0]", 2), ("vldr d0, [r0]", 3), ("vldmia r0!, {s0-s3}", 5),
        ("vpush {d8-d9}", 5), ("vdiv.f32 s0, s1, s2", 14), ("vmul.f32 s0, s1, s2", 1),
        ("vmov r0, r1, d0", 2), ("vmov r0, s0", 1), ("vmov.f32 s0, s1", 1), ("it eq", 1),
        ("b.n 100", 1), ("tbb [pc, r0]", 6 - REFILL), ("dmb sy", 4),
        ("ldr pc, [sp, #12]", 5 - REFILL),
    ],
)  # fmt: skip
def test_timings_of_single_instructions(line: str, expected: int) -> None:
    assert cycles(line) == expected


# The examples of DDI 0439, 3.3.3.
@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (("ldr r0, [r1]", "ldr r1, [r2]"), 3),
        (("ldr r0, [r1, r2]", "str r0, [r3, #20]"), 3),
        (("ldr r0, [r1, r2]", "str r1, [r3, r2]"), 3),
        (("ldr r0, [r1, r5]", "ldr r1, [r2]", "ldr r2, [r3, #4]"), 4),
    ],
)
def test_neighbouring_loads_overlap_as_the_manual_says(
    lines: tuple[str, ...], expected: int
) -> None:
    assert cycles(*lines) == expected


def test_a_load_that_yields_the_next_address_does_not_overlap() -> None:
    assert cycles("ldr r0, [r1]", "ldr r2, [r0]") == 4
    assert cycles("ldr r0, [r1]", "add r3, r3, r4", "ldr r2, [r5]") == 5
    assert cycles("ldrd r0, r1, [r2]", "ldr r3, [r4]") == 5


@pytest.mark.parametrize(
    ("lines", "stalls"),
    [
        (("add r3, r3, r4", "ldr r2, [r3]"), 1),
        (("add r3, r3, r4", "str r3, [r2]"), 0),
        (("mov r3, r0", "mov r4, r0", "ldr r2, [r3]"), 0),
        (("smull r0, r3, r1, r2", "strb r0, [r4, r3]"), 1),
        (("cmp r3, r4", "ldr r2, [r3]"), 0),
        (("adds r0, #8", "ldmia.w r0, {r1, r2}"), 1),
        (("add sp, #8", "pop {r4, pc}"), 1),
    ],
)
def test_an_address_waits_for_the_instruction_that_computes_it(
    lines: tuple[str, ...], stalls: int
) -> None:
    assert cycles(*lines) == sum(cycles(line) for line in lines) + stalls


CODE = """
00000100 <first>:
     100:\t4770      \tbx\tlr
     102:\tbf00      \tnop

00000104 <second>:
     104:\t6808      \tldr\tr0, [r1, #0]
     106:\tf8d1 1000 \tldr.w\tr1, [r1]
     10a:\td1fb      \tbne.n\t104 <second>
     10c:\t4770      \tbx\tlr
     10e:\tbf00      \tnop
     110:\t12345678 \t.word\t0x12345678
""".splitlines()


def test_sections_count_instructions_exactly_and_jumps_as_refills() -> None:
    program = Program.parsed(CODE)
    assert [i.mnemonic for i in program.instructions].count("ldr") == 1
    blocks = ["104 3 9 9", "section 100", "100 1 1 1", "104 3 5 4", "10c 1 1 1", "section 10c"]
    blocks += ["10c 1 7 7"]
    ((name, section),) = read_sections(blocks, program, {0x100: "op"})
    assert name == "op"
    assert section.instructions == 1 + 3 * 5 + 1
    assert section.cycles == 1 + 5 * (2 + 1 + 1) + 1 + REFILL * (1 + 4 + 1)
    assert section.by_function == {"first": 1, "second": 16}
