"""Modelled cycles of a Cortex-M4: a table of instruction timings and the rules for pairs of loads.

Source: Arm, "Cortex-M4 Processor Technical Reference Manual" (DDI 0439; as a web page 100166), sections 3.3.1
(instruction set summary), 3.3.2 (DSP instructions), 3.3.3 (load/store timings) and 7.2 (floating-point instructions).
What is modelled:

| instructions | cycles |
|---|---|
| data processing, multiply and multiply-accumulate of any width, DSP, saturation, bit field, IT, NOP | 1 |
| SDIV, UDIV | 2 to 12 by operand: 12 |
| LDR and its widths | 2; 1 less after a load that does not yield its address |
| STR, immediate offset | 1 (the write buffer takes it) |
| STR, register offset | 2; 1 less after a load that does not yield its address |
| LDRD, STRD, LDM, STM, PUSH, POP and VLDM, VSTM, VPUSH, VPOP of n words | 1 + n |
| B, BL, BX, BLX, CBZ, a load or MOV or ADD of PC | P more when taken; LDR of PC 5 ("at least") |
| any load or store right after a data-processing instruction that yields its address | 1 more |
| TBB, TBH | 6 ("at least": load, addition, three to refill) |
| VLDR, VSTR | 2 (3 for a double) |
| VDIV, VSQRT | 14 |
| VFMA, VFMS, VFNMA, VFNMS, VMLA, VMLS, VNMLA, VNMLS | 3 |
| VMOV of two core registers | 2 |
| every other floating-point instruction | 1 |
| MRS, MSR, CPS | 2 |
| DMB, DSB, ISB | 4 |

P, the refill of the pipeline, is 1 to 3 cycles: 2 here. Not modelled: wait states of flash and RAM, contention of a
literal load with the fetch, misaligned data, and that an instruction skipped by its condition takes 1 cycle (it
counts in full). So a figure compares kernels with each other; it is no promise about a chip.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

REFILL = 2


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CONDITIONS = "eq|ne|cs|hs|cc|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le|al"
_DIVIDE = _names("sdiv udiv")
_LOADS = _names("ldr ldrb ldrh ldrsb ldrsh ldrt ldrbt ldrht ldrex ldrexb ldrexh")
_STORES = _names("str strb strh strt strbt strht")
_EXCLUSIVE_STORES = _names("strex strexb strexh")
_PAIRS = _names("ldrd strd")
_MULTIPLE = _names(
    "ldm ldmia ldmdb ldmfd ldmea stm stmia stmdb stmfd stmea push pop "
    "vldm vldmia vldmdb vstm vstmia vstmdb vpush vpop"
)
_BRANCHES = _names("b bl bx blx cbz cbnz")
_TABLE_BRANCHES = _names("tbb tbh")
_SYSTEM = {"mrs": 2, "msr": 2, "cpsid": 2, "cpsie": 2, "dmb": 4, "dsb": 4, "isb": 4}
_ONE = _names("""
    mov movw movt mvn add addw adc sub subw sbc rsb and orr orn eor bic cmp cmn tst teq
    lsl lsr asr ror rrx adr neg clz rbit rev rev16 revsh bfc bfi sbfx ubfx ssat usat ssat16 usat16
    sxtb sxth uxtb uxth sxtb16 uxtb16 sxtab sxtah uxtab uxtah sxtab16 uxtab16 pkhbt pkhtb sel
    mul mla mls smull umull smlal umlal umaal smulbb smulbt smultb smultt smulwb smulwt
    smlabb smlabt smlatb smlatt smlawb smlawt smlalbb smlalbt smlaltb smlaltt
    smlad smladx smlsd smlsdx smlald smlaldx smlsld smlsldx smuad smuadx smusd smusdx
    smmul smmulr smmla smmlar smmls smmlsr usad8 usada8
    sadd8 sadd16 ssub8 ssub16 qadd qadd8 qadd16 qsub qsub8 qsub16 qdadd qdsub shadd8 shadd16
    shsub8 shsub16 uadd8 uadd16 usub8 usub16 uqadd8 uqadd16 uqsub8 uqsub16 uhadd8 uhadd16 uhsub8
    uhsub16 sasx ssax qasx qsax shasx shsax uasx usax uqasx uqsax uhasx uhsax
    nop it clrex pld
    """)
_SILENT = _names("cmp cmn tst teq nop it clrex pld")  # yield no register
_LONG = _names("smull umull smlal umlal umaal smlald smlaldx smlsld smlsldx "
               "smlalbb smlalbt smlaltb smlaltt")  # fmt: skip
_FLOAT = {
    **dict.fromkeys(_names("vdiv vsqrt"), 14),
    **dict.fromkeys(_names("vfma vfms vfnma vfnms vmla vmls vnmla vnmls"), 3),
    **dict.fromkeys(_names("vldr vstr"), 2),
    **dict.fromkeys(
        _names("vadd vsub vmul vnmul vneg vabs vcmp vcmpe vcvt vcvtr vcvtb vcvtt vmov vmrs vmsr"), 1
    ),
}
_KNOWN = frozenset().union(
    _DIVIDE, _LOADS, _STORES, _EXCLUSIVE_STORES, _PAIRS, _MULTIPLE, _BRANCHES, _TABLE_BRANCHES,
    _SYSTEM, _ONE, _FLOAT,
)  # fmt: skip
_REGISTER = re.compile(r"\b(r\d+|sp|lr|pc|sl|fp|ip|s\d+|d\d+)\b")
_NUMBERED = {"sl": 10, "fp": 11, "ip": 12, "sp": 13, "lr": 14, "pc": 15}


class UnknownInstructionError(Exception):
    """An instruction that the table does not have: add it there with its timing."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One line of a disassembly in unified syntax, such as "ldrb.w" and "r0, [r1], #1"."""

    address: int
    mnemonic: str
    operands: str


