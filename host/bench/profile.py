"""What a program ran: blocks counted by the emulator joined with its disassembly."""

import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from host.bench.cortex_m4_timing import REFILL, Instruction, block_cycles

_LINE = re.compile(r"^\s*([0-9a-f]+):\t(?:[0-9a-f]{4} ?)+\s*\t(\S+)\s*(.*)$")
_SYMBOL = re.compile(r"^([0-9a-f]+) <([^>]+)>:$")


@dataclass(frozen=True, slots=True)
class Program:
    """The code of an ELF file: instructions in order, and the function each belongs to."""

    instructions: tuple[Instruction, ...]
    functions: tuple[str, ...]
    index: Mapping[int, int]  # address -> place in the two above

    @classmethod
    def disassembled(cls, elf: Path) -> "Program":
        """Read the code of an Arm ELF file with binutils."""
        command = ["arm-none-eabi-objdump", "-d", str(elf)]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return cls.parsed(text.splitlines())

    @classmethod
    def parsed(cls, lines: Iterable[str]) -> "Program":
        """From the lines of `objdump -d`."""
        instructions, functions, function = [], [], ""
        for line in lines:
            if symbol := _SYMBOL.match(line):
                function = symbol.group(2)
            elif code := _LINE.match(line):
                address, mnemonic, operands = code.groups()
                if mnemonic.startswith("."):
                    continue  # a literal
                operands = re.split(r"\s*[;@<]", operands)[0].strip()
                instructions.append(Instruction(int(address, 16), mnemonic, operands))
                functions.append(function)
        index = {instruction.address: at for at, instruction in enumerate(instructions)}
        return cls(tuple(instructions), tuple(functions), index)


@dataclass(slots=True)
class Section:
    """What ran between two marks. Instructions are exact, cycles modelled."""

    instructions: int = 0
    cycles: int = 0
    by_function: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Section") -> None:
        """Count another one in."""
        self.instructions += other.instructions
        self.cycles += other.cycles
        self.by_function += other.by_function

    def without(self, overhead: "Section") -> "Section":
        """Less what the marks themselves cost."""
        return Section(
            self.instructions - overhead.instructions,
            self.cycles - overhead.cycles,
            self.by_function,
        )


def read_sections(
    lines: Iterable[str], program: Program, marks: Mapping[int, str]
) -> list[tuple[str, Section]]:
    """The file of count_blocks.c: sections in order of time, with the name of their mark.

    What ran before the first mark, or after one that `marks` does not name, is left out. Raises
    UnknownInstructionError for an instruction that the timing table lacks.
    """
    sections: list[tuple[str, Section]] = []
    cycles: dict[tuple[int, int], int] = {}
    section: Section | None = None
    for line in lines:
        words = line.split()
        if words[0] == "section":
            name = marks.get(int(words[1], 16))
            section = Section() if name else None
            if name and section:
                sections.append((name, section))
        elif section:
            start, count, runs, jumps = int(words[0], 16), *map(int, words[1:])
            at = program.index[start]
            if (start, count) not in cycles:
                cycles[start, count] = block_cycles(program.instructions[at : at + count])
            section.instructions += count * runs
            section.cycles += cycles[start, count] * runs + REFILL * jumps
            section.by_function[program.functions[at]] += count * runs
    return sections