def base_name(mnemonic: str) -> str:
    """The mnemonic without width, data type, condition and flag suffix: "addseq.w" is "add"."""
    name = mnemonic.lower().split(".")[0]
    if re.fullmatch(r"it[te]{0,3}", name):
        return "it"
    unconditional = re.sub(f"({_CONDITIONS})$", "", name)
    for candidate in (name, unconditional, name.removesuffix("s"), unconditional.removesuffix("s")):
        if candidate in _KNOWN:
            return candidate
    raise UnknownInstructionError(f"no timing for the instruction {mnemonic!r}")


def registers(text: str) -> list[int]:
    """Numbers of the core registers in an operand text, ranges spelled out."""
    spelled: list[int] = []
    for part in text.replace("{", "").replace("}", "").split(","):
        ends = [_number(name) for name in _REGISTER.findall(part)]
        if "-" in part and len(ends) == 2:
            spelled.extend(range(ends[0], ends[1] + 1))
        else:
            spelled.extend(ends)
    return spelled


def _number(name: str) -> int:
    return _NUMBERED.get(name, int(name[1:]) if name[1:].isdigit() else -1)


def block_cycles(block: Sequence[Instruction]) -> int:
    """Cycles of instructions that run one after the other; a jump at the end costs REFILL more."""
    total = 0
    loaded: int | None = None  # register of the load just before, None when it was none
    made: list[int] = []  # registers that the data-processing instruction just before yields
    for instruction in block:
        name = base_name(instruction.mnemonic)
        cycles, pairs = _cycles(name, instruction)
        if pairs and loaded is not None and loaded not in _address_registers(instruction):
            cycles -= 1
        if any(register in made for register in _address_of(name, instruction)):
            cycles += 1
        total += cycles
        loaded = registers(instruction.operands)[0] if name in _LOADS else None
        made = _yielded(name, instruction)
    return total


def _cycles(name: str, instruction: Instruction) -> tuple[int, bool]:
    """Cycles on its own, and whether one is saved right after an independent load."""
    if name in _LOADS and instruction.operands.startswith("pc"):
        return 5 - REFILL, True
    if name in _LOADS or name in _EXCLUSIVE_STORES:
        return 2, True
    if name in _STORES:
        return (2, True) if _register_offset(instruction) else (1, False)
    if name in _PAIRS:
        return 3, False
    if name in _MULTIPLE:
        listed = instruction.operands[instruction.operands.index("{") :]
        words = 2 if "d" in listed and name.startswith("v") else 1
        return 1 + words * len(registers(listed)), False
    if name in _TABLE_BRANCHES:
        return 6 - REFILL, False
    if name in _DIVIDE:
        return 12, False
    if name == "vmov":
        cores = re.findall(r"\b(?:r\d+|sl|fp|ip|lr)\b", instruction.operands)
        return max(1, len(cores)), False
    if name in ("vldr", "vstr"):
        return 3 if instruction.operands.startswith("d") else 2, False
    return _FLOAT.get(name, _SYSTEM.get(name, 1)), False


def _register_offset(instruction: Instruction) -> bool:
    return len(_address_registers(instruction)) > 1


def _address_registers(instruction: Instruction) -> list[int]:
    return registers(instruction.operands[instruction.operands.index("[") :])


def _address_of(name: str, instruction: Instruction) -> list[int]:
    """Registers that make the address of a load or store, none of another instruction."""
    if name in ("push", "pop", "vpush", "vpop"):
        return [_NUMBERED["sp"]]
    if name in _MULTIPLE:
        return registers(instruction.operands[: instruction.operands.index("{")])
    return _address_registers(instruction) if "[" in instruction.operands else []


def _yielded(name: str, instruction: Instruction) -> list[int]:
    """Core registers that a data-processing instruction writes."""
    if name not in _ONE or name in _SILENT:
        return []
    return registers(instruction.operands)[: 2 if name in _LONG else 1]
